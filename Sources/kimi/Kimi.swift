import ArgumentParser
import Glibc

/// The program: one subcommand for each thing one does with a checkpoint folder.
@main
struct Kimi: ParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "kimi",
        abstract: "Runs Kimi K2.5 and its siblings from the folder that was downloaded.",
        discussion: """
            Every command takes the folder of a published checkpoint: config.json, the tokenizer's files and the \
            .safetensors shards. Nothing is converted and no second copy is made.

            If you have no checkpoint at hand, make a small one of random weights and look around:

              kimi synth --geometry tiny /tmp/tiny
              kimi inspect /tmp/tiny
              kimi tokenize /tmp/tiny "Hello, world"
              kimi run /tmp/tiny "Once upon a time" --max-tokens 32 --stats

            Answers and tables go to the standard output; progress, statistics and errors to the error stream. \
            Commands end with 0 if all went well, 1 if something failed, 64 for a command line that makes no sense, \
            and 130 after Ctrl-C.
            """,
        version: "kimi \(version)",
        subcommands: [Chat.self, Run.self, Swarm.self, Inspect.self, Plan.self, Tokenize.self, Bench.self, Synth.self])

    /// hwloc writes to the error stream when firmware or a file describes a machine in disorder, and reads on. That is nothing for the
    /// program's user; who looks for a fault asks for it by the same variable.
    static func main() {
        setenv("HWLOC_HIDE_ERRORS", "2", 0)
        main(nil)
    }
}
