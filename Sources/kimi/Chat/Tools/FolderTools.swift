import Glibc
import KimiCore

/// The tools that look into a folder: which files there are, where a text stands, what a file says. None of them writes.
struct FolderTools {
    let folder: SharedFolder

    private static let mostEntries = 200
    private static let mostBytes = 32 << 10
    private static let mostLines = 400
    private static let mostHits = 60
    private static let mostFiles = 20_000
    private static let deepest = 24
    /// Larger files are not searched.
    private static let searchedBytes = 4 << 20

    // MARK: list_files

    func list(_ path: String) throws(SharedFolder.Refusal) -> String {
        let resolved = try folder.resolve(path)
        let names = try folder.entries(resolved)
        guard !names.isEmpty else { return "(the folder is empty)" }
        var lines: [String] = []
        for name in names.prefix(Self.mostEntries) {
            var status = stat()
            let whole = (resolved == "/" ? "" : resolved) + "/" + name
            guard lstat(whole, &status) == 0 else { continue }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: lines.append(name + "/")
            case S_IFREG: lines.append("\(name)  \(Units.bytes(Int(status.st_size)))")
            case S_IFLNK: lines.append(name + "  (link)")
            default: lines.append(name + "  (special)")
            }
        }
        if names.count > Self.mostEntries { lines.append("... and \(names.count - Self.mostEntries) more") }
        return lines.joined(separator: "\n")
    }

    // MARK: read_file

    /// Lines of a file with their numbers.
    func read(_ path: String, from first: Int, count: Int) throws(SharedFolder.Refusal) -> String {
        let resolved = try folder.resolve(path)
        let (bytes, size) = try folder.read(resolved, atMost: Self.searchedBytes)
        guard !Self.isBinary(bytes) else { throw SharedFolder.Refusal(message: "\(path) is not a text file (\(Units.bytes(size)))") }
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        let total = bytes.last == 0x0A ? lines.count - 1 : lines.count
        let begin = max(1, first) - 1
        guard begin < total else {
            if total == 0 { return "(the file is empty)" }
            throw SharedFolder.Refusal(message: "\(path) has \(total) lines; first_line is \(first)")
        }
        var text = ""
        var shown = 0
        for line in lines[begin..<total].prefix(min(max(1, count), Self.mostLines)) {
            guard text.utf8.count + line.count <= Self.mostBytes || shown == 0 else { break }
            text += "\(begin + shown + 1)\t" + String(decoding: line.prefix(Self.mostBytes), as: UTF8.self) + "\n"
            shown += 1
        }
        if begin + shown < total {
            text += "(lines \(begin + 1) to \(begin + shown) of \(total); go on with first_line \(begin + shown + 1))"
        } else if size > bytes.count {
            text += "(the file goes on: \(Units.bytes(size)) in all)"
        }
        return text
    }

    // MARK: search_files

    /// Lines that hold a text, capitals or not, in all text files below a path.
    ///
    /// - Parameter isStopped: asked between files.
    func search(_ wanted: String, below path: String, isStopped: () -> Bool) throws(SharedFolder.Refusal) -> String {
        let needle = wanted.lowercased()
        guard !needle.isEmpty else { throw SharedFolder.Refusal(message: "text is empty; give what to look for") }
        let start = try folder.resolve(path)
        var hits: [String] = []
        var files = 0
        // Folders still to be looked into; links are not followed, so this ends.
        var waiting: [(path: String, depth: Int)] = [(start, 0)]
        while let (place, depth) = waiting.popLast(), hits.count < Self.mostHits, files < Self.mostFiles {
            if isStopped() { throw SharedFolder.Refusal(message: "the search was stopped") }
            var status = stat()
            guard lstat(place, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                guard depth < Self.deepest, let names = try? folder.entries(place) else { continue }
                // Version control and the like would bury what was meant.
                let inside = names.filter { !$0.hasPrefix(".") || depth == 0 && !$0.hasPrefix(".git") }
                waiting += inside.reversed().map { ((place == "/" ? "" : place) + "/" + $0, depth + 1) }
            } else if status.st_mode & S_IFMT == S_IFREG {
                files += 1
                hits += search(place, needle, room: Self.mostHits - hits.count)
            }
        }
        guard !hits.isEmpty else { return "no line has this text (\(files) files searched)" }
        let more = hits.count >= Self.mostHits ? "\n(there may be more; search for something rarer or in one folder)" : ""
        return hits.joined(separator: "\n") + more
    }

    private func search(_ place: String, _ needle: String, room: Int) -> [String] {
        guard let (bytes, _) = try? folder.read(place, atMost: Self.searchedBytes), !Self.isBinary(bytes) else { return [] }
        let name = folder.name(of: place)
        var hits: [String] = []
        for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let text = String(decoding: line, as: UTF8.self)
            guard text.lowercased().contains(needle) else { continue }
            hits.append("\(name):\(index + 1): \(text.prefix(200))")
            if hits.count == room { break }
        }
        return hits
    }

    private static func isBinary(_ bytes: [UInt8]) -> Bool { bytes.prefix(4096).contains(0) }
}
