/// The automaton that a grammar is: takes configurations one byte further. It owns the stacks and sets that configurations name by
/// number, and so belongs to one matcher and one thread.
///
/// A configuration that `step` gives out can always be completed: every demand is checked as soon as it could be missed.
final class GrammarMachine {
    let grammar: Grammar
    var stacks = FrameStacks()
    var sets = TakenSets()
    /// What the steps of one byte have led to.
    var output: [Configuration] = []

    /// The most configurations at once. Beyond them alternatives are dropped: each that stays is a valid one by itself.
    static let configurationLimit = 256

    init(_ grammar: Grammar) { self.grammar = grammar }

    var start: Configuration {
        var frame = Frame(.value)
        frame.shape = grammar.root
        return Configuration(frame: frame, stack: 0)
    }

    /// Adds to `output` where `byte` leads from a configuration: mostly one or none, several where alternatives begin alike.
    @inline(__always)
    func step(_ configuration: Configuration, _ byte: UInt8) {
        switch configuration.frame.kind {
        case .string, .key: stepString(configuration, byte)
        case .value: stepValue(configuration, byte)
        case .object: stepObject(configuration, byte)
        case .array: stepArray(configuration, byte)
        case .number: stepNumber(configuration, byte)
        case .word: stepWord(configuration, byte)
        case .raw: stepRaw(configuration, byte)
        case .done: _ = stepSpace(configuration, byte)
        }
    }

    @inline(__always)
    func emit(_ frame: Frame, _ stack: Int32) {
        output.append(Configuration(frame: frame, stack: stack))
    }

    /// Takes white space between two tokens; false if the byte is none.
    @inline(__always)
    func stepSpace(_ configuration: Configuration, _ byte: UInt8) -> Bool {
        guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return false }
        guard Int(configuration.frame.spaces) < Grammar.spaceLimit(depth: Int(configuration.frame.depth)) else { return true }
        var frame = configuration.frame
        frame.spaces += 1
        emit(frame, configuration.stack)
        return true
    }

    /// Whether the whole text may end here.
    func canEnd(_ configuration: Configuration) -> Bool {
        switch configuration.frame.kind {
        case .done: true
        case .number: configuration.stack == 0 && canEndNumber(configuration.frame)
        case .raw: grammar.trees[Int(configuration.frame.shape)].nodes[Int(configuration.frame.a)].terminal >= 0
        default: false
        }
    }

    // MARK: Values

    /// Whether a value of a node can stand where so many containers are open.
    @inline(__always)
    func fits(_ node: Int32, _ depth: UInt8) -> Bool {
        node >= 0 && grammar.depths[Int(node)] + Int32(depth) <= Grammar.depthLimit
    }

    func stepValue(_ configuration: Configuration, _ byte: UInt8) {
        let frame = configuration.frame
        let node = Int(frame.shape)
        for index in Int(grammar.starts[node])..<Int(grammar.starts[node + 1]) {
            let shape = grammar.alternatives[index]
            switch shape.kind {
            case .string where byte == 0x22: beginString(shape, configuration)
            case .object where byte == 0x7B: beginContainer(.object, shape, configuration)
            case .array where byte == 0x5B: beginContainer(.array, shape, configuration)
            case .number where byte == 0x2D || byte &- 0x30 < 10: beginNumber(shape, configuration, byte)
            case .null where byte == 0x6E: beginWord(.null, configuration)
            case .no where byte == 0x66: beginWord(.no, configuration)
            case .yes where byte == 0x74: beginWord(.yes, configuration)
            case .raw:
                var next = Frame(.raw)
                next.shape = shape.index
                stepRaw(Configuration(frame: next, stack: configuration.stack), byte)
                return
            default: continue
            }
        }
        _ = stepSpace(configuration, byte)
    }

    private func beginContainer(_ kind: Frame.Kind, _ shape: Shape, _ configuration: Configuration) {
        guard shape.depth + Int32(configuration.frame.depth) <= Grammar.depthLimit else { return }
        var frame = Frame(kind)
        frame.shape = shape.index
        frame.depth = configuration.frame.depth + 1
        if kind == .object {
            frame.x = UInt64(UInt32(bitPattern: grammar.objects[Int(shape.index)].requiredCount))
        } else if grammar.arrays[Int(shape.index)].isUnique {
            frame.a = TakenSets.apart
        }
        emit(frame, configuration.stack)
    }

    /// Goes on behind a value that has ended: in the frame around it.
    @inline(__always)
    func afterValue(_ stack: Int32, _ taken: Int32, _ member: @autoclosure () -> UInt64) -> Configuration {
        guard stack != 0 else { return Configuration(frame: Frame(.done), stack: 0) }
        guard taken != 0 else { return stacks[stack] }
        var parent = stacks[stack]
        parent.frame.a = sets.adding(member(), to: parent.frame.a)
        return parent
    }

    // MARK: Words

    private static let words: [[UInt8]] = [Array("null".utf8), Array("false".utf8), Array("true".utf8)]
    private static let members = [TakenSets.Member.null, TakenSets.Member.no, TakenSets.Member.yes]

    private func beginWord(_ kind: Shape.Kind, _ configuration: Configuration) {
        let index = Int(kind.rawValue)
        guard !sets.contains(configuration.frame.taken, Self.members[index]) else { return }
        var frame = Frame(.word)
        frame.shape = Int32(truncatingIfNeeded: index)
        frame.b = 1
        frame.taken = configuration.frame.taken
        emit(frame, configuration.stack)
    }

    private func stepWord(_ configuration: Configuration, _ byte: UInt8) {
        let word = Self.words[Int(configuration.frame.shape)]
        guard word[Int(configuration.frame.b)] == byte else { return }
        var frame = configuration.frame
        frame.b += 1
        if Int(frame.b) < word.count {
            emit(frame, configuration.stack)
        } else {
            let next = afterValue(configuration.stack, frame.taken, Self.members[Int(frame.shape)])
            emit(next.frame, next.stack)
        }
    }

    // MARK: Literals of bytes

    private func stepRaw(_ configuration: Configuration, _ byte: UInt8) {
        var frame = configuration.frame
        frame.a = grammar.trees[Int(frame.shape)].child(frame.a, UInt32(byte))
        if frame.a >= 0 { emit(frame, configuration.stack) }
    }
}
