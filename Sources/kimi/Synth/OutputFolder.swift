import Glibc

/// The folder a checkpoint is written into: `OUT.partial` until everything is there, then `OUT`.
///
/// Nobody ever sees half a checkpoint under the final name, and what is given up is removed. Only files that a checkpoint
/// consists of are ever deleted, and only with `--force` those that were there before.
struct OutputFolder {
    let path: String
    /// Where the files are to be written.
    let partial: String
    private let replaces: Bool

    private static let ownNames: Set<String> = [
        "config.json", "generation_config.json", "tiktoken.model", "tokenizer_config.json", "model.safetensors.index.json",
    ]

    /// Looks at what is there and makes the partial folder.
    init(_ path: String, force: Bool) throws(Failure) {
        var path = path
        while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
        self.path = path
        partial = path + ".partial"
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw Failure("\(path) is there and is no folder", next: "Give another name.")
            }
            let entries = try Self.entries(of: path)
            replaces = !entries.isEmpty
            if !entries.isEmpty {
                guard force else {
                    throw Failure(
                        "\(path) is there and not empty",
                        next: "Give another name, or --force to replace that checkpoint.")
                }
                try Self.checkOwn(entries, path)
            }
        } else {
            replaces = false
        }
        try Self.makePartial(partial, force: force)
    }

    private static func makePartial(_ partial: String, force: Bool) throws(Failure) {
        if mkdir(partial, 0o755) == 0 { return }
        guard errno == EEXIST else {
            throw Failure("cannot make the folder \(partial)", errno: errno)
        }
        guard force else {
            throw Failure(
                "\(partial) is there: another kimi synth is writing, or one was killed",
                next: "If none is running, remove that folder or give --force.")
        }
        let entries = try entries(of: partial)
        try checkOwn(entries, partial)
        for entry in entries { unlink(partial + "/" + entry) }
    }

    /// Free bytes where the folder lies.
    func freeBytes() throws(Failure) -> Int {
        var status = statvfs()
        guard statvfs(partial, &status) == 0 else {
            throw Failure("cannot ask for the free space of \(partial)", errno: errno)
        }
        let blockSize = Int(clamping: status.f_frsize)
        let (bytes, overflow) = Int(clamping: status.f_bavail).multipliedReportingOverflow(by: blockSize)
        return overflow ? .max : bytes
    }

    func write(_ name: String, _ text: String) throws(Failure) {
        let file = try OutputFile(partial + "/" + name)
        try file.write(Array(text.utf8), at: 0)
        try file.close()
    }

    /// Gives the folder its name.
    func finish() throws(Failure) {
        // Renaming onto an empty folder replaces it at once.
        guard replaces else { return try rename(partial, path) }
        let old = path + ".replaced"
        try rename(path, old)
        do throws(Failure) {
            try rename(partial, path)
        } catch {
            try? rename(old, path)
            throw error
        }
        Self.remove(old)
    }

    /// Removes what was written.
    func discard() { Self.remove(partial) }

    private func rename(_ from: String, _ to: String) throws(Failure) {
        guard Glibc.rename(from, to) == 0 else { throw Failure("cannot rename \(from) to \(to)", errno: errno) }
    }

    // MARK: Entries

    /// Removes a folder of a checkpoint's files; other things in it, and then the folder, stay.
    private static func remove(_ folder: String) {
        for entry in (try? entries(of: folder)) ?? [] where isOwn(entry) { unlink(folder + "/" + entry) }
        rmdir(folder)
    }

    private static func isOwn(_ name: String) -> Bool {
        ownNames.contains(name) || name.hasPrefix("model") && name.hasSuffix(".safetensors")
    }

    private static func checkOwn(_ entries: [String], _ folder: String) throws(Failure) {
        guard let foreign = entries.sorted().first(where: { !isOwn($0) }) else { return }
        throw Failure(
            "\(folder) holds \(foreign), which kimi synth does not write; nothing was touched",
            next: "Give another name, or remove that folder yourself.")
    }

    private static func entries(of folder: String) throws(Failure) -> [String] {
        guard let stream = opendir(folder) else { throw Failure("cannot read the folder \(folder)", errno: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            // Safe because the kernel ends d_name with a NUL byte.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                String(cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }
}
