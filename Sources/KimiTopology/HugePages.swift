/// How much of this process's memory lies in huge pages, as the kernel tells it.
package enum HugePages {
    /// The most that is read of what the kernel tells: some ten thousand mappings.
    private static let mostText = 32 << 20

    /// Bytes of some ranges of addresses that lie in huge pages, of either kind; nil if the kernel does not tell. Takes milliseconds, and
    /// more with much memory in small pages.
    package static func bytes(in ranges: [Range<UInt>]) -> Int? {
        guard let text = KernelFile.text("/proc/self/smaps", limit: mostText) else { return nil }
        return bytes(in: ranges, smaps: text)
    }

    /// The same from a text of the form of /proc/self/smaps.
    package static func bytes(in ranges: [Range<UInt>], smaps text: String) -> Int {
        var isOurs = false
        var bytes = 0
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            if let range = Self.range(Substring(line)) {
                isOurs = ranges.contains { $0.overlaps(range) }
            } else if isOurs {
                for name in ["AnonHugePages:", "Private_Hugetlb:"] where Substring(line).hasPrefix(name) {
                    let kilobytes = Substring(line).split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
                    bytes &+= max(0, kilobytes) &* 1024
                }
            }
        }
        return bytes
    }

    /// The addresses of a line that begins a mapping: "7f00-7f80 rw-p ...".
    private static func range(_ line: Substring) -> Range<UInt>? {
        guard let first = line.split(separator: " ", maxSplits: 1).first, let dash = first.firstIndex(of: "-"),
            let begin = UInt(first[..<dash], radix: 16), let end = UInt(first[first.index(after: dash)...], radix: 16), begin <= end
        else { return nil }
        return begin..<end
    }
}
