import Glibc

/// A folder that a model may read in, and nothing outside it: paths are resolved, links included, before anything is opened.
struct SharedFolder {
    /// Absolute, without links.
    let root: String

    /// What went wrong, for the model to read.
    struct Refusal: Error {
        let message: String
    }

    init(_ path: String) throws(Failure) {
        guard let resolved = Self.resolved(path) else {
            throw Failure("cannot use the folder \(path)", errno: errno, next: "Give --folder a folder that exists and that you may read.")
        }
        var status = stat()
        guard stat(resolved, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw Failure("\(path) is not a folder", next: "Give --folder the folder that holds the files.")
        }
        root = resolved
    }

    private static func resolved(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }

    private func contains(_ resolved: String) -> Bool { root == "/" || resolved == root || resolved.hasPrefix(root + "/") }

    /// The path below the root, for people and models; "." for the root.
    func name(of resolved: String) -> String {
        if resolved == root { return "." }
        return root == "/" ? String(resolved.dropFirst()) : String(resolved.dropFirst(root.count + 1))
    }

    /// The resolved form of a path that is meant below the root.
    func resolve(_ path: String) throws(Refusal) -> String {
        guard !path.utf8.contains(0) else { throw Refusal(message: "the path has a NUL character") }
        // A model may repeat the whole path that it has seen somewhere.
        let joined = path.hasPrefix("/") && contains(path) ? path : root + "/" + path
        guard let found = Self.resolved(joined) else {
            let reason = errno == ENOENT ? "there is no such file; list_files shows what there is" : String(cString: strerror(errno))
            throw Refusal(message: "\(path): \(reason)")
        }
        guard contains(found) else { throw Refusal(message: "\(path) is outside the folder, which must not be left") }
        return found
    }

    /// Opens a regular file or a folder for reading. The caller closes it.
    func open(_ resolved: String, _ kind: mode_t) throws(Refusal) -> Int32 {
        let name = name(of: resolved)
        let flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (kind == S_IFDIR ? O_DIRECTORY : 0)
        let descriptor = Glibc.open(resolved, flags)
        guard descriptor >= 0 else {
            throw Refusal(message: "\(name): \(errno == ENOTDIR ? "is not a folder" : String(cString: strerror(errno)))")
        }
        var status = stat()
        // A folder on the way may have become a link since the path was resolved: what counts is where the open file is.
        guard fstat(descriptor, &status) == 0, let real = Self.resolved("/proc/self/fd/\(descriptor)"), contains(real) else {
            close(descriptor)
            throw Refusal(message: "\(name) is outside the folder, which must not be left")
        }
        guard status.st_mode & S_IFMT == kind else {
            close(descriptor)
            throw Refusal(message: "\(name) is \(kind == S_IFDIR ? "not a folder" : "not a regular file")")
        }
        return descriptor
    }

    /// The first bytes of a file, and its whole size.
    func read(_ resolved: String, atMost limit: Int) throws(Refusal) -> (bytes: [UInt8], size: Int) {
        let descriptor = try open(resolved, S_IFREG)
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Refusal(message: String(cString: strerror(errno))) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count < limit {
            let count = block.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, min($0.count, limit - bytes.count)) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += block[..<count]
        }
        return (bytes, Int(status.st_size))
    }

    /// The entries of a folder by name, hidden ones too.
    func entries(_ resolved: String) throws(Refusal) -> [String] {
        let descriptor = try open(resolved, S_IFDIR)
        guard let directory = fdopendir(descriptor) else {
            close(descriptor)
            throw Refusal(message: String(cString: strerror(errno)))
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            // Safe because d_name ends with 0 within the entry, which lives until the next call.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
