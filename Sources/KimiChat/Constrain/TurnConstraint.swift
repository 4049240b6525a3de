import KimiCore
import KimiTokenizer

/// What a turn may say next: follows the answer token by token and narrows the choice where something is promised.
///
/// Within a call the name is that of a declared tool, the id is the library's, the arguments satisfy the schema; after a call comes
/// another or the end of the section. An answer with a `response_format` satisfies its schema. A thought ends at its budget. Outside of
/// these only special tokens that have no place there are out. One thread at a time.
package final class TurnConstraint {
    /// A tool that may be called.
    package struct Tool {
        package let name: String
        package let arguments: Grammar

        package init(name: String, arguments: Grammar) {
            self.name = name
            self.arguments = arguments
        }
    }

    package struct Options {
        /// Tools that may be called; none: no section may begin.
        package var tools: [Tool] = []
        /// Whether a tool must be called.
        package var mustCall = false
        /// Whether a section may have several calls.
        package var parallelCalls = true
        /// What the answer must be, if something was asked for.
        package var answer: Grammar?
        /// The most reasoning tokens; nil: no limit.
        package var reasoningBudget: Int?
        /// Whether the model opens its thought itself, with a token of its own.
        package var opensThought = false
        /// The index of the next call of the conversation.
        package var firstCall = 0
        /// False: only the budget and the ban of calls without tools hold.
        package var enforces = true

        package init() {}
    }

    private enum Place {
        /// Before a thought that the model opens itself.
        case opening
        case reasoning
        case content
        /// An answer with a grammar; whether nothing of it came yet.
        case answer(GrammarMatcher, isNew: Bool)
        /// After the section's beginning.
        case section
        case callName(GrammarMatcher, written: [UInt8])
        case arguments(GrammarMatcher)
        case afterCall
        case afterSection
        case ended
    }

    private let tokens: ChatTokens
    private let tokenizer: Tokenizer
    private let matchers: GrammarMatchers
    private let options: Options
    private let endTokens: [Int32]
    private var place: Place
    private var reasoningTokens = 0
    private var calls = 0
    /// Special tokens that have no place in a thought, and in content.
    private let bannedInReasoning: [Int32]
    private let bannedInContent: [Int32]
    /// The latest mask, `maskWords` words; lent to who chooses, so it has an address of its own.
    private let mask: UnsafeMutablePointer<UInt64>
    private let maskWords: Int
    /// Whether the thought was closed because its budget was used up.
    package private(set) var closedThought = false

    /// - Parameters:
    ///   - matchers: for the tokenizer's vocabulary; those of earlier turns know masks already.
    ///   - modelVocabulary: how many logits there are; the tokenizer may know fewer ids.
    ///   - endTokens: the model's, which end a turn.
    ///   - startsInReasoning: as the renderer says.
    package init(
        tokens: ChatTokens, tokenizer: Tokenizer, matchers: GrammarMatchers, modelVocabulary: Int, endTokens: [Int32],
        startsInReasoning: Bool, options: Options
    ) {
        self.matchers = matchers
        self.tokens = tokens
        self.tokenizer = tokenizer
        self.options = options
        self.endTokens = endTokens
        maskWords = (max(modelVocabulary, tokenizer.vocabularySize, 1) + 63) / 64
        mask = .allocate(capacity: maskWords)
        mask.initialize(repeating: 0, count: maskWords)
        let section = options.tools.isEmpty ? [] : [tokens[.toolCallsBegin], tokens[.toolCallBegin]].compactMap { $0 }
        // Where nothing is enforced a call is written like any text, all of its markers included.
        let within = [tokens[.toolCallArgumentBegin], tokens[.toolCallEnd], tokens[.toolCallsEnd]].compactMap { $0 }
        let everywhere = Set(section + (options.enforces || options.tools.isEmpty ? [] : within))
        let special = tokenizer.specialIDs.values
        // Where something is promised for the end of the turn, the thought is no place to end it.
        let promises = options.enforces && (options.mustCall || options.answer != nil)
        let inReasoning = everywhere.union([tokens[.endThink]].compactMap { $0 }).union(promises ? [] : endTokens)
        bannedInReasoning = special.filter { !inReasoning.contains($0) }
        let inContent = everywhere.union(endTokens)
        bannedInContent = special.filter { !inContent.contains($0) }
        place = .ended
        place = startsInReasoning ? .reasoning : options.opensThought ? .opening : content()
    }

    deinit { mask.deallocate() }

    private func content() -> Place {
        guard options.enforces, let answer = options.answer else { return .content }
        return .answer(matchers.matcher(answer), isNew: true)
    }

    // MARK: What may come

    /// What may come next. A mask is lent until the next call.
    package func choice() -> TokenChoice {
        switch place {
        case .opening:
            return tokens[.think].map { .only($0) } ?? .any
        case .reasoning:
            if let budget = options.reasoningBudget, reasoningTokens >= budget, let end = tokens[.endThink] { return .only(end) }
            return .except(bannedInReasoning)
        case .content:
            if options.enforces, options.mustCall, calls == 0, let begin = sectionBegin { return .only(begin) }
            return .except(bannedInContent)
        case .answer(let matcher, let isNew):
            if options.mustCall, calls == 0, let begin = sectionBegin { return .only(begin) }
            // Calls may come in place of the answer, not in it.
            return masked(matcher, also: (matcher.canEnd ? endTokens : []) + (isNew ? [sectionBegin].compactMap { $0 } : []))
        case .section:
            return tokens[.toolCallBegin].map { .only($0) } ?? .any
        case .callName(let matcher, _):
            return masked(matcher, also: matcher.canEnd ? [tokens[.toolCallArgumentBegin]].compactMap { $0 } : [])
        case .arguments(let matcher):
            return masked(matcher, also: matcher.canEnd ? [tokens[.toolCallEnd]].compactMap { $0 } : [])
        case .afterCall:
            let next = [tokens[.toolCallsEnd]] + (options.parallelCalls ? [tokens[.toolCallBegin]] : [])
            return .oneOf(next.compactMap { $0 })
        case .afterSection:
            return endTokens.isEmpty ? .any : .oneOf(endTokens)
        case .ended:
            return .any
        }
    }

    private var sectionBegin: Int32? { options.tools.isEmpty ? nil : tokens[.toolCallsBegin] ?? tokens[.toolCallBegin] }

    private func masked(_ matcher: GrammarMatcher, also ids: [Int32]) -> TokenChoice {
        matcher.fill(mask)
        for id in ids where id >= 0 && Int(id) / 64 < maskWords { mask[Int(id) / 64] |= 1 << UInt64(id % 64) }
        // A vocabulary that lacks a character has no way on. The turn ends; its call, if there is one, is none.
        if !(0..<maskWords).contains(where: { mask[$0] != 0 }) { return endTokens.isEmpty ? .any : .oneOf(endTokens) }
        return .among(UnsafePointer(mask))
    }

    // MARK: What came

    /// Follows the answer. Takes any token: one that `choice` does not allow, where nothing is enforced, is followed as far as it
    /// makes sense.
    package func accept(_ id: Int32) {
        guard options.enforces else { return follow(id) }
        switch place {
        case .callName(let matcher, let written):
            if id == tokens[.toolCallArgumentBegin] {
                place = arguments(of: written)
            } else if matcher.accept(id) {
                place = .callName(matcher, written: written + (tokenizer.piece(id) ?? []))
            }
        case .arguments(let matcher):
            if id == tokens[.toolCallEnd] {
                calls &+= 1
                place = .afterCall
            } else {
                _ = matcher.accept(id)
            }
        case .answer(let matcher, _):
            if matcher.accept(id) { place = .answer(matcher, isNew: false) } else { follow(id) }
        default:
            follow(id)
        }
    }

    private func follow(_ id: Int32) {
        if endTokens.contains(id) {
            place = .ended
        } else if case .opening = place {
            place = id == tokens[.think] ? .reasoning : content()
        } else if id == tokens[.endThink] {
            if case .reasoning = place {
                closedThought = options.reasoningBudget.map { reasoningTokens >= $0 } ?? false
                place = content()
            }
        } else if id == tokens[.toolCallsBegin] {
            place = options.enforces ? .section : .content
        } else if id == tokens[.toolCallBegin] {
            place = options.enforces ? name() : .content
        } else if id == tokens[.toolCallsEnd] {
            place = options.enforces ? .afterSection : .content
        } else if case .reasoning = place {
            reasoningTokens &+= 1
        }
    }

    private func name() -> Place {
        .callName(matchers.unkept(.literals(options.tools.map(id))), written: [])
    }

    /// What a call of a tool is called here, as the model writes it.
    private func id(_ tool: Tool) -> [UInt8] { Array(ToolCallIDs.canonical(tool.name, options.firstCall &+ calls).utf8) }

    private func arguments(of written: [UInt8]) -> Place {
        .arguments(matchers.matcher(options.tools.first { id($0) == written }?.arguments ?? .anyObject))
    }
}
