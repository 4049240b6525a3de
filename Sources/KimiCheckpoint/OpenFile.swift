import CKimiSystem
import Glibc
import KimiCore

/// A regular file open for reading, closed with the last reference. Any thread.
package final class OpenFile: Sendable {
    package let path: String
    /// The size when it was opened: what all later checks compare with.
    package let size: Int
    package let descriptor: Int32
    /// When its contents were last changed, as of then.
    private let modified: Int64

    /// - Throws: `.io` if it is missing, a folder, a device, or not permitted.
    package init(_ path: String) throws(KimiError) {
        guard !path.utf8.contains(0) else { throw KimiError(.io, "a file name cannot hold a NUL byte", file: path) }
        var size: Int64 = 0
        let descriptor = cks_file_open(path, &size)
        guard descriptor >= 0 else { throw Self.error("cannot be opened", errno: -descriptor, path: path) }
        self.path = path
        self.size = Int(size)
        self.descriptor = descriptor
        modified = cks_file_modified(descriptor)
    }

    deinit { cks_file_close(descriptor) }

    /// The size now, or a negated errno. Allocates nothing.
    var currentSize: Int { Int(cks_file_size(descriptor)) }

    /// Whether its contents were changed since it was opened. Allocates nothing.
    var isModified: Bool { cks_file_modified(descriptor) != modified }

    /// Fills `buffer` from the file.
    ///
    /// - Throws: `.io`, also where the file ends inside the range.
    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int, subject: String? = nil) throws(KimiError) {
        guard let base = buffer.baseAddress, buffer.count > 0 else { return }
        let got = cks_file_read(descriptor, base, buffer.count, Int64(offset))
        guard got >= 0 else {
            throw Self.error("cannot be read at byte \(offset)", errno: Int32(-got), path: path, subject: subject)
        }
        guard got == buffer.count else {
            throw KimiError(
                .io,
                "the file ended at byte \(offset + Int(got)) of \(buffer.count) bytes wanted from \(offset) on; it was \(size) bytes when it was opened",
                file: path, subject: subject)
        }
    }

    /// The whole file, if it is no longer than `limit`.
    package func contents(limit: Int) throws(KimiError) -> [UInt8] {
        guard size <= limit else {
            throw KimiError(.format, "\(size) bytes long; at most \(limit) make sense here", file: path)
        }
        var failure: KimiError?
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            do throws(KimiError) {
                try read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
                count = size
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// The file in memory, read only; the caller unmaps it. An empty file has no mapping.
    func map() throws(KimiError) -> UnsafeRawBufferPointer {
        guard size > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        var code: Int32 = 0
        guard let start = cks_file_map(descriptor, size, &code) else {
            throw Self.error("cannot be mapped (\(size) bytes)", errno: code, path: path)
        }
        return UnsafeRawBufferPointer(start: start, count: size)
    }

    /// An operating system's refusal in words.
    static func error(_ what: String, errno: Int32, path: String, subject: String? = nil) -> KimiError {
        let reason = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
            cks_error_text(errno, text.baseAddress, text.count)
            // Safe because cks_error_text always terminates what it writes.
            return text.baseAddress.map { String(cString: $0) } ?? ""
        }
        let status: Status = errno == ENOMEM ? .outOfMemory : .io
        return KimiError(status, "\(what): \(reason)", file: path, subject: subject)
    }
}
