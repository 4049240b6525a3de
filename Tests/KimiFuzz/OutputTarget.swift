import KimiChat
import KimiTestSupport
import KimiTokenizer

/// Fuzzes the reader of outputs with random ids, among them such that no tokenizer has. What it reports must add up: calls do not
/// overlap, and their pieces make up the whole.
final class OutputTarget: FuzzTarget {
    private let tokenizer: Tokenizer
    private let specials: [Int32]

    init() throws {
        tokenizer = try Tokenizer(folder: Fixtures.path("tiny-kimi"))
        specials = Array(tokenizer.specialIDs.values).sorted()
    }

    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws {
        var random = SplitMix(UInt64(number))
        var parser = OutputParser(
            tokens: ChatTokens(tokenizer), tokenizer: tokenizer, endTokens: [1538], startsInReasoning: number % 2 == 0,
            tools: number % 3 == 0 ? ["a", "read"] : nil)
        var open: (index: Int, arguments: String)?
        for _ in 0..<Int.random(in: 0..<200, using: &random) {
            let isMarker = Int.random(in: 0..<3, using: &random) == 0
            let id = isMarker ? specials.randomElement(using: &random) ?? 0 : Int32.random(in: -5..<2000, using: &random)
            check(parser.feed(id), &open, &outcome)
        }
        check(parser.finish(), &open, &outcome)
        if open != nil { outcome.wrong.append("a call that never ended") }
        outcome.accepted += 1
    }

    private func check(_ events: [OutputEvent], _ open: inout (index: Int, arguments: String)?, _ outcome: inout Outcome) {
        for event in events {
            switch event {
            case .reasoning(let text), .content(let text):
                if text.isEmpty || open != nil { outcome.wrong.append("empty text, or text within a call") }
            case .callBegin(let index, _, _):
                if open != nil { outcome.wrong.append("a call within a call") }
                open = (index, "")
            case .argumentDelta(let index, _, _, let text):
                if open?.index != index { outcome.wrong.append("arguments of no call") }
                open?.arguments += text
            case .callEnd(let index, _, _, let arguments):
                if open?.index != index || open?.arguments != arguments { outcome.wrong.append("pieces that are not the whole") }
                open = nil
            case .callRejected: open = nil
            }
        }
    }
}
