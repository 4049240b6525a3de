import Glibc
import KimiCore

/// Reads whole small files for the tokenizer, no larger than the caller allows.
enum FileBytes {
    /// The content of a file, or nil if there is none of that name.
    ///
    /// - Throws: `Status.io` if it cannot be read or is no regular file, `Status.format` if it is longer than `limit`
    ///   bytes.
    static func read(_ path: String, limit: Int) throws(KimiError) -> [UInt8]? {
        // O_NONBLOCK so that a pipe of that name is refused below instead of waited for.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("cannot open", path)
        }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw failure("cannot examine", path) }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw KimiError(.io, "is not a regular file", file: path)
        }
        guard information.st_size <= limit else {
            throw KimiError(
                .format, "has \(information.st_size) bytes; at most \(limit) are read", file: path)
        }
        return try read(descriptor, Int(information.st_size), path)
    }

    private static func read(_ descriptor: Int32, _ size: Int, _ path: String) throws(KimiError) -> [UInt8] {
        var fault: Int32 = 0
        // Safe because `read` writes at most `size - count` bytes behind the `count` written before.
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size, let base = buffer.baseAddress {
                let got = Glibc.read(descriptor, base + count, size - count)
                if got > 0 { count += got; continue }
                if got < 0 && errno == EINTR { continue }
                // A file that ends early has shrunk; what is there is judged by its format.
                if got < 0 { fault = errno }
                break
            }
        }
        guard fault == 0 else {
            errno = fault
            throw failure("cannot read", path)
        }
        return bytes
    }

    private static func failure(_ action: String, _ path: String) -> KimiError {
        KimiError(.io, "\(action): \(String(cString: strerror(errno)))", file: path)
    }
}
