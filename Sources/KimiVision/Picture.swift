import KimiCore

/// Pixels: 8-bit RGB, rows from the top, no gaps between them. Immutable once it is filled.
package final class Picture: @unchecked Sendable {
    // Safe because only its maker writes to `pixels`, before anybody else has it.
    package let width: Int
    package let height: Int
    private let memory: MappedMemory

    /// Room for a picture, black at first.
    ///
    /// - Throws: `invalidArgument` for a size of nothing; `outOfMemory`.
    package init(width: Int, height: Int) throws(KimiError) {
        guard width > 0, height > 0, let count = Checked.product(width, height), let bytes = Checked.product(count, 3) else {
            throw KimiError(.invalidArgument, "a picture of \(width) x \(height) pixels; both must be at least 1", subject: "image")
        }
        memory = try MappedMemory(byteCount: bytes, what: "pixels")
        (self.width, self.height) = (width, height)
    }

    /// [height, width, 3]
    package var pixels: UnsafeMutablePointer<UInt8> { memory.pointer(to: UInt8.self) }
    package var byteCount: Int { width * height * 3 }
}
