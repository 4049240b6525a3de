import KimiTopology
import Testing

/// What the kernel tells of huge pages.
struct HugePagesTests {
    private static let text = """
        10000000-10800000 rw-p 00000000 00:00 0
        Size:               8192 kB
        AnonHugePages:      6144 kB
        Private_Hugetlb:       0 kB
        VmFlags: rd wr mr mw me ac sd hg
        20000000-20400000 rw-p 00000000 00:0f 123 /anon_hugepage (deleted)
        AnonHugePages:         0 kB
        Private_Hugetlb:    4096 kB
        30000000-30200000 rw-p 00000000 00:00 0
        AnonHugePages:      2048 kB
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
        AnonHugePages:         0 kB

        """

    @Test("bytes of either kind in the mappings of a range, and no more than the range has", arguments: [
        ([(0x1000_0000, 0x1080_0000)], 6 << 20), ([(0x1000_0000, 0x1080_0000), (0x2000_0000, 0x2040_0000)], 10 << 20),
        ([(0x1000_0000, 0x1020_0000)], 2 << 20), ([(0x1000_0000, 0x1010_0000), (0x1020_0000, 0x1030_0000)], 2 << 20),
        ([(0x4000_0000, 0x5000_0000)], 0), ([(0x3010_0000, 0x4000_0000)], 1 << 20), ([], 0),
    ] as [([(UInt, UInt)], Int)])
    func bytes(_ ranges: [(UInt, UInt)], _ expected: Int) {
        #expect(HugePages.bytes(in: ranges.map { $0.0..<$0.1 }, smaps: Self.text) == expected)
    }

    @Test("a text that is damaged counts what it says, and ends nothing", arguments: [
        "", "\n\n", "10000000-10800000", "10000000-10800000 rw-p\nAnonHugePages: 99999999999999999999999 kB\n",
        "10000000-10800000 rw-p\nAnonHugePages:\n", "10800000-10000000 rw-p\nAnonHugePages: 2048 kB\n", "-\nAnonHugePages: 2048 kB\n",
        "0-10000000000000000000 rw-p\nAnonHugePages: 2048 kB\n", "AnonHugePages: 2048 kB\n",
        "10000000-10800000 rw-p\nAnonHugePages: -2048 kB\n", "10000000-10800000 rw-p\nAnonHugePages: 2048kB\n",
    ])
    func damaged(_ text: String) {
        #expect(HugePages.bytes(in: [0x1000_0000..<0x1080_0000], smaps: text) == 0)
    }

    @Test("this process has memory, and some of it may be in huge pages")
    func here() throws {
        let all = try #require(HugePages.bytes(in: [0..<UInt.max]))
        #expect(all >= 0 && all % (2 << 20) == 0)
    }
}
