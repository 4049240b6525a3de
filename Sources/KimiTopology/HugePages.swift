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
        // Neighbouring memory may share a mapping with ours: no more counts than lies in the ranges.
        var ours: UInt = 0
        var bytes = 0
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            if let range = Self.range(Substring(line)) {
                ours = ranges.reduce(0) { sum, one in
                    let part = one.clamped(to: range)
                    return sum &+ (part.upperBound - part.lowerBound)
                }
            } else if ours > 0 {
                for name in ["AnonHugePages:", "Private_Hugetlb:"] where Substring(line).hasPrefix(name) {
                    let kilobytes = Substring(line).split(separator: " ").dropFirst().first.flatMap { UInt($0) } ?? 0
                    bytes &+= Int(clamping: min(kilobytes, ours / 1024)) &* 1024
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
