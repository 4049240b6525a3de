import ArgumentParser
import Foundation
import KimiCore
import KimiRuntime

/// Files by which a run helps later ones.
struct RunFiles: ParsableArguments {
    @Option(help: ArgumentHelp("Write how often each expert was chosen to this file at the end.", valueName: "file"))
    var saveHeat: String?

    @Option(
        help: ArgumentHelp(
            "Go on from the beginnings of prompts that earlier runs left in this file, if it is there, and leave those of this run in it at the end. As large as their cache; only the owner can read it.",
            valueName: "file"))
    var prefixes: String?

    /// Before anything is computed.
    func begin(_ model: Model) throws {
        guard let prefixes, FileManager.default.fileExists(atPath: prefixes) else { return }
        do { try model.loadPrefixes(from: prefixes) } catch where [.mismatch, .format, .unsupported].contains(error.status) {
            throw Failure(
                Failure(error).message, next: "Give the checkpoint and the options of the run that wrote it, or another file's name.")
        }
    }

    /// When all is computed.
    func end(_ model: Model) throws {
        if let saveHeat { try model.saveHeat(to: saveHeat) }
        if let prefixes { try model.savePrefixes(to: prefixes) }
    }
}
