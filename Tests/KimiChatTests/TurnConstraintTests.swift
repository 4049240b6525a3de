import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer
import Testing

/// Turns written at random among what the constraint allows, read by the parser: whatever was promised holds.
struct TurnConstraintTests {
    static let tokenizer = Result { () throws -> Tokenizer in try Tokenizer(folder: Fixtures.path("tiny-kimi")) }
    static let tree = Result { () throws -> VocabularyTree in VocabularyTree(try tokenizer.get()) }
    static let end: Int32 = 1538

    static func grammar(_ text: String) throws -> Grammar { Grammar(schema: try JSON.parse(Array(text.utf8), file: "schema")) }

    struct Turn {
        var parsed: ParsedOutput
        var ids: [Int32]
        var ended: Bool
        var constraint: TurnConstraint
    }

    /// Writes a turn, at most `limit` tokens; what is forced counts as well.
    static func write(
        _ options: TurnConstraint.Options, thinking: Bool, seed: UInt64, limit: Int = 1500, tree: VocabularyTree? = nil
    ) throws -> Turn {
        let tokenizer = try tokenizer.get()
        let tokens = ChatTokens(tokenizer)
        var random = SplitMix(seed)
        let tree = try tree ?? Self.tree.get()
        let matchers = GrammarMatchers { tree }
        let constraint = TurnConstraint(
            tokens: tokens, tokenizer: tokenizer, matchers: matchers, modelVocabulary: 1792, endTokens: [end],
            startsInReasoning: thinking, options: options)
        var ids: [Int32] = []
        while ids.count < limit, ids.last != end {
            let id: Int32
            switch constraint.choice() {
            case .any: id = Int32.random(in: 0..<1792, using: &random)
            case .only(let one): id = one
            case .oneOf(let some): id = try #require(some.randomElement(using: &random))
            case .except(let banned):
                let banned = Set(banned)
                // Ends and sections come often enough to be seen.
                let special = [end, tokens[.toolCallsBegin], tokens[.endThink]].compactMap { $0 }.filter { !banned.contains($0) }
                id = Int.random(in: 0..<20, using: &random) == 0 ? special.randomElement(using: &random) ?? end
                    : (0..<1536).filter { !banned.contains($0) }.randomElement(using: &random) ?? end
            case .among(let words):
                let allowed = (0..<Int32(1792)).filter { words[Int($0) / 64] >> UInt64($0 % 64) & 1 == 1 }
                // Little white space, so that values end.
                let dense = allowed.filter { tokenizer.piece($0)?.contains { $0 > 0x20 } ?? true }
                id = try #require((dense.isEmpty ? allowed : dense).randomElement(using: &random))
            }
            constraint.accept(id)
            ids.append(id)
        }
        let parser = OutputParser(
            tokens: tokens, tokenizer: tokenizer, endTokens: [end], startsInReasoning: thinking, tools: options.tools.map(\.name),
            firstCall: options.firstCall)
        return Turn(parsed: ParsedOutput(ids, parser, hasThought: thinking), ids: ids, ended: ids.last == end, constraint: constraint)
    }

    static func tools() throws -> [TurnConstraint.Tool] {
        [
            .init(name: "read", arguments: try grammar(#"{"type":"object","properties":{"path":{"enum":["a","b"]}},"required":["path"],"additionalProperties":false}"#)),
            .init(name: "read_all", arguments: try grammar(#"{"type":"object","additionalProperties":false}"#)),
            .init(name: "a.b-c", arguments: try grammar(#"{"type":"object","properties":{"n":{"type":"integer","minimum":3,"maximum":5}},"required":["n"],"additionalProperties":false}"#)),
        ]
    }

    static func isValid(_ call: ChatMessage.ToolCall) throws -> Bool {
        let object = try JSONSerialization.jsonObject(with: Data(call.arguments.utf8)) as? [String: Any]
        return switch call.name {
        case "read": object?.count == 1 && ["a", "b"].contains(object?["path"] as? String)
        case "read_all": object?.isEmpty == true
        case "a.b-c": object?.count == 1 && (3...5).contains(object?["n"] as? Int ?? 0)
        default: false
        }
    }

    @Test("calls have a declared name, valid arguments and ids that count on", arguments: 0..<60)
    func calls(seed: Int) throws {
        var options = TurnConstraint.Options()
        options.tools = try Self.tools()
        options.firstCall = seed * 9
        options.mustCall = seed % 2 == 0
        options.parallelCalls = seed % 3 != 0
        options.reasoningBudget = 30
        let turn = try Self.write(options, thinking: seed % 4 < 2, seed: UInt64(seed))
        #expect(turn.parsed.rejected.isEmpty || !turn.ended)
        for (index, call) in turn.parsed.calls.enumerated() {
            #expect(call.id == "functions.\(call.name):\(options.firstCall + index)")
            #expect(try Self.isValid(call), "\(call)")
        }
        if options.mustCall, turn.ended { #expect(!turn.parsed.calls.isEmpty) }
        if !options.parallelCalls { #expect(turn.parsed.calls.count <= 1) }
        // No marker's name is text, and no marker stands where it has no place.
        #expect(!turn.parsed.content.contains("<|") && !(turn.parsed.reasoning ?? "").contains("<|"))
    }

    @Test("without tools no section begins, and nothing but the turn's end is special", arguments: 0..<20, [true, false])
    func noTools(seed: Int, thinking: Bool) throws {
        var options = TurnConstraint.Options()
        options.reasoningBudget = 10
        let turn = try Self.write(options, thinking: thinking, seed: UInt64(seed), limit: 300)
        let tokenizer = try Self.tokenizer.get()
        let special = turn.ids.filter(tokenizer.isSpecial).map { $0 == Self.end ? "end" : tokenizer.piece($0).map { String(decoding: $0, as: UTF8.self) } ?? "" }
        #expect(special.filter { $0 != "end" } == (thinking && special.first != "end" ? ["</think>"] : []))
        let thought = turn.ids.firstIndex { tokenizer.isSpecial($0) } ?? 0
        #expect(thought <= 10 || !thinking)
    }

    @Test("a budget closes the thought at its token", arguments: [0, 1, 7])
    func budget(_ budget: Int) throws {
        for seed in 0..<20 as Range<UInt64> {
            var options = TurnConstraint.Options()
            options.reasoningBudget = budget
            let turn = try Self.write(options, thinking: true, seed: seed, limit: 100)
            let close = try Self.tokenizer.get().specialIDs["</think>"]
            let place = turn.ids.firstIndex { $0 == close || $0 == Self.end } ?? turn.ids.count
            #expect(place <= budget)
            #expect(turn.constraint.closedThought == (place == budget && turn.ids[place] == close))
        }
    }

    @Test("an answer with a format is that, with and without a thought, or calls take its place", arguments: 0..<30)
    func answer(seed: Int) throws {
        var options = TurnConstraint.Options()
        options.answer = try Self.grammar(#"{"type":"array","items":{"type":"boolean"},"minItems":2,"maxItems":3}"#)
        options.reasoningBudget = 5
        if seed % 3 == 0 { options.tools = try Self.tools() }
        let turn = try Self.write(options, thinking: seed % 2 == 0, seed: UInt64(seed))
        guard turn.ended else { return }
        if turn.parsed.calls.isEmpty {
            let list = try JSONSerialization.jsonObject(with: Data(turn.parsed.content.utf8)) as? [Bool]
            #expect((2...3).contains(list?.count ?? 0), "\(turn.parsed.content)")
        } else {
            #expect(turn.parsed.content.isEmpty)
        }
    }

    @Test("where a vocabulary has no way on, the turn ends, and the call is none")
    func noWayOn() throws {
        let tokenizer = try Self.tokenizer.get()
        // As the fixture's, without any token that has a brace in it.
        let pieces = (0..<Int32(tokenizer.vocabularySize)).map { id -> [UInt8]? in
            tokenizer.isSpecial(id) ? nil : tokenizer.piece(id).flatMap { $0.contains(0x7B) ? nil : $0 }
        }
        var options = TurnConstraint.Options()
        options.tools = try Self.tools()
        options.mustCall = true
        let turn = try Self.write(options, thinking: false, seed: 1, limit: 300, tree: VocabularyTree(pieces: pieces))
        #expect(turn.ended)
        #expect(turn.parsed.calls.isEmpty && turn.parsed.rejected.count == 1)
    }

    @Test("a model that opens its thought itself does so first", arguments: 0..<5)
    func opensThought(seed: Int) throws {
        var options = TurnConstraint.Options()
        options.opensThought = true
        options.reasoningBudget = 6
        let turn = try Self.write(options, thinking: false, seed: UInt64(seed), limit: 60)
        let think = try Self.tokenizer.get().specialIDs["<think>"]
        #expect(turn.ids.first == think)
        #expect(turn.ids.filter { $0 == think }.count == 1)
    }

    @Test("unenforced, a turn is free, but for calls without tools and the budget")
    func unenforced() throws {
        var options = TurnConstraint.Options()
        (options.enforces, options.reasoningBudget) = (false, 4)
        options.tools = try Self.tools()
        let section = try Self.tokenizer.get().specialIDs["<|tool_calls_section_begin|>"]
        let free = try (0..<20).map { try Self.write(options, thinking: false, seed: $0, limit: 400) }
        #expect(free.contains { $0.ids.contains { $0 == section } })
        options.tools = []
        for seed in 0..<10 as Range<UInt64> {
            let turn = try Self.write(options, thinking: true, seed: seed, limit: 200)
            #expect(turn.parsed.calls.isEmpty && turn.parsed.rejected.isEmpty)
        }
    }
}
