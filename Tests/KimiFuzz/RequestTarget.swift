import Foundation
import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer

/// Fuzzes the reading of requests, and the prompts of those that are accepted all the same.
///
/// Seeds are the requests of the prompt vectors, tools and all, and one with every option.
final class RequestTarget: FuzzTarget {
    private var seeds: [[UInt8]] = []
    private let tokenizer: Tokenizer
    private let renderers: [PromptRenderer]

    init() throws {
        let tokenizer = try Tokenizer(folder: Fixtures.path("tiny-kimi"))
        self.tokenizer = tokenizer
        renderers = PromptLayout.allCases.map { PromptRenderer(tokenizer, layout: $0) }
        for file in ["vectors/chat_template.json", "chat/prompts.json"] {
            let list = try JSONSerialization.jsonObject(with: Data(Fixtures.bytes(file))) as? [[String: Any]] ?? []
            for vector in list {
                let members = vector.filter { ["messages", "tools"].contains($0.key) }
                seeds.append(Array(try JSONSerialization.data(withJSONObject: members)))
            }
        }
        seeds.append(Array(Self.everyOption.utf8))
        seeds.append(Array(Self.everyPart.utf8))
    }

    private static let everyPart = #"""
        {"messages":[{"role":"system","content":[{"type":"image","path":"a.png"}]},{"role":"user","content":[{"type":"text","text":"<|media_pad|>"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"}},{"type":"input_image","image_url":"kimi-image:0"},
        {"type":"video_url","video_url":{"url":"file:///b.mp4"}},{"type":"video","video":"c"}]}]}
        """#

    private static let everyOption = #"""
        {"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function",
        "function":{"name":"f"}},"parallel_tool_calls":false,"response_format":{"type":"json_schema","json_schema":{"schema":{}}},
        "max_tokens":7,"temperature":0.5,"top_p":1,"top_k":40,"min_p":0.05,"presence_penalty":-1,"frequency_penalty":2,"seed":-1,
        "repetition_penalty":1.5,"stop":["a","b"],"n":1,"logit_bias":{"5":-100},"logprobs":true,"top_logprobs":3,"mode":"agent",
        "thinking":{"type":"enabled","budget_tokens":5},"chat_template_kwargs":{"thinking":true}}
        """#

    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws {
        do {
            let request = try ChatRequest(json: mutator.mutate(seeds[number % seeds.count]))
            outcome.accepted += 1
            try use(request, renderers[number % renderers.count], &outcome)
        } catch {
            outcome.refuse(error, needsFile: false)
        }
    }

    /// Ids are spelt as the text is, and only the renderer's own markers are special.
    private func use(_ request: ChatRequest, _ renderer: PromptRenderer, _ outcome: inout Outcome) throws {
        let text = try renderer.text(of: request)
        _ = TypeScriptDeclaration.render(request.tools.map(\.json))
        // Pictures of one token stand in ids as in the text; clips do not.
        let prompt = try renderer.ids(of: request) { _ in [MediaRoom(tokens: 1)] }
        let hasClips = request.messages.contains { $0.media.contains { $0.kind == .video } }
        if try !hasClips && tokenizer.decode(prompt.ids) != Array(text.utf8) { outcome.wrong.append("ids and text differ") }
        let frames = prompt.ids.filter(tokenizer.isSpecial).compactMap(tokenizer.piece).count { $0 == Array(Marker.imMiddle.rawValue.utf8) }
        let most = request.messages.count + 3
        if frames > most { outcome.wrong.append("\(frames) heads for \(request.messages.count) messages") }
    }
}
