import KimiCheckpoint
import KimiCore

/// The bytes of an encoded picture or video, in memory that is an error where there is none. Immutable once it is filled.
package final class MediaBytes: @unchecked Sendable {
    // Safe because only its maker writes to `memory`, before anybody else has it.
    package let count: Int
    let memory: MappedMemory

    /// Room for `count` bytes, of which `fill` says how many it wrote.
    init(room: Int, fill: (UnsafeMutableRawBufferPointer) throws(KimiError) -> Int) throws(KimiError) {
        memory = try MappedMemory(byteCount: room, what: "an encoded picture or video")
        count = min(room, max(0, try fill(UnsafeMutableRawBufferPointer(start: memory.base, count: room))))
    }

    /// A copy.
    package convenience init(_ bytes: UnsafeRawBufferPointer) throws(KimiError) {
        try self.init(room: bytes.count) { room throws(KimiError) in
            room.copyMemory(from: bytes)
            return bytes.count
        }
    }

    /// Valid while this object is.
    package var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory.base, count: count) }

    /// The content of a regular file.
    ///
    /// - Throws: `io`; `invalidArgument` if it has more than `limit` bytes.
    package static func read(path: String, limit: Int, subject: String) throws(KimiError) -> MediaBytes {
        let file = try OpenFile(path)
        guard file.size <= limit else {
            throw KimiError(.invalidArgument, "\(file.size) bytes; at most \(limit) are read", file: path, subject: subject)
        }
        return try MediaBytes(room: file.size) { room throws(KimiError) in
            try file.read(into: room, at: 0, subject: subject)
            return file.size
        }
    }
}
