import KimiCore

/// Writes text to files for programs.
package enum TextFile {
    /// A file with this text, in place of one that may be there; whole, or not at all.
    ///
    /// - Throws: `io` with the system's reason.
    package static func write(_ text: String, to path: String) throws(KimiError) {
        guard !path.utf8.contains(0) else { throw KimiError(.invalidArgument, "a file name cannot hold a NUL byte", subject: "path") }
        let file = try NewFile(path: path, mode: 0o644)
        let bytes = Array(text.utf8)
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(KimiError) in try file.write(buffer) }
        }
        try result.get()
        try file.finish()
    }
}
