import KimiRuntime
import KimiTestSupport
import Testing

struct StopMatcherTests {
    /// The first stop string of the whole text: the one that begins first, of those the shortest, of those the first in the list.
    private func reference(_ text: [UInt8], _ stops: [[UInt8]]) -> (text: [UInt8], stop: Int?) {
        for start in text.indices {
            let found = stops.indices.filter { text[start...].starts(with: stops[$0]) }
            if let best = found.min(by: { (stops[$0].count, $0) < (stops[$1].count, $1) }) { return (Array(text[..<start]), best) }
        }
        return (text, nil)
    }

    private func run(_ pieces: [[UInt8]], _ stops: [[UInt8]]) -> (text: [UInt8], stop: Int?) {
        var matcher = StopMatcher(stops)
        var shown: [UInt8] = []
        for piece in pieces {
            let (text, stop) = matcher.feed(piece)
            shown += text
            if let stop { return (shown, stop) }
        }
        let (text, stop) = matcher.finish()
        return (shown + text, stop)
    }

    private func cut(_ text: [UInt8], _ random: inout SplitMix) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var rest = text[...]
        while !rest.isEmpty {
            let length = Int.random(in: 0...4, using: &random)
            pieces.append(Array(rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return pieces
    }

    @Test("however the text comes in pieces, the result is that of the whole text", arguments: 0..<40)
    func anyPieces(_ seed: Int) {
        var random = SplitMix(UInt64(seed))
        for _ in 0..<250 {
            // Two or three letters, so that stop strings are found, nearly found, and found within each other.
            let letters = Array("abc".utf8.prefix(Int.random(in: 2...3, using: &random)))
            func word(_ longest: Int) -> [UInt8] {
                (0..<Int.random(in: 1...longest, using: &random)).map { _ in letters[Int.random(in: 0..<letters.count, using: &random)] }
            }
            let stops = (0..<Int.random(in: 0...5, using: &random)).map { _ in word(6) }
            let text = word(40)
            let expected = reference(text, stops)
            for pieces in [[text], text.map { [$0] }, cut(text, &random), cut(text, &random)] {
                let found = run(pieces, stops)
                #expect(found.text == expected.text && found.stop == expected.stop, "\(String(decoding: text, as: UTF8.self)) with \(stops.map { String(decoding: $0, as: UTF8.self) })")
            }
        }
    }

    @Test("what is shown at any time is a beginning of the final text, and holds no beginning of a stop string at its end")
    func neverTooMuch() {
        let stops = ["abcabd", "bcx", "<|end|>"].map { Array($0.utf8) }
        let text = Array("xxabcabcabcxyz".utf8)
        let expected = reference(text, stops)
        var matcher = StopMatcher(stops)
        var shown: [UInt8] = []
        for byte in text {
            let (piece, stop) = matcher.feed([byte])
            shown += piece
            #expect(expected.text.starts(with: shown))
            if stop != nil { break }
        }
        #expect(shown == expected.text)
    }

    @Test("a stop string behind the beginning of a longer one is found at the end")
    func foundAtTheEnd() {
        let found = run([Array("..xab".utf8)], ["xabc", "ab"].map { Array($0.utf8) })
        #expect(found.text == Array("..x".utf8) && found.stop == 1)
    }

    @Test("what was held back comes out at the end, once")
    func flush() {
        var matcher = StopMatcher([Array("stop".utf8)])
        #expect(matcher.feed(Array("a sto".utf8)).text == Array("a ".utf8))
        #expect(matcher.finish().text == Array("sto".utf8))
        #expect(matcher.finish().text.isEmpty)
    }

    @Test("without stop strings everything passes at once")
    func none() {
        var matcher = StopMatcher([])
        #expect(matcher.feed([1, 2, 3]).text == [1, 2, 3])
        #expect(matcher.finish().text.isEmpty)
    }

    @Test("long stop strings that nearly match do not take quadratic time or lose a byte")
    func long() {
        let stop = [UInt8](repeating: 97, count: 4095) + [98]
        let text = [UInt8](repeating: 97, count: 20_000) + [99]
        let pieces = stride(from: 0, to: text.count, by: 7).map { Array(text[$0..<min($0 + 7, text.count)]) }
        let found = run(pieces, [stop])
        #expect(found.text == text && found.stop == nil)
    }
}
