import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer

/// The tokenizer of the fixture checkpoint, opened once for all tests of prompts.
let promptTokenizer = Result { () throws(KimiError) in try Tokenizer(folder: Fixtures.path("tiny-kimi"), vocabularySize: 1792) }

func promptRenderer(_ layout: PromptLayout = .k25) throws -> PromptRenderer {
    PromptRenderer(try promptTokenizer.get(), layout: layout)
}

/// A request from JSON text in the test's source.
func request(_ json: String) throws(KimiError) -> ChatRequest { try ChatRequest(json: Array(json.utf8)) }

/// The error that a request ends in, or nil.
func refusal(_ json: String) -> KimiError? {
    do throws(KimiError) {
        _ = try request(json)
        return nil
    } catch {
        return error
    }
}

/// JSON text in quotes.
func quoted(_ text: String) -> String { JSONWriter.quoted(text) }

/// Vectors of prompts: the fixtures' own, and those that Tests/reference/chat wrote.
enum PromptVectors {
    struct Case: Sendable {
        let request: ChatRequest
        let json: JSON
        let prompt: String
    }

    static let published = load("vectors/chat_template.json")
    static let made = load("chat/prompts.json")

    /// A request of the same meaning for every case; nil for one that cannot be read, which fails the test of its number.
    private static func load(_ file: String) -> [Case?] {
        guard let list = try? JSON.parse(Fixtures.bytes(file), file: file, maxDepth: 128).arrayValue else { return [] }
        return list.map { vector in
            guard let prompt = vector["prompt"]?.stringValue else { return nil }
            var members = JSONObject()
            _ = members.add("messages", vector["messages"] ?? .null)
            _ = members.add("tools", vector["tools"] ?? .null)
            _ = members.add("chat_template_kwargs", vector["kwargs"] ?? .null)
            _ = members.add("add_generation_prompt", vector["add_generation_prompt"] ?? .null)
            guard let request = try? ChatRequest(.object(members)) else { return nil }
            return Case(request: request, json: vector, prompt: prompt)
        }
    }
}

enum TypeScriptVectors {
    static let published = load("vectors/tools_typescript.json")
    static let made = load("chat/typescript.json")

    private static func load(_ file: String) -> [(tools: [JSON], typescript: String?)] {
        guard let list = try? JSON.parse(Fixtures.bytes(file), file: file, maxDepth: 128).arrayValue else { return [] }
        return list.map { ($0["tools"]?.arrayValue ?? [], $0["typescript"]?.stringValue) }
    }
}

/// Where two texts part, with what is around.
func difference(_ found: String, _ expected: String) -> String {
    let pair = zip(found.unicodeScalars, expected.unicodeScalars)
    let same = pair.prefix { $0 == $1 }.count
    func window(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.dropFirst(max(0, same - 60)).prefix(140))).debugDescription
    }
    return "at \(same): \(window(found)) for \(window(expected))"
}
