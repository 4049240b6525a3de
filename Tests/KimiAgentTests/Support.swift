import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime
import KimiTestSupport
import Synchronization
import Testing

/// The fixture checkpoint, opened once. Its weights are random: what is not enforced is babble.
enum Tiny {
    private static let shared = Result { () throws -> Model in
        var options = Model.Options()
        // What other tests leave behind is not to be counted here.
        (options.threads, options.prefixBytes) = (2, 0)
        return try Model(folder: Fixtures.path("tiny-kimi"), options: options)
    }

    static var model: Model { get throws { try shared.get() } }

    /// A `logit_bias` against white space and escapes, which random weights write as gladly as anything else, and at length.
    static let terse: String = {
        guard let tokenizer = try? shared.get().tokenizer else { return "{}" }
        let ids = (0..<Int32(tokenizer.vocabularySize)).filter { id in
            tokenizer.piece(id).map { $0.contains(0x5C) || $0.allSatisfy { [0x20, 0x0A, 0x0D, 0x09].contains($0) } } ?? false
        }
        return "{" + ids.map { "\"\($0)\":-30" }.joined(separator: ",") + "}"
    }()

    static func chat(contextLimit: Int? = nil) throws -> ChatSession {
        ChatSession(try Session(model: shared.get(), contextLimit: contextLimit))
    }
}

/// The tool of most tests.
enum Weather {
    static let parameters = """
        {"type":"object","properties":{"city":{"enum":["Rome","Oslo"]},"days":{"type":"integer","minimum":1,"maximum":9}},
         "required":["city","days"],"additionalProperties":false}
        """

    static let json = """
        {"type":"function","function":{"name":"weather","description":"The weather of a city.","parameters":\(parameters)}}
        """

    static func tool(
        timeout: Int? = nil, anyThread: Bool = false, name: String = "weather",
        run: (@Sendable (ToolCallRequest) -> ToolAnswer)? = { _ in ToolAnswer(.ok, "sunny") }
    ) throws -> HostTool {
        let declaration = try Array(parameters.utf8).withUnsafeBytes { schema in
            try ToolDeclaration(name: name, description: "The weather of a city.", parameters: schema)
        }
        return HostTool(declaration: declaration, timeoutMilliseconds: timeout, anyThread: anyThread, run: run)
    }

    /// Whether arguments are what the schema asks for, found without the library.
    static func allows(_ arguments: String) -> Bool {
        guard let object = try? JSONSerialization.jsonObject(with: Data(arguments.utf8)) as? [String: Any],
            Set(object.keys) == ["city", "days"], let city = object["city"] as? String, let days = object["days"] as? Int
        else { return false }
        return ["Rome", "Oslo"].contains(city) && (1...9).contains(days)
    }
}

func request(_ json: String) throws -> ChatRequest {
    try Array(json.utf8).withUnsafeBytes { try ChatRequest(json: $0) }
}

/// All events of a request, up to its finish.
func events(
    _ chat: ChatSession, _ json: String, polled: Bool = false, _ change: (inout ChatOptions) -> Void = { _ in },
    answer: (ChatEvent) -> ToolAnswer = { _ in ToolAnswer(.ok, "sunny") }
) throws -> [ChatEvent] {
    var options = ChatOptions()
    options.seed = 1
    change(&options)
    let run = try ChatRun(chat, request: request(json), options: options, isPolled: polled)
    var all: [ChatEvent] = []
    while all.last?.kind != .finish {
        let event = try run.next()
        if event.kind == .resultNeeded { try run.submit(event.callID, answer(event)) }
        all.append(event)
    }
    return all
}

extension [ChatEvent] {
    func all(_ kind: ChatEvent.Kind) -> [ChatEvent] { filter { $0.kind == kind } }
    func text(_ kind: ChatEvent.Kind) -> String { all(kind).map(\.text).joined() }
    var finish: ChatEvent.Finish? { last?.finish }
}
