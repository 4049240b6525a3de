import Glibc

/// Text that comes as an argument or from the standard input.
enum InputText {
    /// More than this is no prompt: 1 GiB.
    private static let limit = 1 << 30
    /// More than this is no file of settings: 64 MiB.
    private static let fileLimit = 64 << 20

    /// The bytes of the argument, or of the standard input if it is missing or "-".
    ///
    /// - Throws: if nothing was given and a person sits at the keyboard who would wait for ever.
    static func bytes(_ argument: String?, what: String) throws(Failure) -> [UInt8] {
        if let argument, argument != "-" { return Array(argument.utf8) }
        if argument == nil && isatty(STDIN_FILENO) == 1 {
            throw Failure("no \(what)", next: "Give it as an argument, or pipe it into the standard input.")
        }
        return try standardInput()
    }

    private static func standardInput() throws(Failure) -> [UInt8] {
        try contents(of: STDIN_FILENO, "the standard input", limit: limit, next: "Give a shorter text.")
    }

    /// A small file that the command line names.
    static func file(_ path: String, what: String) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("cannot read the \(what) \(path)", errno: errno) }
        defer { close(descriptor) }
        return try contents(of: descriptor, path, limit: fileLimit, next: "Give another file.")
    }

    private static func contents(
        of descriptor: Int32, _ name: String, limit: Int, next: String
    ) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw Failure("cannot read \(name)", errno: errno)
            }
            bytes += buffer[..<count]
            guard bytes.count <= limit else { throw Failure("\(name) has more than \(Units.bytes(limit))", next: next) }
        }
    }

    /// Token ids, set apart by spaces or commas, with or without brackets.
    static func ids(_ text: some StringProtocol) throws(Failure) -> [Int32] {
        var ids: [Int32] = []
        for word in text.split(whereSeparator: { $0.isWhitespace || $0 == "," || $0 == "[" || $0 == "]" }) {
            guard let id = Int32(word) else {
                throw Failure(
                    "\"\(word.prefix(40))\" is no token id", next: "Ids are whole numbers, set apart by spaces or commas.")
            }
            ids.append(id)
        }
        return ids
    }
}
