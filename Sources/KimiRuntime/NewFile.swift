import CKimiSystem
import Glibc
import KimiCore

/// The system's words for an errno.
func systemWords(_ error: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        cks_error_text(error, buffer.baseAddress, buffer.count)
        return buffer.baseAddress.map { String(cString: $0) } ?? "error \(error)"
    }
}

/// A file that takes its name only when it is whole: until then it is another file beside it, which goes away if nothing comes of it.
final class NewFile {
    private let path: String
    private let temporary: String
    private var descriptor: Int32

    /// - Parameter mode: who may read and write it, as far as the process's own mask allows.
    init(path: String, mode: mode_t) throws(KimiError) {
        guard !path.isEmpty else { throw KimiError(.invalidArgument, "the path is empty", subject: "path") }
        self.path = path
        // Beside it, since only within one file system a name can be taken over; and short, since the path's own name may be as
        // long as names can be.
        let folder = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? ""
        temporary = "\(folder).kimi-\(UInt64.random(in: 0...UInt64.max)).partial"
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw KimiError(.io, "cannot be created: \(systemWords(errno))", file: path) }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(temporary)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(KimiError) {
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            let count = Glibc.write(descriptor, base, rest.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw KimiError(.io, "cannot be written: \(systemWords(errno))", file: path) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Gives the file its name.
    func finish() throws(KimiError) {
        guard fsync(descriptor) == 0 else { throw KimiError(.io, "cannot be written: \(systemWords(errno))", file: path) }
        guard rename(temporary, path) == 0 else { throw KimiError(.io, "cannot be put in place: \(systemWords(errno))", file: path) }
        close(descriptor)
        descriptor = -1
    }
}
