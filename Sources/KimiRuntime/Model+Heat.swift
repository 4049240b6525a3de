import KimiCore
import KimiModel

extension Model {
    /// How often each expert was chosen since the model was opened, as the text of a heat file.
    package func heat() throws(KimiError) -> String { try text.heat() }

    /// Writes that text to `path`, which holds all of it or what it held before.
    package func saveHeat(to path: String) throws(KimiError) {
        let content = try heat()
        let file = try NewFile(path: path, mode: 0o644)
        let bytes = Array((content + "\n").utf8)
        try bytes.withUnsafeBytes { raw in Result { () throws(KimiError) in try file.write(raw) } }.get()
        try file.finish()
    }
}
