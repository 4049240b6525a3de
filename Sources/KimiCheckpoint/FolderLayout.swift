import Glibc
import KimiCore

/// The files of a checkpoint folder: which of them hold tensors.
///
/// In this order: `model.safetensors.index.json` and the shards it names; one `model.safetensors`; shards that are
/// recognised by their names alone (`model-00001-of-00064.safetensors`, with any number of leading zeros), all of which
/// must then be there.
enum FolderLayout {
    /// The most shards of one checkpoint; each keeps a descriptor open.
    static let maxShards = 4096

    static let indexName = "model.safetensors.index.json"
    static let singleName = "model.safetensors"

    static func path(_ folder: String, _ name: String) -> String {
        folder.hasSuffix("/") ? folder + name : folder + "/" + name
    }

    /// The names of all entries of the folder.
    ///
    /// - Throws: `.io` if it is missing, not a folder, or not permitted.
    static func entries(of folder: String) throws(KimiError) -> [String] {
        guard !folder.isEmpty, !folder.utf8.contains(0) else {
            throw KimiError(.io, "the name of a checkpoint folder is wanted, found \(JSONWriter.quoted(folder))")
        }
        guard let stream = opendir(folder) else {
            throw OpenFile.error("no checkpoint folder", errno: errno, path: folder)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            // Safe because readdir's entry is valid until the next call and its name ends in NUL.
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// The shards that the folder's own names show, sorted; for folders without an index.
    static func shardNames(among entries: [String], folder: String) throws(KimiError) -> [String] {
        if entries.contains(singleName) { return [singleName] }
        var byNumber: [Int: String] = [:]
        var total = 0
        for entry in entries.sorted() {
            guard let (number, of) = numbers(inShardName: entry) else { continue }
            guard of <= maxShards, (1...max(1, of)).contains(number) else {
                throw KimiError(
                    .format, "shard \(number) of \(of) makes no sense; at most \(maxShards) shards are supported",
                    file: path(folder, entry))
            }
            guard total == 0 || total == of else {
                throw KimiError(
                    .format, "one of \(of) shards, next to shards of a set of \(total); without \(indexName) only one set may be there",
                    file: path(folder, entry))
            }
            if let other = byNumber[number] {
                throw KimiError(.format, "the same shard number as \(other)", file: path(folder, entry))
            }
            total = of
            byNumber[number] = entry
        }
        guard total > 0 else {
            throw KimiError(
                .io,
                "no weights: neither \(indexName), \(singleName) nor model-00001-of-000NN.safetensors is in the folder",
                file: folder)
        }
        var names: [String] = []
        for number in 1...total {
            guard let name = byNumber[number] else {
                throw KimiError(
                    .io, "shard \(number) of \(total) is missing (\(byNumber.count) are there)", file: folder,
                    subject: "model-\(number)-of-\(total).safetensors")
            }
            names.append(name)
        }
        return names
    }

    /// The numbers N and M of `model-N-of-M.safetensors`, or nil if the name has another form.
    private static func numbers(inShardName name: String) -> (Int, Int)? {
        guard name.hasPrefix("model-"), name.hasSuffix(".safetensors") else { return nil }
        let parts = name.dropFirst("model-".count).dropLast(".safetensors".count)
            .split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[1] == "of", let number = digits(parts[0]), let total = digits(parts[2])
        else { return nil }
        return (number, total)
    }

    private static func digits(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return Int(text)
    }
}
