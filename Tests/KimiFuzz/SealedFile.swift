import CKimiSystem

/// Bytes of a file that ends in a checksum of all before.
extension [UInt8] {
    /// A field becomes a number at the edge of something.
    mutating func setNumber(_ field: (offset: Int, size: Int), _ mutator: inout Mutator) {
        let value = mutator.pick([
            0, 1, 2, 3, 5, 64, 65, 255, 256, 300, 301, 4096, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFE, 0x1_0000_0000,
            0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, mutator.next(),
        ] as [UInt64])
        set(field.offset, field.size, value)
    }

    mutating func set(_ offset: Int, _ size: Int, _ value: UInt64) {
        guard offset >= 0, offset + size <= count else { return }
        for index in 0..<size { self[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
    }

    /// Makes the checksum right again, so that what it guards is reached.
    mutating func seal() {
        guard count >= 16, let digest = cks_digest_create() else { return }
        defer { cks_digest_destroy(digest) }
        var sum = [UInt8](repeating: 0, count: 16)
        cks_digest_update(digest, self, count - 16)
        cks_digest_finish(digest, &sum)
        replaceSubrange((count - 16)..., with: sum)
    }
}
