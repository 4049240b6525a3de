import CKimiMedia
import KimiCore
import KimiModel
import Synchronization

/// Pixels: 8-bit RGB, rows from the top, no gaps between them. Immutable once it is filled.
package final class Picture: @unchecked Sendable {
    // Safe because only its maker writes to `pixels`, before anybody else has it.
    package let width: Int
    package let height: Int
    private let memory: MappedMemory
    private let knownDigest = Mutex<MediaDigest?>(nil)

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

    /// What it is known by: pixels that are equal give equal digests, whatever file they came from. Computed when it is first
    /// asked for.
    ///
    /// - Throws: `outOfMemory`.
    package func digest() throws(KimiError) -> MediaDigest {
        if let known = knownDigest.withLock({ $0 }) { return known }
        var hash = try PixelHash("picture", [width, height])
        hash.add(self)
        let digest = hash.finish()
        knownDigest.withLock { $0 = digest }
        return digest
    }

    /// As large as another size: bicubic with antialiasing, bit for bit what Pillow's `resize` with `BICUBIC` gives.
    package func resized(width: Int, height: Int) throws(KimiError) -> Picture {
        if width == self.width, height == self.height { return self }
        let result = try Picture(width: width, height: height)
        let code = ckm_resize(result.pixels, width, height, pixels, self.width, self.height)
        guard code == Int32(CKM_OK) else {
            throw KimiError(
                .outOfMemory, "no memory to resize a picture of \(self.width) x \(self.height) pixels", subject: "image")
        }
        return result
    }
}

/// SHA-256 of pixels and of what belongs to them.
struct PixelHash: ~Copyable {
    private let state: OpaquePointer

    /// - Parameters:
    ///   - kind: what it is a digest of; different kinds never have equal digests.
    ///   - numbers: sizes and the like; of one kind always as many.
    init(_ kind: StaticString, _ numbers: [Int]) throws(KimiError) {
        guard let state = ckm_digest_create() else { throw KimiError(.outOfMemory, "no memory for a digest", subject: "image") }
        self.state = state
        kind.withUTF8Buffer { ckm_digest_update(state, $0.baseAddress, $0.count) }
        // Behind a zero byte, which no kind has.
        let words = [0] + numbers.map { UInt64(bitPattern: Int64($0)).littleEndian }
        words.withUnsafeBytes { ckm_digest_update(state, $0.baseAddress, $0.count) }
    }

    mutating func add(_ picture: Picture) { ckm_digest_update(state, picture.pixels, picture.byteCount) }

    consuming func finish() -> MediaDigest {
        var bytes = [UInt8](repeating: 0, count: 32)
        ckm_digest_finish(state, &bytes)
        return MediaDigest(bytes)
    }

    deinit { ckm_digest_destroy(state) }
}
