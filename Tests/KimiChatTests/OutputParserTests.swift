import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer
import Testing

struct OutputParserTests {
    struct Vector: Decodable {
        struct Call: Decodable, Equatable { let id: String; let name: String; let arguments: String }
        let thinking: Bool
        let text: String
        let reasoning_content: String?
        let content: String
        let tool_calls: [Call]
    }

    static let vectors = (try? Fixtures.decode([Vector].self, "vectors/tool_parse.json")) ?? []
    static let tokenizer = Result { () throws -> Tokenizer in try Tokenizer(folder: Fixtures.path("tiny-kimi")) }
    static let end: Int32 = 1538

    static func parser(thinking: Bool, tools: [String]? = nil, firstCall: Int = 0) throws -> OutputParser {
        let tokenizer = try tokenizer.get()
        return OutputParser(
            tokens: ChatTokens(tokenizer), tokenizer: tokenizer, endTokens: [end], startsInReasoning: thinking, tools: tools,
            firstCall: firstCall)
    }

    /// What events add up to.
    struct Sum: Equatable {
        var reasoning = "", content = ""
        var calls: [String] = []
        var rejected: [CallRejection] = []
        var open: [String: String] = [:]

        mutating func add(_ events: [OutputEvent]) {
            for event in events {
                switch event {
                case .reasoning(let text): reasoning += text
                case .content(let text): content += text
                case .callBegin(_, let id, _): open[id] = ""
                case .argumentDelta(_, let id, _, let text): open[id, default: "?"] += text
                case .callEnd(_, let id, let name, let arguments):
                    #expect(open.removeValue(forKey: id) == arguments)
                    calls.append("\(id) \(name) \(arguments)")
                case .callRejected(_, _, let reason, let preview):
                    #expect(preview.count <= 200)
                    rejected.append(reason)
                }
            }
        }
    }

    static func sum(_ ids: [Int32], thinking: Bool, tools: [String]? = nil) throws -> Sum {
        var parser = try parser(thinking: thinking, tools: tools)
        var sum = Sum()
        for id in ids { sum.add(parser.feed(id)) }
        sum.add(parser.finish())
        return sum
    }

    @Test("outputs are read as the reference reads them", arguments: vectors.indices)
    func vector(_ index: Int) throws {
        let vector = Self.vectors[index]
        let ids = try Self.tokenizer.get().encode(vector.text, special: true)
        let sum = try Self.sum(ids, thinking: vector.thinking)
        #expect(sum.reasoning == vector.reasoning_content ?? "")
        #expect(sum.content == vector.content)
        #expect(sum.calls == vector.tool_calls.map { "\($0.id) \($0.name) \($0.arguments)" })
        #expect(sum.rejected.isEmpty)
    }

    @Test("the vectors are there") func hasVectors() { #expect(Self.vectors.count == 11) }
}
