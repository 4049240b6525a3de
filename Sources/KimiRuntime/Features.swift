import CKimiKernels
import KimiCore
import KimiModel
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
            json.member("packages", topology.packageCount)
            json.array("memory_nodes") { json in
                for node in topology.nodes {
                    json.object { json in
                        json.member("number", Int(node.number))
                        json.member("package", node.package)
                        json.member("cores", node.coreCount)
                        json.member("memory_bytes", node.memoryBytes)
                    }
                }
            }
            let limits = MemoryLimits.current()
            if let limit = limits.tightest {
                json.member("memory_limit", limit.bytes)
                json.member("memory_limit_from", (limit.isGroup ? MemoryBudget.Source.cgroup : .machine).rawValue)
            } else {
                json.null("memory_limit")
                json.null("memory_limit_from")
            }
            if let bytes = AvailableMemory(limits).bytes { json.member("memory_available", bytes) } else { json.null("memory_available") }
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
