import CKimiSystem
import KimiCore

/// A checkpoint's identity in 128 bits (XXH3), for tying session files to the checkpoint they were made with. Not for security.
///
/// It covers `config.json`, every tensor's name, type, shape and place in file order, the files' sizes, and samples of the
/// data: two checkpoints of one geometry differ in nothing but their data, and reading all of it would take minutes.
struct Digest: ~Copyable {
    /// How many places of each file's data are sampled, and how many bytes at each.
    static let sampleCount = 16
    static let sampleLength = 4096

    private let state: OpaquePointer

    init() throws(KimiError) {
        guard let state = cks_digest_create() else { throw KimiError(.outOfMemory, "no memory for a digest") }
        self.state = state
    }

    deinit { cks_digest_destroy(state) }

    func add(_ bytes: UnsafeRawBufferPointer) { cks_digest_update(state, bytes.baseAddress, bytes.count) }

    func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

    /// Numbers are fed as 64-bit little endian words.
    func add(_ number: Int) { withUnsafeBytes(of: Int64(number).littleEndian) { add($0) } }

    func add(_ info: TensorInfo) {
        add(Int(info.dtype.rawValue))
        add(info.shape.count)
        for axis in 0..<info.shape.count { add(info.shape[axis]) }
        add(Int(info.shard))
        add(info.offset)
    }

    /// Samples of a file, at places that depend on its size only; all of it if it is small.
    func addSamples(of file: OpenFile, from start: Int, buffer: UnsafeMutableRawBufferPointer) throws(KimiError) {
        let length = max(0, file.size - start)
        let room = max(0, length - Self.sampleLength)
        var last = -1
        for sample in 0..<Self.sampleCount {
            // From the first byte to the last; split so that no product leaves Int.
            let steps = Self.sampleCount - 1
            let offset = start + room / steps * sample + room % steps * sample / steps
            guard offset != last else { continue }
            last = offset
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(min(Self.sampleLength, file.size - offset)))
            try file.read(into: piece, at: offset)
            add(UnsafeRawBufferPointer(piece))
        }
    }

    /// 32 hexadecimal digits.
    consuming func text() -> String {
        var bytes: (UInt64, UInt64) = (0, 0)
        let digits = Array("0123456789abcdef".utf8)
        return withUnsafeMutableBytes(of: &bytes) { buffer in
            cks_digest_finish(state, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self))
            return String(decoding: buffer.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
        }
    }
}
