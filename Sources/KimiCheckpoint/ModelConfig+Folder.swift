import CKimiSystem
import KimiCore

extension ModelConfig {
    /// The configuration of a folder that need hold nothing else: what is known of a checkpoint before it is downloaded.
    ///
    /// - Throws: as `Checkpoint.init` does for its configuration.
    package init(folder: String) throws(KimiError) {
        let settings = cks_float_use_default()
        defer { cks_float_restore(settings) }
        let entries = try FolderLayout.entries(of: folder)
        guard let bytes = try Checkpoint.contents(folder, "config.json", among: entries, limit: 16 << 20) else {
            throw KimiError(.io, "no config.json: this is no checkpoint folder", file: folder, subject: "config.json")
        }
        self = try Checkpoint.readConfig(bytes, folder: folder, entries: entries)
    }

    /// Whether a folder has files of weights, or names some in an index.
    package static func hasWeights(folder: String) throws(KimiError) -> Bool {
        try FolderLayout.entries(of: folder).contains { $0 == FolderLayout.indexName || $0.hasSuffix(".safetensors") }
    }
}
