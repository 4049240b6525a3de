import KimiCore
import KimiTokenizer

/// What an answer says, piece by piece. Texts are whole characters.
package enum OutputEvent: Equatable, Sendable {
    case reasoning(String)
    case content(String)
    /// A call begins; `index` counts the calls of the answer.
    case callBegin(index: Int, id: String, name: String)
    case argumentDelta(index: Int, id: String, name: String, text: String)
    case callEnd(index: Int, id: String, name: String, arguments: String)
    /// No call; `preview` is how it begins.
    case callRejected(index: Int, name: String, reason: CallRejection, preview: String)
}

/// Why something that began as a call is none; numbered as in kimi.h.
package enum CallRejection: Int32, Sendable {
    /// No declared tool has this name, or several might be meant.
    case unknownTool = 1
    /// The arguments are no JSON object.
    case arguments = 2
    /// The answer ended within the call.
    case unfinished = 3
}

/// Reads an answer token by token: one machine for streams and for whole answers (OutputTable). No length is too long for it but
/// the context's, and nothing is read twice. One thread at a time.
package struct OutputParser {
    /// nil for an output that is read as text.
    private let tokenizer: Tokenizer?
    private let kinds: [Int32: OutputTable.Kind]
    /// The tools that may be called, or nil to take calls as they are written.
    private let tools: [String]?
    private let firstCall: Int
    private var state: OutputTable.State
    private var decoder: StreamDecoder?
    /// The call that is being read.
    private var header = ""
    private var call: (id: String, name: String)?
    private var arguments = ""
    /// White space that ends the arguments unless more follows.
    private var trailing = ""
    /// Calls begun so far, rejected ones not counted.
    private var calls = 0

    /// - Parameters:
    ///   - endTokens: those that end a turn.
    ///   - tools: names that calls may have; nil: any, and ids are taken as written.
    ///   - firstCall: the index of the answer's first call in the conversation.
    package init(
        tokens: ChatTokens, tokenizer: Tokenizer, endTokens: [Int32], startsInReasoning: Bool, tools: [String]? = nil,
        firstCall: Int = 0
    ) {
        self.tokenizer = tokenizer
        self.tools = tools
        self.firstCall = firstCall
        var kinds: [Int32: OutputTable.Kind] = [:]
        for id in tokenizer.specialIDs.values { kinds[id] = .other }
        for (marker, kind) in Self.markers { if let id = tokens[marker] { kinds[id] = kind } }
        // The head of another message ends this one as well.
        for id in endTokens + [Marker.imEnd, .imUser, .imAssistant, .imSystem].compactMap({ tokens[$0] }) { kinds[id] = .endOfTurn }
        self.kinds = kinds
        state = startsInReasoning ? .reasoning : .opening
        decoder = StreamDecoder(tokenizer, continuing: true)
    }

    static let markers: [(Marker, OutputTable.Kind)] = [
        (.think, .think), (.endThink, .endThink), (.toolCallsBegin, .sectionBegin), (.toolCallsEnd, .sectionEnd),
        (.toolCallBegin, .callBegin), (.toolCallArgumentBegin, .argumentBegin), (.toolCallEnd, .callEnd),
    ]

    /// For an output that is read as text, see `feed(text:)`.
    package init(startsInReasoning: Bool, tools: [String]? = nil, firstCall: Int = 0) {
        (tokenizer, decoder, kinds) = (nil, nil, [:])
        (self.tools, self.firstCall) = (tools, firstCall)
        state = startsInReasoning ? .reasoning : .opening
    }

    /// Whether the next text is reasoning.
    package var isReasoning: Bool { state == .reasoning }
    /// Whether the answer is within a call.
    package var isInCall: Bool { state == .header || state == .arguments }

    /// Takes the next token.
    package mutating func feed(_ id: Int32) -> [OutputEvent] {
        let kind = kinds[id] ?? .text
        var events: [OutputEvent] = []
        // A padded vocabulary has ids that the tokenizer does not know; they have no text.
        step(kind, { parser in (try? parser.decoder?.feed(id)) ?? [] }, { parser in parser.tokenizer?.piece(id) ?? [] }, &events)
        return events
    }

    /// Takes a token of this kind, or a piece of text: `text` is what is complete with it, `name` what it is called.
    mutating func step(
        _ kind: OutputTable.Kind, _ text: (inout OutputParser) -> [UInt8], _ name: (OutputParser) -> [UInt8],
        _ events: inout [OutputEvent]
    ) {
        let (action, next) = OutputTable.entry(state, kind)
        switch action {
        case .take:
            say(text(&self), &events)
        case .takeName:
            flush(&events)
            say(name(self), &events)
        case .drop:
            break
        case .leave:
            flush(&events)
        case .open:
            flush(&events)
            open(&events)
        case .close:
            flush(&events)
            close(&events)
        case .openAndClose:
            flush(&events)
            open(&events)
            state = .arguments
            close(&events)
        case .reject:
            flush(&events)
            reject(kind == .endOfTurn ? .unfinished : .unknownTool, &events)
        }
        state = next
    }

    /// Takes the next tokens, however many come at once.
    package mutating func feed(_ ids: some Sequence<Int32>) -> [OutputEvent] {
        var events: [OutputEvent] = []
        for id in ids { events += feed(id) }
        return events
    }

    /// No more tokens come. What is held back is given out; a call that has not ended is none.
    package mutating func finish() -> [OutputEvent] {
        var events: [OutputEvent] = []
        flush(&events)
        if isInCall { reject(.unfinished, &events) }
        state = .ended
        return events
    }

    // MARK: Text

    private mutating func flush(_ events: inout [OutputEvent]) {
        guard let tokenizer else { return }
        say(decoder?.finish() ?? [], &events)
        decoder = StreamDecoder(tokenizer, continuing: true)
    }

    private mutating func say(_ bytes: [UInt8], _ events: inout [OutputEvent]) {
        guard !bytes.isEmpty else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        switch state {
        case .reasoning: events.append(.reasoning(text))
        case .opening, .content: events.append(.content(text))
        case .header: header += text
        case .arguments: say(arguments: text, &events)
        case .section, .ended: break
        }
    }

    /// White space around arguments is no part of them.
    private mutating func say(arguments text: String, _ events: inout [OutputEvent]) {
        var delta = text
        if arguments.isEmpty { delta = String(delta.drop(while: \.isJSONSpace)) }
        guard !delta.isEmpty else { return }
        delta = trailing + delta
        trailing = String(delta.reversed().prefix(while: \.isJSONSpace).reversed())
        delta.removeLast(trailing.count)
        guard !delta.isEmpty else { return }
        arguments += delta
        if let call { events.append(.argumentDelta(index: calls, id: call.id, name: call.name, text: delta)) }
    }

    // MARK: Calls

    private mutating func open(_ events: inout [OutputEvent]) {
        let written = header.trimmed
        if let tools {
            // A name that is not found waits for its end: then what it wanted to say can be shown.
            call = CallName.declared(in: tools, written).map { (ToolCallIDs.canonical($0, firstCall &+ calls), $0) }
        } else {
            call = (written, CallName(written).name)
        }
        if let call { events.append(.callBegin(index: calls, id: call.id, name: call.name)) }
    }

    private mutating func close(_ events: inout [OutputEvent]) {
        guard let call else { return reject(.unknownTool, &events) }
        // Nothing at all is how a tool without parameters is called.
        if arguments.isEmpty { say(arguments: "{}", &events) }
        if tools != nil, !Self.isObject(arguments) { return reject(.arguments, &events) }
        events.append(.callEnd(index: calls, id: call.id, name: call.name, arguments: arguments))
        calls &+= 1
        forget()
    }

    private mutating func reject(_ reason: CallRejection, _ events: inout [OutputEvent]) {
        let written = header.trimmed
        let preview = String((written + (arguments.isEmpty ? "" : " " + arguments)).prefix(200))
        events.append(.callRejected(index: calls, name: call?.name ?? CallName(written).name, reason: reason, preview: preview))
        forget()
    }

    private mutating func forget() {
        (header, arguments, trailing) = ("", "", "")
        call = nil
    }

    private static func isObject(_ text: String) -> Bool {
        guard case .object? = try? JSON.parse(Array(text.utf8), file: "arguments", maxDepth: 512) else { return false }
        return true
    }
}

extension Character {
    fileprivate var isJSONSpace: Bool { self == " " || self == "\n" || self == "\r" || self == "\t" || self == "\r\n" }
}

extension String {
    fileprivate var trimmed: String {
        String(drop(while: \.isJSONSpace).reversed().drop(while: \.isJSONSpace).reversed())
    }
}
