import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import KimiVision
import Synchronization
import Testing

/// Pictures and clips in conversations.
struct MediaRunTests {
    private func instant(_ options: inout ChatOptions) { options.mode = .instant }

    @Test("a prompt with a picture is evaluated with its features: the reference's logits")
    func reference() throws {
        let seeing = try Seeing()
        let chat = try seeing.chat()
        let json = asks(says("user", words("x"), picture("fixture:wide")), tokens: 1)
        let all = try events(chat, json, instant)
        // The same prompt by hand.
        let eyes = ChatEyes(seeing.model, allowsFiles: false)
        let prompt = try seeing.model.chatFormat().prompt(of: request(json), mode: .instant, eyes: eyes)
        #expect(prompt.media.map(\.count) == [40])
        #expect(all.all(.start).first?.total == prompt.ids.count)
        #expect(Array(try chat.session.ids().prefix(prompt.ids.count)) == prompt.ids)
        let session = try Session(model: seeing.model)
        let features = try seeing.eyes.encode(
            try seeing.eyes.read(MediaReference(.image, .text("fixture:wide"), allowsFiles: false, field: ""), Cancellation()), Cancellation())
        let spans = [MediaSpan(start: prompt.media[0].start, features: features[0])]
        var (own, byHand) = ([Float](repeating: 0, count: session.vocabularySize), [Float](repeating: 0, count: session.vocabularySize))
        try session.call { () throws(KimiError) in
            try byHand.withUnsafeMutableBufferPointer { target in
                Result { () throws(KimiError) in
                    try prompt.ids.withUnsafeBufferPointer { ids in
                        Result { () throws(KimiError) in try session.evaluate(ids, media: spans, into: target.baseAddress) }
                    }.get()
                }
            }.get()
        }
        try chat.session.truncate(to: prompt.ids.count - 1)
        try chat.session.call { () throws(KimiError) in
            try own.withUnsafeMutableBufferPointer { target in
                Result { () throws(KimiError) in
                    try prompt.ids.suffix(1).withUnsafeBufferPointer { ids in
                        Result { () throws(KimiError) in try chat.session.evaluate(ids, into: target.baseAddress) }
                    }.get()
                }
            }.get()
        }
        #expect(own == byHand)
    }

    @Test("a second question on the same picture needs no vision work, and its prefix is in the cache", arguments: [false, true])
    func secondQuestion(append: Bool) throws {
        let seeing = try Seeing()
        let chat = try seeing.chat()
        let first = says("user", words("what is this"), picture("paint:cat:40"))
        _ = try events(chat, asks(first), instant)
        #expect(seeing.eyes.take() == .init(reads: 1, encoded: ["cat"], batches: 1))
        let before = try chat.session.snapshot().counts
        #expect(before.mediaEncoded == 1 && before.mediaReused == 0 && before.mediaTokens == 40)

        let answer = chat.past[1].text
        let history = append ? [] : [first, #"{"role":"assistant","content":\#(JSONWriter.quoted(answer))}"#]
        let json = #"{"messages":[\#((history + [says("user", words("and its colour"))]).joined(separator: ","))],"max_tokens":3}"#
        let all = try events(chat, json) { ($0.mode, $0.append) = (.instant, append) }
        let start = try #require(all.all(.start).first)
        // All of the first prompt is held, the picture in it.
        #expect(start.done >= 40 + 10)
        let seen = seeing.eyes.take()
        #expect(seen.encoded == [] && seen.batches == 0)
        // What comes anew in a request is read anew, what the conversation has is not.
        #expect(seen.reads == (append ? 0 : 1))
        let after = try chat.session.snapshot().counts
        #expect(after.mediaEncoded == 1 && after.mediaReused == 0 && after.mediaTokens == 40)
        let media = all.all(.media)
        #expect(media.map(\.usage.cached) == [40] && media.map(\.usage.media) == [40])
    }

    @Test("another conversation finds the features, and evaluates them itself")
    func anotherSession() throws {
        let seeing = try Seeing()
        let json = asks(says("user", picture("paint:cat:40"), words("what")))
        _ = try events(try seeing.chat(), json, instant)
        _ = seeing.eyes.take()
        let other = try seeing.chat()
        let all = try events(other, json, instant)
        #expect(seeing.eyes.take().encoded == [])
        let counts = try other.session.snapshot().counts
        #expect(counts.mediaEncoded == 0 && counts.mediaReused == 1 && counts.mediaTokens == 40)
        #expect(all.all(.start).first?.done == 0)
        #expect(all.all(.media).map(\.usage.cached) == [40])
    }

    @Test("a picture of the same size in the same place is another picture")
    func otherPicture() throws {
        let seeing = try Seeing()
        let chat = try seeing.chat()
        func ask(_ name: String) throws -> ChatEvent? {
            try events(chat, asks(says("user", words("what is this"), picture("paint:\(name):40"))), instant).all(.start).first
        }
        _ = try ask("cat")
        let ids = try chat.session.ids()
        let dog = try #require(try ask("dog"))
        #expect(dog.done < dog.total - 40, "the dog was not evaluated")
        #expect(seeing.eyes.take().encoded == ["cat", "dog"])
        #expect(Array(try chat.session.ids().prefix(dog.total)) == Array(ids.prefix(dog.total)))
        // And back: the cat is no longer in the session's cache, but its features are in the model's.
        _ = try ask("cat")
        #expect(seeing.eyes.take().encoded == [])
    }

    @Test("events: each picture and chunk once, after START and before PROMPT; usage counts them")
    func order() throws {
        let seeing = try Seeing()
        let all = try events(
            try seeing.chat(), asks(says("system", picture("paint:a:3")), says("user", words("x"), clip("film:f:5:3"), picture("paint:a:3"))), instant)
        let kinds = all.map(\.kind)
        let media = all.all(.media)
        #expect(kinds[0] == .start && kinds[1...5].allSatisfy { $0 == .media } && kinds[6] == .prompt)
        #expect(media.map(\.text) == ["messages[0].content[0]"] + [String](repeating: "messages[1].content[1]", count: 3) + ["messages[1].content[2]"])
        #expect(media.map(\.code) == [1, 2, 2, 2, 1])
        #expect(media.map(\.name) == ["", "00:00:00.000", "00:00:02.000", "00:00:04.000", ""])
        #expect(media.map(\.done) == [1, 2, 3, 4, 5] && media.allSatisfy { $0.total == 5 })
        #expect(media.map(\.usage.media) == [3, 5, 5, 5, 3])
        // The second time in one prompt it was there.
        #expect(media.map(\.usage.cached) == [0, 0, 0, 0, 3])
        #expect(all.last?.usage.media == 21)
        #expect(seeing.eyes.take() == .init(reads: 3, encoded: ["a", "f.0", "f.1", "f.2"], batches: 1))
    }

    @Test("small pictures are encoded together, large ones by themselves")
    func batches() throws {
        let seeing = try Seeing()
        let parts = (0..<6).map { picture("paint:p\($0):400") }.joined(separator: ",")
        _ = try events(try seeing.chat(), asks(says("user", parts), tokens: 1), instant)
        let seen = seeing.eyes.take()
        #expect(seen.encoded.count == 6 && seen.batches == 3)
    }

    // MARK: Tools

    /// What a tool answers that takes a picture.
    private static func shot(_ id: String) -> ToolAnswer {
        guard let picture = try? Picture(width: 7, height: 2) else { return ToolAnswer(.failed, "no picture") }
        let part = MediaPart.held(.image, .picture(picture), url: "kimi-image:7", path: "\(id).content[1]")
        return ToolAnswer(.ok, "a screenshot", parts: [.media(part)])
    }

    @Test("a tool's answer may be a picture, and the next step sees it", arguments: [false, true])
    func toolShowsPicture(polled: Bool) throws {
        let seeing = try Seeing()
        let chat = try seeing.chat()
        let run: @Sendable (ToolCallRequest) -> ToolAnswer = { Self.shot($0.id) }
        chat.tools.add(try Weather.tool(run: polled ? nil : run))
        func change(_ options: inout ChatOptions) { (options.mode, options.stepLimit, options.reasoningBudget) = (.agent, 2, 16) }
        let all = try events(chat, AgentLoopTests.forced, polled: polled, change, answer: { Self.shot($0.callID) })
        let calls = all.all(.result).filter { $0.step == 0 }.count
        #expect(calls > 0 && all.all(.result).allSatisfy { $0.text == "a screenshot" })
        let media = all.all(.media)
        #expect(media.count == calls && media.allSatisfy { $0.step == 1 && $0.usage.media == 7 })
        #expect(media.first?.text == "functions.weather:0.content[1]")
        #expect(seeing.eyes.take().encoded == ["held 7"])
        let result = try #require(chat.past.first { $0.role == .tool })
        #expect(result.content == .parts([.text("a screenshot"), .media(result.media[0])]))
        #expect(try chat.messagesJSON().contains(#""url":"kimi-image:7""#))
        #expect(try chat.session.snapshot().counts.mediaTokens == 7 * calls)
    }

    @Test("a result in a request may be a picture, and notes take the place of old ones")
    func toolMessage() throws {
        let seeing = try Seeing()
        let chat = try seeing.chat(contextLimit: 1000)
        func call(_ id: Int) -> String {
            #"{"role":"assistant","content":"","tool_calls":[{"id":"functions.shot:\#(id)","type":"function","function":{"name":"shot","arguments":"{}"}}]},"#
                + #"{"role":"tool","tool_call_id":"functions.shot:\#(id)","content":[\#(picture("paint:s\(id):300"))]}"#
        }
        let json = asks(says("user", words("look")), call(0), call(1), call(2), tokens: 3)
        let all = try events(chat, json) { ($0.mode, $0.contextPolicy) = (.instant, .dropResults) }
        #expect(all.all(.notice).contains { $0.code == ChatEvent.Notice.resultsDropped.rawValue })
        #expect(chat.past.first { $0.role == .tool }?.text == "[removed to save context: 0 bytes and 1 pictures or clips]")
        // Whole results from the oldest on, and no more than need be.
        let left = chat.past.flatMap(\.media).count
        #expect((1...2).contains(left) && all.all(.media).count == left)
        #expect(seeing.eyes.take().encoded == ["s0", "s1", "s2"].suffix(left))
    }

    // MARK: What is refused

    @Test("a checkpoint without eyes says so at once, and which it is")
    func blind() throws {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        var config = try #require(JSONSerialization.jsonObject(with: Data(Fixtures.bytes("tiny-kimi/config.json"))) as? [String: Any])
        config["vision_config"] = nil
        try folder.write("config.json", JSONSerialization.data(withJSONObject: config))
        let model = try Model(folder: folder.path)
        #expect(model.eyes == nil)
        let chat = ChatSession(try Session(model: model))
        let error = #expect(throws: KimiError.self) {
            try events(chat, asks(says("user", words("x"), picture("data:,"))))
        }
        #expect(error?.status == .unsupported && error?.subject == "messages[0].content[1]")
        #expect(error?.file == folder.path)
        #expect(error?.message.contains("no vision_config") == true)
        #expect(try events(chat, asks(says("user", words("x")))).finish != nil, "the session is free")
    }

    @Test("what cannot be read names its field, and leaves the session as it was")
    func unreadable() throws {
        let seeing = try Seeing()
        let chat = try seeing.chat()
        _ = try events(chat, asks(says("user", words("x"))), instant)
        let (ids, past) = (try chat.session.ids(), chat.past)
        let error = #expect(throws: KimiError.self) {
            try events(chat, asks(says("user", words("x"), picture("paint:a:3"), clip("junk")))) { $0.append = true }
        }
        // The path is the request's, whatever was said before.
        #expect(error?.subject == "messages[0].content[2].video_url.url")
        #expect(try chat.session.ids() == ids && chat.past == past)
    }

    @Test("a handle's URL that is not held, or of the other kind, is refused; one that is held is looked at", arguments: [
        ("kimi-image:1", true), ("kimi-image:2", false), ("kimi-video:1", false),
    ])
    func handles(url: String, isHeld: Bool) throws {
        let seeing = try Seeing()
        let held = try Picture(width: 9, height: 1)
        func ask() throws -> [ChatEvent] {
            try events(try seeing.chat(), asks(says("user", picture(url)))) { options in
                options.mode = .instant
                options.heldMedia = { $0 == "kimi-image:1" || $0 == "kimi-video:1" ? .picture(held) : nil }
            }
        }
        guard !isHeld else { return #expect(try ask().all(.media).map(\.usage.media) == [9]) }
        let error = #expect(throws: KimiError.self) { try ask() }
        #expect(error?.status == .invalidArgument && error?.subject == "messages[0].content[0].image_url.url")
    }

    @Test("a conversation has a bounded number of pictures")
    func tooMany() throws {
        let seeing = try Seeing()
        let parts = [String](repeating: picture("paint:a:1"), count: ChatEyes.mostMedia + 1).joined(separator: ",")
        let error = #expect(throws: KimiError.self) { try events(try seeing.chat(), asks(says("user", parts))) }
        #expect(error?.status == .invalidArgument && error?.subject == "messages")
        #expect(seeing.eyes.take().reads == 0)
    }

    @Test("a prompt that does not fit is refused before anything is encoded")
    func doesNotFit() throws {
        let seeing = try Seeing()
        let error = #expect(throws: KimiError.self) {
            try events(try seeing.chat(contextLimit: 64), asks(says("user", picture("paint:a:100"))))
        }
        #expect(error?.status == .contextFull)
        #expect(seeing.eyes.take().encoded == [])
    }

    // MARK: The tower itself

    /// A fixture's file as a data: URL.
    private static func dataURL(_ file: String) throws -> String {
        "data:image/png;base64," + Data(try Fixtures.bytes("tiny-kimi-expected/vision/" + file)).base64EncodedString()
    }

    @Test("a picture file in a request, through decoder, tower and text model, gives what the reference's features give", arguments: ["small", "wide", "tall"])
    func wholeWay(_ name: String) throws {
        var options = Model.Options()
        (options.threads, options.exact) = (2, true)
        let seeing = try Model(folder: Fixtures.path("tiny-kimi"), options: options)
        let chat = ChatSession(try Session(model: seeing)), painted = try Seeing()
        let byReference = try painted.chat()
        let url = try Self.dataURL("\(name).png")
        let own = try events(chat, asks(says("user", picture(url), words("x")), tokens: 1)) { $0.mode = .instant }
        let reference = try events(byReference, asks(says("user", picture("fixture:\(name)"), words("x")), tokens: 1)) { $0.mode = .instant }
        #expect(own.all(.media).map(\.usage.media) == reference.all(.media).map(\.usage.media))
        let count = try #require(own.all(.start).first?.total)
        let (prompt, expected) = (try chat.session.ids().prefix(count), try byReference.session.ids().prefix(count))
        #expect(prompt == expected)
        func logits(_ session: Session) throws -> [Float] {
            let last = try session.ids()[count - 1]
            try session.truncate(to: count - 1)
            var logits = [Float](repeating: .nan, count: session.vocabularySize)
            try session.call { () throws(KimiError) in
                try logits.withUnsafeMutableBufferPointer { target in
                    Result { () throws(KimiError) in
                        try withUnsafePointer(to: last) { id in
                            Result { () throws(KimiError) in
                                try session.evaluate(UnsafeBufferPointer(start: id, count: 1), into: target.baseAddress)
                            }
                        }.get()
                    }
                }.get()
            }
            return logits
        }
        let (a, b) = (try logits(chat.session), try logits(byReference.session))
        #expect(zip(a, b).allSatisfy { abs($0 - $1) < 5e-3 })
        // The same picture again, as another request: nothing is encoded.
        _ = try events(chat, asks(says("user", picture(url), words("y")), tokens: 1)) { $0.mode = .instant }
        #expect(try chat.session.snapshot().counts.mediaEncoded == 1)
    }

    @Test("files, addresses and junk are refused by their field; files are read where the host allows it")
    func sources() throws {
        let chat = try Tiny.chat()
        let path = Fixtures.path("tiny-kimi-expected/vision/small.png")
        for (url, status) in [
            (path, Status.unsupported), ("file://" + path, .unsupported), ("https://example.org/a.png", .unsupported), ("ftp://x", .unsupported),
            ("data:image/png;base64,AAAA", .unsupported), ("data:,", .format), ("data:image/png;base64,!", .format),
        ] {
            let error = #expect(throws: KimiError.self) { try events(chat, asks(says("user", picture(url)))) { $0.mode = .instant } }
            #expect(error?.subject == "messages[0].content[0].image_url.url", "\(url): \(String(describing: error))")
            #expect(error?.status == status, "\(url): \(String(describing: error))")
        }
        for url in [path, "file://" + path] {
            let all = try events(chat, asks(says("user", picture(url)), tokens: 1)) { ($0.mode, $0.allowsFiles) = (.instant, true) }
            #expect(all.all(.media).map(\.usage.media) == [1])
        }
    }

    // MARK: Changes and cancellation

    @Test("a file that changes under a conversation is an error where it must be encoded again, and none where it need not")
    func changedFile() throws {
        let seeing = try Seeing(featureBytes: 0)
        let chat = try seeing.chat()
        seeing.eyes.aliases.withLock { $0["shot.png"] = "paint:old:20" }
        _ = try events(chat, asks(says("user", picture("shot.png"), words("one"))), instant)
        seeing.eyes.aliases.withLock { $0["shot.png"] = "paint:new:20" }
        // The conversation has the old one in its cache, and the new part is the new one.
        let all = try events(chat, asks(says("user", picture("shot.png"), words("two")))) { ($0.mode, $0.append) = (.instant, true) }
        #expect(all.all(.media).map(\.usage.cached) == [20, 0])
        #expect(seeing.eyes.take().encoded == ["old", "new"])
        // Both must be evaluated again, but the old one is gone.
        try chat.session.reset()
        let error = #expect(throws: KimiError.self) {
            try events(chat, asks(says("user", words("three")))) { ($0.mode, $0.append) = (.instant, true) }
        }
        #expect(error?.status == .io && error?.subject == "messages[0].content[0].image_url.url")
    }

    @Test("a picture in what another conversation has left is not looked at, and its tokens count as cached")
    func leftByAnother() throws {
        let seeing = try Seeing(featureBytes: 0, prefixBytes: 1 << 30)
        let json = asks(says("user", picture("paint:one:100"), words(String(repeating: "what is it? ", count: 20))), tokens: 1)
        let first = try events(seeing.chat(), json) { $0.mode = .instant }
        #expect(seeing.eyes.take().encoded == ["one"])
        let second = try events(seeing.chat(), json) { $0.mode = .instant }
        #expect(seeing.eyes.take().encoded.isEmpty)
        let (start, usage) = (try #require(second.all(.start).first), try #require(second.last?.usage))
        #expect(start.done > 0 && start.done == (start.total - 1) / 64 * 64 && usage.cached == start.done)
        #expect(second.all(.content).map(\.text) == first.all(.content).map(\.text))
        // Another picture of that size is another prompt.
        let other = asks(says("user", picture("paint:two:100"), words(String(repeating: "what is it? ", count: 20))), tokens: 1)
        let third = try events(seeing.chat(), other) { $0.mode = .instant }
        #expect(third.all(.start).first?.done == 0)
    }

    @Test("a cut in the midst of a picture: the next request goes on from there")
    func cutInPicture() throws {
        let seeing = try Seeing()
        let chat = try seeing.chat()
        let json = asks(says("user", picture("paint:cat:60"), words("what")), tokens: 6)
        let whole = try events(chat, json, instant)
        try chat.session.truncate(to: 30)
        let again = try events(chat, json, instant)
        #expect(again.all(.start).first?.done == 30)
        #expect(again.text(.content) == whole.text(.content))
        #expect(again.last?.usage.media == 60)
    }

    @Test("cancelled while it encodes, by the host or by giving up, the session is free and as it was", arguments: [false, true])
    func cancelled(givesUp: Bool) throws {
        let seeing = try Seeing()
        let chat = try seeing.chat()
        var options = ChatOptions()
        options.mode = .instant
        let run = try ChatRun(chat, request: try request(asks(says("user", picture("paint:a:5")))), options: options, isPolled: true)
        seeing.eyes.hook.withLock { $0 = { givesUp ? run.abandon() : chat.session.cancellation.request() } }
        #expect(try run.next().kind == .start)
        #expect(try run.next().finish == .cancelled)
        seeing.eyes.hook.withLock { $0 = nil }
        #expect(chat.past.isEmpty && chat.session.position == 0)
        #expect(try events(chat, asks(says("user", picture("paint:a:5"))), instant).finish == .length)
    }
}
