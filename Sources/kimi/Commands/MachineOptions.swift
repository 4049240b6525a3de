import ArgumentParser
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiRuntime
import KimiVision

extension VisionArithmetic: ExpressibleByArgument {}
extension DecodeBits: ExpressibleByArgument {}

/// How a model is opened: options that concern the machine, not the text.
struct MachineOptions: ParsableArguments {
    enum InstructionSet: String, ExpressibleByArgument, CaseIterable {
        case scalar, avx2, avx512, avx512vnni, amx

        /// The library's number for it.
        var level: Int32? { (0..<8).first { Model.name(ofISA: $0) == rawValue } }
    }

    enum Cache: String, ExpressibleByArgument, CaseIterable {
        case f32, bf16, int8

        var type: CacheType {
            switch self {
            case .f32: .f32
            case .bf16: .bf16
            case .int8: .int8
            }
        }
    }

    enum Dense: String, ExpressibleByArgument, CaseIterable {
        case stored, int8

        var format: DenseFormat { self == .stored ? .stored : .int8 }
    }

    enum Load: String, ExpressibleByArgument, CaseIterable {
        case auto, map, copy, stream

        /// nil: the library chooses.
        var policy: LoadPolicy? {
            switch self {
            case .auto: nil
            case .map: .map
            case .copy: .copy
            case .stream: .stream
            }
        }
    }

    @Option(help: ArgumentHelp("Threads to compute with; one for each core if not given.", valueName: "n"))
    var threads: Int?

    @Option(help: "The instructions to use; the best there are if not given.")
    var isa: InstructionSet?

    @Option(help: ArgumentHelp(
        "The most tokens to hold, prompt and answer; the checkpoint's own limit if not given.", valueName: "n"))
    var context: Int?

    @Option(help: ArgumentHelp(
        "The most prompt tokens in one step, 1 to 4096; less takes less memory for work, and reads weights more often.",
        valueName: "n"))
    var chunk: Int?

    @Option(help: "How the cache of past tokens is kept: exactly, in half the memory, or in a little over a quarter of it.")
    var cache = Cache.f32

    @Option(help: """
        Use the weights where they are in the files (map), copy them into memory first, or copy all but routed experts, which are \
        then read when they are chosen (stream). By default they are mapped if they have room in memory, copied where there are \
        several memory nodes, else streamed.
        """)
    var load = Load.auto

    @Option(help: ArgumentHelp(
        """
        How weights are kept that every token reads (attention, dense layers, shared experts, head): as stored, or as bytes \
        made while opening, in half the memory.
        """))
    var dense = Dense.stored

    @Flag(help: "Keep to the exact path, also for steps of 160 and more tokens of a prompt (64 with --dense int8), which else round activations to 16 bits (8); and to the same bits on every instruction set.")
    var exact = false

    @Option(help: ArgumentHelp(
        """
        To how many bits activations are rounded for generated tokens and short prompts: 24 is exact; 16; or 8, as other engines \
        do, for the most tokens of many sequences.
        """, valueName: "n"))
    var decodeBits = DecodeBits.exact

    @Option(help: """
        What the vision tower computes with on processors with AMX: pairs of bfloat16 (full), or single ones (bf16), as the \
        reference does, with half the multiplications.
        """)
    var visionArithmetic = VisionArithmetic.full

    @OptionGroup
    var memory: MemoryArguments

    /// The library's options.
    var modelOptions: Model.Options {
        var options = Model.Options()
        options.threads = threads
        options.isa = isa?.level
        options.contextLimit = context
        options.cacheType = cache.type
        options.loadPolicy = load.policy
        options.dense = dense.format
        options.exact = exact
        options.decodeBits = decodeBits
        options.vision = visionArithmetic
        if let chunk { options.chunkSize = chunk }
        options.memory = memory.options
        options.log = Log { level, message in
            if level == .warning || level == .error { Terminal.error.write("kimi: \(message)\n") }
        }
        return options
    }

    /// Opens the checkpoint, with a progress bar; a wish to stop ends that.
    func open(_ folder: String, _ interrupt: Interrupt) throws -> Model {
        try Self.open(folder, modelOptions, interrupt)
    }

    static func open(_ folder: String, _ options: Model.Options, _ interrupt: Interrupt) throws -> Model {
        let bar = ProgressBar("opening", unit: .bytes)
        defer { bar.finish() }
        do throws(KimiError) {
            return try Model(folder: folder, options: options) { (done, total) throws(KimiError) in
                if interrupt.isRequested { throw KimiError(.cancelled, "interrupted") }
                bar.update(done, of: total)
            }
        } catch {
            guard error.status == .cancelled && interrupt.isRequested else { throw error }
            throw ExitCode(Interrupt.exitCode)
        }
    }
}
