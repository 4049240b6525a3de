import Glibc
import KimiCore

/// An XML file of hwloc's, read and looked at before hwloc sees it.
enum TopologyFile {
    /// Machines of a thousand cores take one or two megabytes.
    private static let mostBytes = 16 << 20
    /// Real ones have about a dozen levels. hwloc's own parser takes stack for each.
    private static let mostDepth = 64

    /// Its bytes, with the zero behind them that hwloc asks for.
    static func bytes(_ path: String, subject: String) throws(KimiError) -> [UInt8] {
        func fault(_ status: Status, _ what: String) -> KimiError { KimiError(status, what, file: path, subject: subject) }
        // What is no file at all, such as a pipe, is not waited for.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw fault(.io, "cannot be read: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw fault(.io, "is not a file") }
        guard status.st_size <= mostBytes else {
            throw fault(.format, "has \(status.st_size) bytes; a description of a machine has at most \(mostBytes)")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size) + 1)
        var filled = 0
        while filled < bytes.count - 1 {
            let (offset, room) = (filled, bytes.count - 1 - filled)
            let got = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress.map { $0 + offset }, room) }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw fault(.io, got == 0 ? "became shorter" : "cannot be read: \(String(cString: strerror(errno)))") }
            filled += got
        }
        guard depth(bytes) <= mostDepth else { throw fault(.format, "nests elements more than \(mostDepth) deep") }
        return bytes
    }

    /// How deep elements lie in each other at most, as hwloc's own parser sees it: a tag ends at the first ">", in quotes or not.
    private static func depth(_ bytes: [UInt8]) -> Int {
        var (depth, deepest) = (0, 0)
        var tag: Int?
        for (index, byte) in bytes.enumerated() {
            guard let begin = tag else {
                if byte == UInt8(ascii: "<") { tag = index + 1 }
                continue
            }
            guard byte == UInt8(ascii: ">") else { continue }
            switch bytes[begin] {
            case UInt8(ascii: "/"): depth -= 1
            case UInt8(ascii: "?"), UInt8(ascii: "!"): break
            default: if bytes[index - 1] != UInt8(ascii: "/") { depth += 1 }
            }
            deepest = max(deepest, depth)
            tag = nil
        }
        return deepest
    }
}
