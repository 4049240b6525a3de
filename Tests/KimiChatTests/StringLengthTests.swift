import KimiChat
import Testing

/// Patterns with bounds on length, and random patterns against a matcher that tries all ways.
@Suite struct StringLengthTests {
    static let patterns: [(pattern: String, has: @Sendable (String) -> Bool)] = [
        ("^(ab)*$", { $0 == String(repeating: "ab", count: $0.count / 2) }),
        ("^(aaa|bb)*$", { text in
            var rest = Substring(text)
            while !rest.isEmpty {
                guard let word = ["aaa", "bb"].first(where: rest.hasPrefix) else { return false }
                rest.removeFirst(word.count)
            }
            return true
        }),
        ("a", { $0.contains("a") }),
        ("^a*b{3}$", { $0 == String(repeating: "a", count: max($0.count - 3, 0)) + "bbb" }),
        ("^[ab]{2,5}$", { (2...5).contains($0.count) }),
        ("b$", { $0.hasSuffix("b") }),
        ("^(?=.*a)(?=.*b)", { $0.contains("a") && $0.contains("b") }),
        ("", { _ in true }),
    ]

    static let bounds: [(Int, Int?)] = [
        (0, 0), (0, 3), (3, 3), (5, 5), (4, 7), (7, nil), (1, 1), (2, 100_000), (0, nil), (8, 9),
        (1000, 1001),
    ]

    /// All strings over a and b up to a length.
    static func strings(upTo length: Int) -> [String] {
        var all = [""]
        var layer = [""]
        for _ in 0..<length {
            layer = layer.flatMap { [$0 + "a", $0 + "b"] }
            all += layer
        }
        return all
    }

    @Test(arguments: patterns.indices)
    func lengthsAreKeptExactly(index: Int) throws {
        let (pattern, has) = Self.patterns[index]
        let strings = Self.strings(upTo: 9)
        for (min, max) in Self.bounds {
            let language = try StringLanguage(patterns: [pattern], formats: [], lengths: LengthRange(min: min, max: max))
            for text in strings {
                let expected = has(text) && text.count >= min && text.count <= max ?? .max
                #expect(language.allows(text) == expected, "\(pattern) from \(min) to \(max ?? -1) and \(text)")
            }
            #expect(language.deadEnd(depth: 5) == nil, "\(pattern) from \(min) to \(max ?? -1)")
        }
    }

    @Test func aWayThatCannotEndInTimeIsNotEntered() throws {
        let language = try StringLanguage(patterns: ["^a*b{3}$"], formats: [], lengths: LengthRange(min: 0, max: 4))
        let one = language.next(language.start, 0x61)
        #expect(language.shortest(one) == 3)
        #expect(language.next(one, 0x61) == -1)
        #expect(language.next(language.next(one, 0x62), 0x61) == -1)
    }

    @Test func hugeBoundsStaySmallOrHaveTheirReason() throws {
        let any = try StringLanguage(patterns: ["a"], formats: [], lengths: LengthRange(min: 100_000, max: 100_000))
        #expect(any.shortest(any.start) == 100_000)
        let endless = try StringLanguage(patterns: ["^a*$"], formats: [], lengths: LengthRange(min: 0, max: .max))
        #expect(endless.isUniversal(endless.start) == false && endless.next(endless.start, 0x61) == endless.start)
        #expect(try StringLanguage(patterns: ["^a{2}$"], formats: [], lengths: LengthRange(min: .min, max: .max)).allows("aa"))
        #expect(throws: UnsupportedPattern.self) {
            try StringLanguage(patterns: ["a"], formats: [], lengths: LengthRange(min: .max, max: .max))
        }
        #expect(try StringLanguage(patterns: ["a"], formats: [], lengths: LengthRange(min: 0, max: .min)).start == -1)
        #expect(try StringLanguage(patterns: ["a"], formats: [], lengths: LengthRange(min: 3, max: -1)).start == -1)
    }

    /// A pattern as a tree, with a matcher that follows the definition: the positions at which a match from `at` may end.
    indirect enum Tree {
        case letter(Character), any, none, start, end, boundary
        case both(Tree, Tree), either(Tree, Tree), star(Tree), ahead(Tree, negated: Bool)

        var pattern: String {
            switch self {
            case .letter(let letter): String(letter)
            case .any: "[ab ]"
            case .none: "(?:)"
            case .start: "^"
            case .end: "(?![ab ])"
            case .boundary: "\\b"
            case .both(let first, let second): first.pattern + second.pattern
            case .either(let first, let second): "(?:\(first.pattern)|\(second.pattern))"
            case .star(let inner): "(?:\(inner.pattern))*"
            case .ahead(let inner, let negated): "(?\(negated ? "!" : "=")\(inner.pattern))"
            }
        }

        func ends(_ text: [Character], _ at: Int) -> Set<Int> {
            switch self {
            case .letter(let letter): return at < text.count && text[at] == letter ? [at + 1] : []
            case .any: return at < text.count ? [at + 1] : []
            case .none: return [at]
            case .start: return at == 0 ? [at] : []
            case .end: return at == text.count ? [at] : []
            case .boundary:
                let before = at > 0 && text[at - 1] != " "
                let after = at < text.count && text[at] != " "
                return before != after ? [at] : []
            case .both(let first, let second):
                return first.ends(text, at).reduce(into: []) { $0.formUnion(second.ends(text, $1)) }
            case .either(let first, let second): return first.ends(text, at).union(second.ends(text, at))
            case .star(let inner):
                var reached: Set<Int> = [at]
                var open = [at]
                while let from = open.popLast() {
                    for to in inner.ends(text, from) where reached.insert(to).inserted { open.append(to) }
                }
                return reached
            case .ahead(let inner, let negated): return inner.ends(text, at).isEmpty == negated ? [at] : []
            }
        }

        static func random(_ depth: Int, _ generator: inout some RandomNumberGenerator) -> Tree {
            let kind = depth == 0 ? Int.random(in: 0..<5, using: &generator) : Int.random(in: 0..<14, using: &generator)
            switch kind {
            case 0, 1: return .letter("a")
            case 2: return .letter("b")
            case 3: return .any
            case 4: return [.none, .start, .end, .boundary].randomElement(using: &generator) ?? .none
            case 5...8: return .both(random(depth - 1, &generator), random(depth - 1, &generator))
            case 9, 10: return .either(random(depth - 1, &generator), random(depth - 1, &generator))
            case 11, 12: return .star(random(depth - 1, &generator))
            default: return .ahead(random(depth - 1, &generator), negated: Bool.random(using: &generator))
            }
        }
    }

    @Test func randomPatternsMatchAsDefined() throws {
        var generator = SplitMix(state: 20_26)
        let letters: [Character] = ["a", "b", " "]
        for _ in 0..<1500 {
            let tree = Tree.random(5, &generator)
            let language = try StringLanguage(tree.pattern)
            for _ in 0..<30 {
                let length = Int.random(in: 0...7, using: &generator)
                let text = (0..<length).map { _ in letters[Int.random(in: 0..<3, using: &generator)] }
                let expected = (0...text.count).contains { !tree.ends(text, $0).isEmpty }
                #expect(language.allows(String(text)) == expected, "\(tree.pattern) and \(String(text).debugDescription)")
            }
        }
    }

    /// The same numbers in every run.
    struct SplitMix: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }
}
