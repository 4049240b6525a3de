import KimiChat
import KimiCore
import KimiTokenizer
import Testing

/// Pictures and clips among the parts of a message.
@Suite struct MediaPartTests {
    private static func parts(_ role: String, _ parts: String) -> String {
        #"{"messages": [{"role": "\#(role)", "content": [\#(parts)]}]}"#
    }

    struct Form: Sendable {
        let json: String
        let kind: MediaPart.Kind
        let field: String
        init(_ json: String, _ kind: MediaPart.Kind = .image, _ field: String) { (self.json, self.kind, self.field) = (json, kind, field) }
    }

    static let forms = [
        Form(#"{"type": "image_url", "image_url": {"url": "data:,x"}}"#, .image, "image_url.url"),
        Form(#"{"type": "image_url", "image_url": "data:,x"}"#, .image, "image_url"),
        Form(#"{"type": "input_image", "image_url": "data:,x"}"#, .image, "image_url"),
        Form(#"{"type": "input_image", "image_url": {"url": "data:,x"}}"#, .image, "image_url.url"),
        Form(#"{"type": "image", "image": "data:,x"}"#, .image, "image"),
        Form(#"{"type": "image", "image": {"url": "data:,x"}}"#, .image, "image.url"),
        Form(#"{"type": "image", "url": "data:,x"}"#, .image, "url"),
        Form(#"{"type": "image", "path": "data:,x"}"#, .image, "path"),
        Form(#"{"type": "video_url", "video_url": {"url": "data:,x"}}"#, .video, "video_url.url"),
        Form(#"{"type": "input_video", "video_url": "data:,x"}"#, .video, "video_url"),
        Form(#"{"type": "input_video", "input_video": {"url": "data:,x"}}"#, .video, "input_video.url"),
        Form(#"{"type": "video", "video": "data:,x"}"#, .video, "video"),
        Form(#"{"type": "video", "path": "data:,x"}"#, .video, "path"),
    ]

    @Test(arguments: Self.forms.indices, ["user", "system", "tool"])
    func everyFormIsRead(index: Int, role: String) throws {
        let form = Self.forms[index]
        let text = #"{"type": "text", "text": "look"}"#
        var json = Self.parts(role, "\(text), \(form.json), \(form.json)")
        if role == "tool" {
            json = json.replacing(#""role": "tool""#, with: #""role": "tool", "tool_call_id": "1""#)
        }
        let read = try request(json)
        let media = read.messages[0].media
        #expect(media.map(\.path) == ["messages[0].content[1]", "messages[0].content[2]"])
        #expect(media.map(\.field) == ["messages[0].content[1].\(form.field)", "messages[0].content[2].\(form.field)"])
        #expect(media.allSatisfy { $0.kind == form.kind && $0.source == "data:,x" })
        #expect(read.ignoredFields == [])
    }

    /// A value of a wrong kind, the field it stands in, and what the message says.
    static let wrong: [(part: String, subject: String, says: String)] = [
        (#"{"type": "image_url"}"#, "", "image_url is missing"),
        (#"{"type": "image_url", "image_url": null}"#, "", "image_url is missing"),
        (#"{"type": "image_url", "image_url": 7}"#, ".image_url", "is 7"),
        (#"{"type": "image_url", "image_url": []}"#, ".image_url", "must be a data: URL"),
        (#"{"type": "image_url", "image_url": ""}"#, ".image_url", "is \"\""),
        (#"{"type": "image_url", "image_url": {}}"#, ".image_url.url", "is missing"),
        (#"{"type": "image_url", "image_url": {"url": 5}}"#, ".image_url.url", "is 5"),
        (#"{"type": "image_url", "image_url": {"url": ""}}"#, ".image_url.url", "is \"\""),
        (#"{"type": "image_url", "image_url": {"url": "a\u0000b"}}"#, ".image_url.url", "must be a data: URL"),
        (#"{"type": "image", "video": "x"}"#, "", "image_url is missing"),
        (#"{"type": "video", "image": "x"}"#, "", "video_url is missing"),
    ]

    @Test(arguments: Self.wrong.indices) func wrongValueIsNamed(index: Int) throws {
        let (part, subject, says) = Self.wrong[index]
        let error = try #require(refusal(Self.parts("user", #"{"type": "text", "text": "x"}, \#(part)"#)))
        #expect(error.status == .invalidArgument)
        #expect(error.subject == "messages[0].content[1]\(subject)")
        #expect(error.message.contains(says), "\(error.message)")
    }

    @Test func uploadedFilesAreUnsupported() throws {
        let error = try #require(refusal(Self.parts("user", #"{"type": "input_image", "file_id": "file-1"}"#)))
        #expect(error.status == .unsupported && error.subject == "messages[0].content[0].file_id")
    }

    @Test func membersWithoutMeaningAreNoticed() throws {
        let read = try request(Self.parts("user", #"{"type": "image_url", "image_url": {"url": "x", "detail": "high"}, "cache_control": 1}"#))
        #expect(read.ignoredFields.sorted() == ["messages[0].content[0].cache_control", "messages[0].content[0].image_url.detail"])
    }

    @Test func noMessageHoldsAMegabyte() throws {
        let long = String(repeating: "A", count: 1 << 20)
        for part in [
            #"{"type": "image_url", "image_url": {"url": "\#(long)\u0000"}}"#, #"{"type": "\#(long)", "image_url": "x"}"#,
            #"{"type": "image_url", "image_url": {"\#(long)": "x"}}"#,
        ] {
            #expect(try #require(refusal(Self.parts("user", part))).message.utf8.count < 300)
        }
        let read = try request(Self.parts("user", #"{"type": "image_url", "image_url": {"url": "data:image/png;base64,\#(long)"}}"#))
        let error = #expect(throws: KimiError.self) { try promptRenderer().ids(of: read) }
        #expect(error.map { $0.message.utf8.count < 300 } == true)
    }

    /// Only parts become media: what a user spells is text, beside real pictures, too.
    @Test(arguments: ["<|media_pad|>", "<|media_begin|>image<|media_content|><|media_pad|><|media_end|>", "<|kimi_k25_video_placeholder|>"])
    func spelledMediaAreText(text: String) throws {
        let tokenizer = try promptTokenizer.get(), renderer = try promptRenderer()
        let picture = #"{"type": "image_url", "image_url": {"url": "\#(text)"}}"#
        let json = Self.parts("user", #"{"type": "text", "text": "\#(text)"}, \#(picture), {"type": "text", "text": "\#(text)"}"#)
        let prompt = try renderer.ids(of: request(json)) { _ in [MediaRoom(tokens: 5)] }
        #expect(prompt.ids.count { $0 == renderer.tokens[.mediaPad] } == 5)
        #expect(prompt.media.map(\.count) == [5])
        let specials = prompt.ids.filter(tokenizer.isSpecial).compactMap(tokenizer.piece).map { String(decoding: $0, as: UTF8.self) }
        let media = ["<|media_begin|>", "<|media_content|>"] + [String](repeating: "<|media_pad|>", count: 5) + ["<|media_end|>"]
        let start = ["<|im_user|>", "<|im_middle|>"]
        #expect(specials == start + media + ["<|im_end|>", "<|im_assistant|>", "<|im_middle|>", "<think>"])
        let pads = String(repeating: "<|media_pad|>", count: 5)
        let body = "\(text)<|media_begin|>image<|media_content|>\(pads)<|media_end|>\n\(text)"
        let whole = "<|im_user|>user<|im_middle|>\(body)<|im_end|><|im_assistant|>assistant<|im_middle|><think>"
        #expect(try tokenizer.decode(prompt.ids) == Array(whole.utf8))
    }

    /// A chunk's time is one text with what stands before it, and the line break behind the clip with what follows.
    @Test func timesJoinTheTextAroundThem() throws {
        let tokenizer = try promptTokenizer.get(), renderer = try promptRenderer()
        var different = 0
        for before in ["at 1", "at 12", "at  ", "at\n\n ", "at"] {
            let clip = #"{"type": "video_url", "video_url": {"url": "x"}}"#
            let json = Self.parts("user", #"{"type": "text", "text": \#(quoted(before))}, \#(clip), {"type": "text", "text": "\n\nx"}"#)
            let prompt = try renderer.ids(of: request(json)) { _ in [MediaRoom(tokens: 1, timestamp: "00:00:00.000")] }
            let medium = "<|media_begin|>video<|media_content|><|media_pad|><|media_end|>"
            let text = "<|im_user|>user<|im_middle|>\(before)00:00:00.000\(medium)\n\n\nx<|im_end|><|im_assistant|>assistant<|im_middle|><think>"
            #expect(try tokenizer.encode(text, special: true) == prompt.ids)
            let apart = try tokenizer.encode(before, special: false) + tokenizer.encode("00:00:00.000", special: false)
            let joined = try tokenizer.encode(before + "00:00:00.000", special: false)
            different += apart == joined ? 0 : 1
        }
        #expect(different > 0, "none of these texts shows the difference")
    }

    /// The results of an agent's step, pictures among them, are those of the longer conversation.
    @Test func resultsOfAContinuationShowPictures() throws {
        let renderer = try promptRenderer()
        let part = MediaPart(.image, source: "x", path: "results[0].content[1]", field: "", json: .null)
        let more = try renderer.continuation(
            results: [ToolResult(id: "functions.f:0", content: .parts([.text("see"), .media(part)]))], thinks: true, closesTurn: false
        ) { _ in [MediaRoom(tokens: 4)] }
        let text = "<|im_system|>tool<|im_middle|>## Return of functions.f:0\nsee<|media_begin|>image<|media_content|>"
            + String(repeating: "<|media_pad|>", count: 4) + "<|media_end|>\n<|im_end|><|im_assistant|>assistant<|im_middle|><think>"
        #expect(try promptTokenizer.get().encode(text, special: true) == more.ids)
        #expect(more.media.map(\.count) == [4])
    }
}
