/// What limits the memory of this process: the machine, and the groups (cgroups of either kind) that it is in.
package struct MemoryLimits: Sendable, Equatable {
    /// A group with a limit.
    package struct Group: Sendable, Equatable {
        package let limit: Int
        /// Files of the kernel's with the bytes in use, and with what they are.
        package let usage: String
        package let statistics: String
    }

    /// All memory of the machine; 0 if that cannot be told.
    package let machine: Int
    /// Groups with a limit, this process's own first.
    package let groups: [Group]

    /// The tightest limit, and whether it is a group's; nil if there is none.
    package var tightest: (bytes: Int, isGroup: Bool)? {
        let group = groups.map(\.limit).min()
        if let group, machine == 0 || group < machine { return (group, true) }
        return machine > 0 ? (machine, false) : nil
    }

    /// Reads them anew.
    ///
    /// - Parameter root: where /proc and /sys are; another place than "" for tests.
    package static func current(root: String = "") -> MemoryLimits {
        MemoryLimits(machine: machineBytes(root), groups: groups(root))
    }

    private static func machineBytes(_ root: String) -> Int {
        for line in (KernelFile.text(root + "/proc/meminfo") ?? "").split(separator: "\n") where line.hasPrefix("MemTotal:") {
            let kilobytes = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            let (bytes, overflow) = kilobytes.multipliedReportingOverflow(by: 1024)
            return overflow || bytes < 0 ? 0 : bytes
        }
        return 0
    }

    // MARK: Groups

    /// Where a hierarchy of groups is mounted, and which of its groups is at the mount point.
    private struct Mount { let point, top: Substring, isSecondKind: Bool }

    private static func groups(_ root: String) -> [Group] {
        let mounts = mounts(root)
        var groups: [Group] = []
        // "0::/path" for the second kind, "9:memory:/path" for the first.
        for line in (KernelFile.text(root + "/proc/self/cgroup") ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let isSecondKind = parts[0] == "0" && parts[1].isEmpty
            guard isSecondKind || parts[1].split(separator: ",").contains("memory") else { continue }
            for mount in mounts where mount.isSecondKind == isSecondKind {
                groups += Self.groups(from: parts[2], mount, root)
            }
        }
        return groups
    }

    /// The group of this path and all above it.
    private static func groups(from path: Substring, _ mount: Mount, _ root: String) -> [Group] {
        // In a container the mount may show a part of the hierarchy only, and the path may be told from the whole of it.
        var steps = path.split(separator: "/")
        let top = mount.top.split(separator: "/")
        if steps.starts(with: top) { steps.removeFirst(top.count) }
        guard !steps.contains("..") else { return [] }
        let names = mount.isSecondKind
            ? (limit: "memory.max", usage: "memory.current") : (limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes")
        var groups: [Group] = []
        while true {
            let folder = root + mount.point + steps.map { "/" + $0 }.joined()
            // "max", or a number beyond any memory: no limit.
            if let limit = KernelFile.number("\(folder)/\(names.limit)"), (0..<1 << 60).contains(limit) {
                groups.append(Group(limit: limit, usage: "\(folder)/\(names.usage)", statistics: "\(folder)/memory.stat"))
            }
            if steps.popLast() == nil { return groups }
        }
    }

    private static func mounts(_ root: String) -> [Mount] {
        var mounts: [Mount] = []
        for line in (KernelFile.text(root + "/proc/self/mountinfo") ?? "").split(separator: "\n") {
            // 35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { continue }
            let options = fields[dash + 3].split(separator: ",")
            switch fields[dash + 1] {
            case "cgroup2": mounts.append(Mount(point: fields[4], top: fields[3], isSecondKind: true))
            case "cgroup" where options.contains("memory"):
                mounts.append(Mount(point: fields[4], top: fields[3], isSecondKind: false))
            default: break
            }
        }
        return mounts
    }
}
