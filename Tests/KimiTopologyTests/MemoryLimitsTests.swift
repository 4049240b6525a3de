import Foundation
import KimiTestSupport
import KimiTopology
import Testing

/// What limits this process, from trees of files laid out as the kernel has them.
struct MemoryLimitsTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try write("/proc/meminfo", "MemTotal:       16384000 kB\nMemFree:  100 kB\nMemAvailable:    8192000 kB\n")
    }

    private func write(_ path: String, _ text: String) throws {
        let url = URL(filePath: folder.path + path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try text.write(to: url, atomically: true, encoding: .utf8)
    }

    private var limits: MemoryLimits { MemoryLimits.current(root: folder.path) }
    private var available: Int? { AvailableMemory(limits, root: folder.path).bytes }

    private static let second = "31 22 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"

    @Test("without groups the machine is the limit")
    func machine() {
        #expect(limits.machine == 16_384_000 * 1024 && limits.groups.isEmpty)
        #expect(limits.tightest?.bytes == 16_384_000 * 1024 && limits.tightest?.isGroup == false)
        #expect(available == 8_192_000 * 1024)
    }

    @Test("the tightest of all groups on the way up counts; page cache counts as free")
    func secondKind() throws {
        try write("/proc/self/cgroup", "0::/a/b\n")
        try write("/proc/self/mountinfo", Self.second)
        try write("/sys/fs/cgroup/a/b/memory.max", "max\n")
        try write("/sys/fs/cgroup/a/memory.max", "1000000\n")
        try write("/sys/fs/cgroup/a/memory.current", "700000\n")
        try write("/sys/fs/cgroup/a/memory.stat", "anon 200000\nfile 500000\ninactive_file 300000\nactive_file 150000\n")
        try write("/sys/fs/cgroup/memory.max", "5000000\n")
        try write("/sys/fs/cgroup/memory.current", "4900000\n")
        try write("/sys/fs/cgroup/memory.stat", "inactive_file 4000000\nactive_file 900000\n")
        #expect(limits.groups.map(\.limit) == [1_000_000, 5_000_000])
        #expect(limits.tightest?.bytes == 1_000_000 && limits.tightest?.isGroup == true)
        #expect(available == 1_000_000 - (700_000 - 450_000))
    }

    @Test("the first kind, and a container that shows a part of the hierarchy")
    func firstKind() throws {
        try write("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/x/y\n0::/\n")
        try write(
            "/proc/self/mountinfo",
            "35 31 0:32 /docker/x /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" + Self.second)
        try write("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "2000000\n")
        try write("/sys/fs/cgroup/memory/y/memory.usage_in_bytes", "1500000\n")
        try write(
            "/sys/fs/cgroup/memory/y/memory.stat",
            "cache 1\ninactive_file 5\nactive_file 5\ntotal_inactive_file 100000\ntotal_active_file 200000\n")
        try write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        #expect(limits.groups.map(\.limit) == [2_000_000])
        #expect(available == 2_000_000 - 1_200_000)
    }

    @Test("what is no number, missing or hostile limits nothing", arguments: [
        "", "max", "-5", "1e9", "99999999999999999999999", "12 34", "\u{0}", "0x10",
    ])
    func hostile(_ text: String) throws {
        try write("/proc/self/cgroup", "0::/a\n0::\n::::\n0::/../../etc\n7:memory\n")
        try write("/proc/self/mountinfo", Self.second + "junk\n- - -\n" + String(repeating: "x ", count: 5000) + "\n")
        try write("/sys/fs/cgroup/a/memory.max", text)
        #expect(limits.groups.isEmpty)
        #expect(available == 8_192_000 * 1024)
    }

    @Test("a group whose use cannot be read does not count, one that is over its limit has nothing left")
    func use() throws {
        try write("/proc/self/cgroup", "0::/a\n")
        try write("/proc/self/mountinfo", Self.second)
        try write("/sys/fs/cgroup/a/memory.max", "1000000\n")
        #expect(limits.groups.count == 1 && available == 8_192_000 * 1024)
        try write("/sys/fs/cgroup/a/memory.current", "3000000\n")
        #expect(available == 0)
    }

    @Test("this machine has memory, and some of it is free")
    func here() throws {
        let limits = MemoryLimits.current()
        #expect(limits.machine > 1 << 28)
        let bytes = try #require(AvailableMemory(limits).bytes)
        #expect(bytes > 0 && bytes <= limits.machine)
    }
}
