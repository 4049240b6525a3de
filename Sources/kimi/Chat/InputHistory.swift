import CLineEditing
import Glibc

/// What was typed in chats before: in memory for the editor, and in a file of the user's own, mode 0600.
///
/// Each line is saved at once, after lines that other chats have saved meanwhile.
final class InputHistory {
    /// For libedit.
    let entries: OpaquePointer
    private let path: String
    private static let limit: Int32 = 1000

    /// The file: $XDG_STATE_HOME/kimi/history, or the same below ~/.local/state. nil if nobody says where home is.
    static var standardPath: String? {
        if let state = Terminal.variable("XDG_STATE_HOME"), state.hasPrefix("/") { return state + "/kimi/history" }
        return Terminal.variable("HOME").flatMap { $0.hasPrefix("/") ? $0 + "/.local/state/kimi/history" : nil }
    }

    /// - Returns: nil if the file cannot be used: the chat works without.
    init?(_ path: String) {
        guard Self.makeFolder(of: path), let entries = cle_history(Self.limit) else { return nil }
        self.entries = entries
        self.path = path
        // What is not its own kind of file is left alone; deinit frees the entries.
        guard access(path, F_OK) != 0 || cle_history_load(entries, path) >= 0 || Self.isEmpty(path) else { return nil }
    }

    deinit { history_end(entries) }

    func add(_ line: String) {
        cle_history_enter(entries, line)
        guard let merged = cle_history(Self.limit) else { return }
        defer { history_end(merged) }
        guard access(path, F_OK) != 0 || cle_history_load(merged, path) >= 0 || Self.isEmpty(path) else { return }
        cle_history_enter(merged, line)
        // Written beside and moved into place: a chat that ends in between leaves the old file.
        let fresh = path + ".\(getpid())"
        let mask = umask(0o077)
        let written = cle_history_save(merged, fresh)
        umask(mask)
        if written < 0 || rename(fresh, path) != 0 { unlink(fresh) }
    }

    private static func isEmpty(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_size == 0
    }

    /// Makes the folders of the path that are missing, for the user alone.
    private static func makeFolder(of path: String) -> Bool {
        let parts = path.split(separator: "/").dropLast()
        var folder = ""
        for part in parts {
            folder += "/" + part
            if mkdir(folder, 0o700) != 0 && errno != EEXIST && access(folder, F_OK) != 0 { return false }
        }
        return true
    }
}
