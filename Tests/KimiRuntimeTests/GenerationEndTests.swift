import KimiCore
import KimiRuntime
import KimiTestSupport
import KimiTokenizer
import Testing

/// What ends a generation: stop ids, the checkpoint's own end, stop strings.
struct GenerationEndTests {
    @Test("stop ids and the checkpoint's end tokens end, are held by the session, and give no text", arguments: [0, 3, 11])
    func stopIDs(_ index: Int) throws {
        let ids = try GenerationTests.expectedGreedy.get()
        let first = ids.firstIndex(of: ids[index]) ?? index
        let session = try Tiny.session()
        let events = try session.events(GenerationTests.prompt) { GenerationTests.greedy(&$0); $0.stopIDs = [ids[index], 5] }
        #expect(events.ids == Array(ids.prefix(first)))
        #expect(events.last?.reason == .stop && events.last?.endID == ids[index] && events.last?.stopString == nil)
        #expect(try session.ids() == GenerationTests.prompt + ids.prefix(first + 1))
        #expect(try events.text == session.model.tokenizer.decode(Array(ids.prefix(first))))
        #expect(try session.evaluate([9]) == Tiny.session().evaluate(GenerationTests.prompt + ids.prefix(first + 1) + [9]))
    }

    @Test("the checkpoint's end token ends a generation unless it is told to go on", arguments: [false, true])
    func endToken(_ ignoring: Bool) throws {
        let session = try Tiny.session()
        let end = try #require(session.model.endTokens.first)
        let events = try session.events(GenerationTests.prompt) {
            ($0.maxTokens, $0.greedy, $0.ignoreEnd) = (3, true, ignoring)
            $0.logitBias = [(end, 1000)]
        }
        #expect(events.ids == (ignoring ? [end, end, end] : []))
        #expect(events.last?.reason == (ignoring ? .length : .stop))
        #expect(events.last?.endID == (ignoring ? nil : end))
        #expect(session.position == (ignoring ? 63 : 61))
    }

    @Test("a stop string ends before its first byte, wherever the tokens cut it")
    func stopStrings() throws {
        let tokenizer = try Tiny.model.tokenizer
        let ids = try GenerationTests.expectedGreedy.get()
        let text = try tokenizer.decode(ids)
        var tried = 0
        for start in 0..<text.count {
            for length in 1...6 where start + length <= text.count {
                let stop = Array(text[start..<start + length])
                guard String(validating: stop, as: UTF8.self) != nil else { continue }
                // The first place where it stands.
                let place = (0...start).first { text[$0...].starts(with: stop) } ?? start
                let events = try Tiny.session().events(GenerationTests.prompt) {
                    GenerationTests.greedy(&$0)
                    $0.stopStrings = [[0x01, 0x02], stop]
                }
                #expect(events.text == Array(text[..<place]))
                #expect(events.last?.reason == .stop && events.last?.stopString == 1)
                tried += 1
                if tried >= 24 { return }
                break
            }
        }
        #expect(tried > 3)
    }

    @Test("a stop string that ends with the last token, behind the beginning of a longer one, still counts")
    func stopStringAtTheEnd() throws {
        let ids = try GenerationTests.expectedGreedy.get()
        let tokenizer = try Tiny.model.tokenizer
        // A cut where the text so far ends in a whole character of at least one byte.
        for count in 1...12 {
            let text = try tokenizer.decode(Array(ids.prefix(count)))
            guard let whole = String(validating: text.suffix(2), as: UTF8.self), whole.utf8.count == 2, text.count > 2
            else { continue }
            let (last, longer) = (Array(text.suffix(1)), Array(text.suffix(2)) + Array("never".utf8))
            guard !text.dropLast().contains(last[0]) else { continue }
            let events = try Tiny.session().events(GenerationTests.prompt) {
                GenerationTests.greedy(&$0)
                ($0.maxTokens, $0.stopStrings) = (count, [longer, last])
            }
            #expect(events.text == Array(text.dropLast()))
            #expect(events.last?.reason == .stop && events.last?.stopString == 1)
            return
        }
        Issue.record("no place to try it")
    }
}
