/// What a medium is known by: SHA-256 of its pixels, and of what else its features depend on.
///
/// Whoever sends pictures must not be able to make two with one digest, since features and caches are shared by it; so it is a
/// cryptographic hash.
package struct MediaDigest: Sendable, Hashable {
    private let words: SIMD4<UInt64>

    /// - Parameter bytes: 32 of them; those that are missing count as 0, more are not looked at.
    package init(_ bytes: some Sequence<UInt8>) {
        var words = SIMD4<UInt64>()
        for (index, byte) in bytes.prefix(32).enumerated() { words[index / 8] |= UInt64(byte) << (8 * UInt64(index % 8)) }
        self.words = words
    }

    /// The 32 bytes.
    package var bytes: [UInt8] { (0..<32).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> (8 * UInt64($0 % 8))) } }
}
