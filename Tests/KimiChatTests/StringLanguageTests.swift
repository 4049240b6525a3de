import KimiChat
import KimiTestSupport
import Testing

/// Patterns and formats against what Python and node say of them (`Tests/reference/strings`).
@Suite struct StringLanguageTests {
    struct PatternCase: Decodable {
        let pattern: String
        let allowed: [String]
        let refused: [String]
    }

    struct FormatCase: Decodable {
        let format: String
        let allowed: [String]
        let refused: [String]
    }

    @Test func patternsAllowWhatBothReferencesFind() throws {
        let cases = try Fixtures.decode([PatternCase].self, "strings/patterns.json")
        #expect(cases.count > 300)
        for one in cases {
            let language = try StringLanguage(one.pattern)
            for text in one.allowed { #expect(language.allows(text), "\(one.pattern) and \(text.debugDescription)") }
            for text in one.refused { #expect(!language.allows(text), "\(one.pattern) and \(text.debugDescription)") }
            #expect(language.deadEnd(depth: 6) == nil, "\(one.pattern)")
        }
    }

    @Test func formatsAllowWhatTheirStandardsAllow() throws {
        let cases = try Fixtures.decode([FormatCase].self, "strings/formats.json")
        #expect(Set(cases.map(\.format)) == StringLanguage.formats)
        for one in cases {
            let language = try StringLanguage(patterns: [], formats: [one.format], lengths: LengthRange(min: 0, max: nil))
            for text in one.allowed { #expect(language.allows(text), "\(one.format) and \(text.debugDescription)") }
            for text in one.refused { #expect(!language.allows(text), "\(one.format) and \(text.debugDescription)") }
            #expect(language.deadEnd(depth: 3) == nil, "\(one.format)")
        }
    }

    /// What the standard has and the fixture's reference cannot judge.
    @Test(arguments: [
        ("email", "\"a b\\\"c\"@example.com", true), ("email", "a@[127.0.0.1]", true), ("email", "a@[IPv6:::1]", true),
        ("email", "a@[IPv6:1]", false), ("email", "a..b@c", false), ("email", "a@b..c", false), ("email", "a@-b", false),
        ("hostname", "a.", false), ("duration", "P1Y1D", false), ("uuid", "{1234567-89ab-cdef-abcd-ef0123456789", false),
    ])
    func formatIsExact(format: String, text: String, allowed: Bool) throws {
        let language = try StringLanguage(patterns: [], formats: [format], lengths: LengthRange(min: 0, max: nil))
        #expect(language.allows(text) == allowed)
    }

    @Test(arguments: [
        #"(a)\1"#, #"(?<n>a)\k<n>"#, "(?<=a)b", "(?<!a)b", "(?i)a", "(?>a)", "a++", "a**", "*a", "(a", "a)", "[a", "[]", "[b-a]",
        "a{2,1}", "a{,2}", "^*", #"\A"#, #"\01"#, #"\ud800"#, #"\x4"#, #"\u{110000}"#, #"\p{Emoji}"#, #"\"#, "(?<n", #"\c1"#,
    ])
    func unsupportedPatternHasItsReason(pattern: String) {
        let error = #expect(throws: UnsupportedPattern.self) { try StringLanguage(pattern) }
        #expect(error?.reason.isEmpty == false)
    }

    /// Patterns that keep others busy for years end in an automaton or a reason; that they end is the test.
    @Test(arguments: [
        "(a+)+$", "^(a*)*b$", "(a{1,1000}){1,1000}", "^(a{1,100}){1,100}$", "((a{0}){1000000}){1000000}",
        "(((((x{9}){9}){9}){9}){9}){9}",
        "[a-z]{3,5000}$", ".*a.{20}$", "(?:(?=.*a.{10}$)b)*", #"^(\w+\s?)*$"#, String(repeating: "(", count: 100_000),
        String(repeating: "(?:a", count: 90) + String(repeating: ")*", count: 90), String(repeating: "(?=a)", count: 5000),
        String(repeating: "a|", count: 9000), "a{99999999999999999999}",
    ])
    func hugePatternEnds(pattern: String) {
        do throws(UnsupportedPattern) {
            let language = try StringLanguage(pattern)
            #expect(language.start >= 0)
        } catch {
            #expect(!error.reason.isEmpty)
        }
    }

    @Test func nothingAllowedHasNoStart() throws {
        #expect(try StringLanguage("a^b").start == -1)
        let both = try StringLanguage(patterns: ["^a", "^b"], formats: [], lengths: LengthRange(min: 0, max: nil))
        #expect(both.start == -1)
        #expect(try StringLanguage(patterns: ["^a{3}$"], formats: [], lengths: LengthRange(min: 4, max: 9)).start == -1)
        #expect(both.next(-1, 0x61) == -1)
        #expect(both.next(.max, 0x61) == -1)
        #expect(!both.accepts(-1))
    }

    @Test(arguments: ["^[b-dé-ü]+$", "", "^a$", #"^[^\W_]+$"#, "^[\u{4E00}-\u{4E10}]"])
    func rangeGoesOnIfOneOfItsScalarsDoes(pattern: String) throws {
        let language = try StringLanguage(pattern)
        let edges: [UInt32] = [0, 0x40, 0x62, 0x65, 0x7F, 0xE8, 0xFD, 0x4DFF, 0x4E10, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0x10000]
        for low in edges {
            for high in edges where low <= high {
                let expected = (low...high).contains { language.next(language.start, $0) >= 0 }
                #expect(language.goesOn(language.start, in: low...high) == expected, "\(pattern) from \(low) to \(high)")
            }
        }
        #expect(!language.goesOn(-1, in: 0...0x10FFFF))
    }

    @Test func surrogatesAndNumbersBeyondUnicodeLeadNowhere() throws {
        let any = try StringLanguage("")
        #expect(any.isUniversal(any.start))
        for scalar in [UInt32(0xD800), 0xDFFF, 0x110000, .max] { #expect(any.next(any.start, scalar) == -1) }
        for scalar in [UInt32(0), 0x7F, 0x80, 0xD7FF, 0xE000, 0x10FFFF] { #expect(any.isUniversal(any.next(any.start, scalar))) }
    }
}

extension StringLanguage {
    convenience init(_ pattern: String) throws(UnsupportedPattern) {
        try self.init(patterns: [pattern], formats: [], lengths: LengthRange(min: 0, max: nil))
    }

    func allows(_ text: String) -> Bool {
        var state = start
        for scalar in text.unicodeScalars where state >= 0 { state = next(state, scalar.value) }
        return state >= 0 && accepts(state)
    }

    private static let alphabet: [UInt32] =
        "abcxA0159_ \n\r-.:/@T%#[Z+é٣中😀\u{2028}\u{1C}\u{FEFF}".unicodeScalars.map(\.value)

    /// A state within `depth` scalars of the start from which the promised shortest way does not lead to acceptance, scalar by scalar;
    /// nil if there is none.
    func deadEnd(depth: Int) -> Int32? {
        guard start >= 0 else { return nil }
        var seen: Set<Int32> = [start]
        var layer: [Int32] = [start]
        for _ in 0..<depth {
            for state in layer where !waySucceeds(state) { return state }
            layer = layer.flatMap { state in Self.alphabet.map { next(state, $0) } }.filter { $0 >= 0 && seen.insert($0).inserted }
        }
        return nil
    }

    private func waySucceeds(_ state: Int32) -> Bool {
        var state = state
        for left in stride(from: shortest(state), to: 0, by: -1) {
            guard shortest(state) == left, let scalar = scalarTowardsEnd(state) else { return false }
            state = next(state, scalar)
        }
        return accepts(state) && shortest(state) == 0 && scalarTowardsEnd(state) == nil
    }
}
