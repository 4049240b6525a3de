import CKimiKernels
import KimiCore
import KimiTopology

/// What this library finds on this machine, for `kimi_features`.
package enum Features {
    package static func json(version: String, abi: Int) throws(KimiError) -> String {
        let topology = try Topology.current()
        var json = JSONWriter()
        json.object { json in
            json.member("version", version)
            json.member("abi", abi)
            json.member("build", build)
            json.member("cpu", topology.processorModel)
            json.member("isa_best", Model.name(ofISA: ck_isa_best()))
            json.member("isa", Model.name(ofISA: ck_isa_best()))
            json.array("isa_available") { json in
                for isa in 0..<Int32(CK_ISA_COUNT) where ck_kernels_for(isa) != nil { json.element(Model.name(ofISA: isa)) }
            }
            json.member("nodes", topology.nodeCount)
            json.member("cores", topology.cores.count)
            json.member("threads", topology.cores.count)
        }
        return json.text
    }

    private static var build: String {
        #if arch(x86_64)
        let architecture = "x86_64"
        #elseif arch(arm64)
        let architecture = "arm64"
        #else
        let architecture = "unknown"
        #endif
        #if DEBUG
        return "debug, \(architecture)"
        #else
        return "release, \(architecture)"
        #endif
    }
}
