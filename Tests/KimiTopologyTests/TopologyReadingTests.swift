import Foundation
import KimiCore
import KimiTestSupport
import KimiTopology
import Testing

/// Machines that nobody here has: described by hwloc's strings and files.
@Suite(.serialized) struct TopologyReadingTests {
    struct Machine: Sendable, CustomTestStringConvertible {
        let text: String
        let packages: Int
        /// Cores, package and memory of each node.
        let nodes: [(cores: Int, package: Int, memory: Int)]
        var testDescription: String { text }
    }

    private static let gigabyte = 1_000_000_000
    static let machines = [
        Machine(text: "pack:1 [numa(memory=64GB)] core:8 pu:2", packages: 1, nodes: [(8, 0, 64)]),
        Machine(text: "pack:2 [numa(memory=512GB)] core:48 pu:1", packages: 2, nodes: [(48, 0, 512), (48, 1, 512)]),
        Machine(
            text: "pack:2 node:4(memory=128GB) core:12 pu:2", packages: 2,
            nodes: (0..<8).map { (12, $0 / 4, 128) }),
        Machine(text: "node:8(memory=96GB) core:4 pu:1", packages: 1, nodes: [(4, 0, 96)] + (0..<7).map { _ in (4, 0, 96) }),
        Machine(
            text: "pack:2 node:3(memory=256GB) core:20 pu:1", packages: 2, nodes: (0..<6).map { (20, $0 / 3, 256) }),
        Machine(
            text: "[numa(memory=1024GB)] pack:2 [numa(memory=512GB)] core:16 pu:1", packages: 2,
            nodes: [(16, 0, 512), (16, 1, 512), (0, 0, 1024)]),
        Machine(
            text: "pack:2 [numa(memory=512GB)] [numa(memory=128GB)] core:4 pu:1", packages: 2,
            nodes: [(4, 0, 512), (0, 0, 128), (4, 1, 512), (0, 1, 128)]),
    ]

    @Test("packages, nodes, memory and cores of synthetic machines", arguments: machines)
    func synthetic(_ machine: Machine) throws {
        let topology = try Topology.synthetic(machine.text)
        #expect(topology.source == .synthetic(machine.text))
        #expect(topology.packageCount == machine.packages)
        #expect(topology.nodes.map(\.coreCount) == machine.nodes.map(\.cores))
        #expect(topology.nodes.map(\.package) == machine.nodes.map(\.package))
        #expect(topology.nodes.map(\.memoryBytes) == machine.nodes.map { $0.memory * Self.gigabyte })
        #expect(Set(topology.nodes.map(\.number)).count == topology.nodes.count)
        #expect(topology.cores.count == machine.nodes.reduce(0) { $0 + $1.cores })
        #expect(Set(topology.cores.map(\.processor)).count == topology.cores.count)
        for (index, node) in topology.nodes.enumerated() {
            #expect(topology.cores.count { $0.node == index } == node.coreCount)
        }
    }

    @Test("what is no description is refused with what one is like", arguments: [
        "", " ", "pack", "pack:", "pack:0 core:4", "pack:-1 core:4", "pack:2 core:x", "nonsense:2", "pack:2 core:4 pu:2)",
        "core:99999999999999999999", "pack:100 core:100 pu:2", "pack:2 [numa(memory=zzz)] core:", "pack:\u{0}2 core:4",
        String(repeating: "pack:1 ", count: 2000), "pack:2 core:010 pu:1", "pack:2 core:0x4 pu:1", "pack:2 core:4(memory=1GB", "pack:2 [numa",
        // Each of these would have hwloc make millions of objects, or sets of billions of bits.
        "pack:2 [numa]core:100000000 pu:1", "l3:5000(size=1)core:5000(size=1)pu:2", "core:4096 [numa] pu:1",
        "core:128 [numa] [numa] [numa] pu:1", "numanode:512 core:2 pu:1", "2 300 2 2", "core:2 pu:1(indexes=0,4294967290)",
        "pack:2[numa(memory=64GB)]core:2(indexes=pu:core)pu:2", "core:4 pu:2(indexes=2*4:1*2)",
        "pack:2 [numa(memory=1GB indexes=0,99999999999)] core:2 pu:1",
    ])
    func malformed(_ text: String) {
        let error = #expect(throws: KimiError.self) { try Topology.synthetic(text) }
        #expect(error?.status == .invalidArgument && error?.subject == "synthetic", "\(String(describing: error))")
    }

    @Test("attributes with blanks in them, numbers of the system's with gaps, levels without blanks between", arguments: [
        ("pack:2 node:1(memory=64GB indexes=3,7) core:2 pu:2", [3, 7]), ("pack:2 [NUMANode(memory=64GB indexes=3,7)]core:2 pu:2", [3, 7]),
        ("(memory=1GB)pack:2 node:1(memory=64GB)\ncore:2 pu:2", [0, 1]),
    ])
    func numbers(_ text: String, _ numbers: [UInt32]) throws {
        let topology = try Topology.synthetic(text)
        #expect(topology.nodes.map(\.number) == numbers && topology.nodes.map(\.coreCount) == [2, 2])
        #expect(topology.cores.map(\.node) == [0, 0, 1, 1])
        #expect(topology.nodes.map(\.memoryBytes) == [64 * Self.gigabyte, 64 * Self.gigabyte])
    }

    @Test("memory alone is of the package that it is local to; numbers have gaps; the firmware's distances")
    func memoryOnly() throws {
        let topology = try Topology.file(Fixtures.path("topology/memory-only.xml"))
        #expect(topology.nodes.map(\.number) == [0, 2, 3])
        #expect(topology.nodes.map(\.package) == [0, 1, 1])
        #expect(topology.nodes.map(\.coreCount) == [4, 4, 0])
        #expect(topology.cores.map(\.node) == [0, 0, 0, 0, 1, 1, 1, 1])
        #expect(topology.distances == [[10, 21, 31], [21, 10, 14], [31, 14, 10]])
        #expect(topology.words == "2 packages, 3 nodes, 8 cores")
    }

    @Test("cores of a node without memory belong to the nearest that has some")
    func withoutMemory() throws {
        let folder = try TemporaryFolder()
        let text = try String(contentsOfFile: Fixtures.path("topology/memory-only.xml"), encoding: .utf8)
        // The second package's own: what is nearest is the memory alone at 14, then the first package's at 21.
        let parts = text.components(separatedBy: "local_memory=\"512000000000\"")
        #expect(parts.count == 3)
        try folder.write("none.xml", parts[0] + "local_memory=\"512000000000\"" + parts[1] + "local_memory=\"0\"" + parts[2])
        let topology = try Topology.file(folder.path + "/none.xml")
        #expect(topology.nodes.map(\.number) == [0, 3] && topology.nodes.map(\.coreCount) == [4, 4])
        #expect(topology.cores.map(\.node) == [0, 0, 0, 0, 1, 1, 1, 1])
        #expect(topology.distances == [[10, 31], [31, 10]])
    }

    @Test("files of hwloc's: uneven memory, cores that are offline, nodes whose cores are gone")
    func files() throws {
        let uneven = try Topology.file(Fixtures.path("topology/uneven.xml"))
        #expect(uneven.nodes.map(\.memoryBytes) == [512 * Self.gigabyte, 128 * Self.gigabyte])
        let offline = try Topology.file(Fixtures.path("topology/offline.xml"))
        #expect(offline.cores.map(\.processor) == [0, 2, 3, 4, 5, 7])
        #expect(offline.nodes.map(\.coreCount) == [3, 3])
        let left = try Topology.file(Fixtures.path("topology/one-socket-left.xml"))
        #expect(left.cores.count == 4 && left.nodes.map(\.coreCount) == [4, 0])
        #expect(left.words == "2 packages, 2 nodes, 4 cores")
    }

    @Test("files that are none are refused by name")
    func noFiles() throws {
        let folder = try TemporaryFolder()
        try folder.write("text.xml", "no XML at all")
        try folder.write("empty.xml", "")
        try folder.write("other.xml", "<?xml version=\"1.0\"?><html><body/></html>")
        // hwloc's own parser would take stack for each element, and wait for a pipe.
        let element = "<object type=\"Group\" cpuset=\"0x1\" complete_cpuset=\"0x1\" nodeset=\"0x1\" complete_nodeset=\"0x1\">"
        try folder.write(
            "deep.xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<topology version=\"2.0\">" + String(repeating: element, count: 100_000)
                + String(repeating: "</object>", count: 100_000) + "</topology>")
        #expect(mkfifo(folder.path + "/pipe.xml", 0o600) == 0)
        try folder.rewrite("large.xml", [], length: 1 << 30)
        let files = [
            ("missing.xml", Status.io), ("text.xml", .format), ("empty.xml", .format), ("other.xml", .format), ("deep.xml", .format),
            ("pipe.xml", .io), ("large.xml", .format), (".", .io),
        ]
        for (name, status) in files {
            let error = #expect(throws: KimiError.self) { try Topology.file(folder.path + "/" + name) }
            #expect(error?.status == status && error?.file == folder.path + "/" + name, "\(name): \(String(describing: error))")
            // Not left to the parser, which of hwloc's two it is.
            if name == "deep.xml" { #expect(error?.message.contains("64 deep") == true) }
        }
    }

    @Test("the environment describes a machine in place of this one, or is refused by its name")
    func environment() throws {
        defer { unsetenv("HWLOC_SYNTHETIC"); unsetenv("HWLOC_XMLFILE") }
        setenv("HWLOC_SYNTHETIC", "pack:2 core:3 pu:1", 1)
        let topology = try Topology.current()
        #expect(topology.cores.count == 6 && topology.source == .synthetic("pack:2 core:3 pu:1"))
        // Threads for a machine that is not this one are not bound.
        #expect(try WorkerPool(threads: 2, topology: topology).boundThreads == 0)
        setenv("HWLOC_SYNTHETIC", "pack:two", 1)
        let error = #expect(throws: KimiError.self) { try Topology.current() }
        #expect(error?.status == .invalidArgument && error?.subject == "HWLOC_SYNTHETIC")
        setenv("HWLOC_XMLFILE", "/nowhere.xml", 1)
        let fileError = #expect(throws: KimiError.self) { try Topology.current() }
        #expect(fileError?.status == .invalidArgument && fileError?.subject == "HWLOC_XMLFILE" && fileError?.file == "/nowhere.xml")
        unsetenv("HWLOC_SYNTHETIC"); unsetenv("HWLOC_XMLFILE")
        #expect(try Topology.current().source == .machine)
    }
}
