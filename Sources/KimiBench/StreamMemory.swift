import Glibc
import KimiCore

/// Memory that is too large for any cache, full of numbers that are harmless in every format: what plain reading and the kernels
/// alone are measured on.
package final class StreamMemory {
    private let memory: MappedMemory
    package let base: UnsafeRawPointer
    package let byteCount: Int

    private static let hugePage = 2 << 20

    /// - Parameter lastLevelCacheBytes: of the whole machine.
    /// - Throws: `outOfMemory`.
    package init(lastLevelCacheBytes: Int) throws(KimiError) {
        // Four times the caches, so that going round finds nothing in them; at most a quarter of what is free.
        let wanted = max(512 << 20, min(lastLevelCacheBytes, 1 << 40) * 4)
        let free = MachineFacts.availableMemory
        let size = (free > 0 ? max(64 << 20, min(wanted, free / 4)) : wanted) / Self.hugePage * Self.hugePage
        let memory = try MappedMemory(byteCount: size + Self.hugePage, what: "memory to measure with")
        let skipped = (Self.hugePage - Int(bitPattern: memory.base) % Self.hugePage) % Self.hugePage
        let base = memory.base + skipped
        madvise(base, size, Self.hugePages)
        Self.fill(base, size)
        self.memory = memory
        self.base = UnsafeRawPointer(base)
        byteCount = size
    }

    /// bfloat16 between 2^-8 and 1 of both signs. Two of them make a float of that size, one a sound half float or two int4 pairs.
    private static func fill(_ base: UnsafeMutableRawPointer, _ size: Int) {
        let pattern = base.assumingMemoryBound(to: UInt16.self)
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for index in 0..<(hugePage / 2) {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let bits = UInt16(truncatingIfNeeded: state >> 48)
            pattern[index] = (bits & 0x8000) | (0x3B80 + bits & 0x03FF)
        }
        for offset in stride(from: hugePage, to: size, by: hugePage) { memcpy(base + offset, base, hugePage) }
    }

    private static let hugePages: Int32 = 14 // MADV_HUGEPAGE
}
