import CKimiSystem
import Glibc

/// How much memory could be taken at a moment: what the machine has and what each group of processes has left. Page cache counts as
/// free, since the system takes it back.
package final class AvailableMemory: Sendable {
    private let meminfo: Int32
    private let groups: [cks_memory_group]

    /// Opens the kernel's files for the limits.
    ///
    /// - Parameter root: as for `MemoryLimits.current`.
    package init(_ limits: MemoryLimits, root: String = "") {
        func file(_ path: String) -> Int32 { open(path, O_RDONLY | O_CLOEXEC) }
        meminfo = file(root + "/proc/meminfo")
        groups = limits.groups.map {
            cks_memory_group(usage: file($0.usage), statistics: file($0.statistics), limit: Int64($0.limit))
        }
    }

    deinit {
        for descriptor in [meminfo] + groups.flatMap({ [$0.usage, $0.statistics] }) where descriptor >= 0 { close(descriptor) }
    }

    /// Bytes; nil if nothing tells. Any thread; allocates nothing.
    package var bytes: Int? {
        let found = groups.withUnsafeBufferPointer { cks_memory_available(meminfo, $0.baseAddress, $0.count) }
        return found < 0 ? nil : Int(found)
    }
}
