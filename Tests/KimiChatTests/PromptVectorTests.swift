import KimiChat
import KimiCore
import KimiTestSupport
import KimiTokenizer
import Testing

/// Prompts equal those of the published template, as text and as ids.
@Suite struct PromptVectorTests {
    @Test func vectorsAreAllThere() {
        #expect(PromptVectors.published.count == 45)
        #expect(PromptVectors.made.count > 100)
    }

    @Test(arguments: PromptVectors.published.indices) func publishedVector(index: Int) throws {
        try expectEqual(PromptVectors.published[index])
    }

    @Test(arguments: PromptVectors.made.indices) func vectorOfTheTemplate(index: Int) throws {
        try expectEqual(PromptVectors.made[index])
    }

    private func expectEqual(_ vector: PromptVectors.Case?) throws {
        let vector = try #require(vector)
        let renderer = try promptRenderer()
        let text = try renderer.text(of: vector.request)
        #expect(Array(text.utf8) == Array(vector.prompt.utf8), "\(difference(text, vector.prompt))")

        if hasMedia(vector.request) {
            let error = #expect(throws: KimiError.self) { try renderer.ids(of: vector.request) }
            #expect(error?.status == .unsupported)
            try expectRooms(vector)
            return
        }
        let tokenizer = try promptTokenizer.get()
        let prompt = try renderer.ids(of: vector.request)
        #expect(try tokenizer.decode(prompt.ids) == Array(vector.prompt.utf8))
        let ending = "<|im_assistant|>assistant<|im_middle|><think>"
        #expect(prompt.startsInReasoning == (vector.request.thinking != false))
        if vector.request.addsGenerationPrompt { #expect(vector.prompt.hasSuffix(ending) == prompt.startsInReasoning) }
        // Where no text of the request looks like a marker, the tokenizer's own search for markers finds the same ids.
        if !mentionsMarkers(vector.json["messages"] ?? .null) && !mentionsMarkers(vector.json["tools"] ?? .null) {
            #expect(try tokenizer.encode(vector.prompt, special: true) == prompt.ids)
        }
    }

    /// With pictures of 3 tokens and clips of two chunks: the text with those written out by hand, encoded by the tokenizer's own
    /// search for markers.
    private func expectRooms(_ vector: PromptVectors.Case) throws {
        let renderer = try promptRenderer(), tokenizer = try promptTokenizer.get()
        let rooms = [MediaRoom(tokens: 2, timestamp: "00:00:00.000"), MediaRoom(tokens: 1, timestamp: "01:02:03.500")]
        let prompt = try renderer.ids(of: vector.request) { $0.kind == .image ? [MediaRoom(tokens: 3)] : rooms }
        let pad = "<|media_pad|>"
        let text = vector.prompt
            .replacing("image<|media_content|>\(pad)", with: "image<|media_content|>\(pad)\(pad)\(pad)")
            .replacing(
                "<|kimi_k25_video_placeholder|>",
                with: "00:00:00.000<|media_begin|>video<|media_content|>\(pad)\(pad)<|media_end|>"
                    + "01:02:03.500<|media_begin|>video<|media_content|>\(pad)<|media_end|>")
        #expect(try tokenizer.decode(prompt.ids) == Array(text.utf8))
        if !mentionsMarkers(vector.json["messages"] ?? .null) && !mentionsMarkers(vector.json["tools"] ?? .null) {
            #expect(try tokenizer.encode(text, special: true) == prompt.ids)
            let pads = prompt.ids.indices.filter { prompt.ids[$0] == renderer.tokens[.mediaPad] }
            #expect(prompt.media.flatMap { Array($0.start..<$0.start + $0.count) } == pads)
        }
    }

    private func hasMedia(_ request: ChatRequest) -> Bool {
        request.messages.contains { message in
            guard case .parts(let parts) = message.content else { return false }
            return parts.contains { if case .text = $0 { false } else { true } }
        }
    }

    private func mentionsMarkers(_ value: JSON) -> Bool {
        switch value {
        case .string(let text): Marker.allCases.contains { text.contains($0.rawValue) }
        case .array(let elements): elements.contains(where: mentionsMarkers)
        case .object(let object): object.keys.contains { mentionsMarkers(.string($0)) || mentionsMarkers(object[$0] ?? .null) }
        default: false
        }
    }
}
