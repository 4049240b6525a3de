import ArgumentParser
import Glibc
import KimiCore

/// Why a command could not do its work, and what to do about it.
struct Failure: Error {
    let message: String
    /// The next step for the person at the keyboard, or nil.
    let next: String?

    init(_ message: String, next: String? = nil) {
        self.message = message
        self.next = next
    }

    /// A refused system call, with the system's words.
    init(_ doing: String, errno number: Int32, next: String? = nil) {
        self.init("\(doing): \(String(cString: strerror(number)))", next: next ?? Self.next(errno: number))
    }

    init(_ error: KimiError) {
        self.init(Self.words(error), next: Self.next(error))
    }

    /// File, subject and message, but no subject that the message begins with anyway.
    private static func words(_ error: KimiError) -> String {
        guard let subject = error.subject, error.message.hasPrefix(subject) else { return error.description }
        return KimiError(error.status, error.message, file: error.file).description
    }

    private static func next(_ error: KimiError) -> String? {
        switch error.status {
        case .io where error.subject == "config.json":
            "Give the folder with config.json, the tokenizer and the .safetensors files; `kimi synth` writes one to try."
        case .io: "Check the path, the permissions and that all files of the checkpoint are there."
        case .format:
            "The file is damaged or its download incomplete: fetch it again and compare its size with the publisher's."
        case .unsupported where error.subject == "isa": "Leave --isa out: the best that this processor has is taken."
        case .unsupported:
            "libkimi runs Kimi K2.5 and its siblings of the same architecture (kimi_k25, kimi_k2, deepseek_v3)."
        case .outOfMemory: "Free some memory, allow more with --memory, or ask for a shorter --context."
        case .contextFull: "Shorten the prompt, or give a larger --context."
        case .invalidArgument: "`kimi help` and `kimi help COMMAND` list the options and their ranges."
        case .numeric:
            "The weights lead to numbers that are none: verify the checkpoint's files, or report it if they are right."
        case .internal: "This is a bug in libkimi; please report it with the command that led here."
        default: nil
        }
    }

    private static func next(errno number: Int32) -> String {
        switch number {
        case ENOSPC, EDQUOT: "Free some space or choose another place."
        case EACCES, EPERM, EROFS: "Choose a place where you have the permission, or get it."
        case EMFILE, ENFILE: "Allow more open files: ulimit -n."
        case ENOENT, ENOTDIR: "Check the path: each folder on it must be there."
        default: "Check the path and the device, and try again."
        }
    }

    /// Writes the failure as two lines of the error stream.
    func report() {
        Terminal.error.write("kimi: \(message)\n" + (next.map { "      \($0)\n" } ?? ""))
    }
}

/// A subcommand: `execute` does the work, and what it throws is told in words, with exit code 1.
protocol Command: ParsableCommand {
    func execute() throws
}

extension Command {
    func run() throws {
        do {
            try execute()
        } catch let failure as Failure {
            failure.report()
            throw ExitCode(1)
        } catch let error as KimiError {
            Failure(error).report()
            throw ExitCode(1)
        }
    }
}
