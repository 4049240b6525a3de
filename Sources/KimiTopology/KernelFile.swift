import Glibc

/// A small text of the kernel's, such as one below /proc.
enum KernelFile {
    /// Its text; nil if it cannot be read. Bytes that are not UTF-8 become replacement characters.
    static func text(_ path: String, limit: Int = 1 << 20) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while bytes.count < limit {
            let got = read(descriptor, &piece, piece.count)
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return got == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
            bytes += piece[0..<got]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A number alone in its file.
    static func number(_ path: String) -> Int? { text(path, limit: 64).flatMap { $0.hasSuffix("\n") ? Int($0.dropLast()) : Int($0) } }
}
