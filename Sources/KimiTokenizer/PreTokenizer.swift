/// Splits text into the words that byte pairs are merged within, as Kimi's pattern does.
///
/// The pattern, in the order its alternatives are tried (`&&` takes Han out of both letter classes):
///
///     1  [\p{Han}]+
///     2  [^\r\n\p{L}\p{N}]? [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]* [\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+ C?
///     3  [^\r\n\p{L}\p{N}]? [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+ [\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]* C?
///     4  \p{N}{1,3}
///     5   ?[^\s\p{L}\p{N}]+[\r\n]*
///     6  \s*[\r\n]+
///     7  \s+(?!\S)
///     8  \s+                                        C = (?i:'s|'t|'re|'ve|'m|'ll|'d)
///
/// A backtracking engine takes the first alternative that matches, greedily. Here each alternative is a scan that finds
/// the end the engine would, without going back over more than it read: every scan either becomes the word or is
/// followed by one that does, so the whole is linear. Every character begins some alternative, so the words cover the
/// text.
struct PreTokenizer {
    private let text: CheckedText
    private let end: Int
    private(set) var position: Int

    /// Splits the bytes from `start` to `end` of `text`; what lies beyond `end` is not looked at, as if the text ended
    /// there.
    init(_ text: CheckedText, from start: Int, to end: Int) {
        self.text = text
        self.position = start
        self.end = end
    }

    /// The next word's start and end in bytes, or nil at the end of the text.
    @inline(__always)
    mutating func next() -> (start: Int, end: Int)? {
        guard position < end else { return nil }
        let start = position
        position = wordEnd(start)
        return (start, position)
    }

    private func wordEnd(_ start: Int) -> Int {
        let (kind, length) = text.character(at: start)
        let second = start &+ length
        if kind & CharacterKinds.han != 0 { return text.endOfRun(CharacterKinds.han, from: second, to: end) }
        if let letters = lettersEnd(start, kind, second) { return contractionEnd(letters) }
        if kind & CharacterKinds.number != 0 { return numberEnd(second) }
        if let symbols = symbolsEnd(start, kind, second) { return symbols }
        return spacesEnd(start)
    }

    // MARK: Alternatives 2 and 3

    private func lettersEnd(_ start: Int, _ kind: UInt32, _ second: Int) -> Int? {
        let isPrefix = kind & CharacterKinds.prefix != 0
        if isPrefix {
            let afterPrefix = scanLetters(second)
            if let end = afterPrefix.lowerEnd { return end }
            // Alternative 2 without the optional prefix comes before alternative 3 with it. Only a mark is both prefix
            // and letter; what follows has no lower case here, so the mark stands alone.
            if kind & CharacterKinds.lower != 0 { return second }
            return afterPrefix.upperEnd > second ? afterPrefix.upperEnd : nil
        }
        guard kind & (CharacterKinds.upper | CharacterKinds.lower) != 0 else { return nil }
        let whole = scanLetters(start)
        return whole.lowerEnd ?? whole.upperEnd
    }

    /// `upperEnd`: the end of the longest run of `upper` from `start`. `lowerEnd`: where `upper* lower+` ends, or nil.
    ///
    /// The two classes share the letters without case and the marks. If a true lower-case letter follows the run,
    /// `upper*` keeps the whole run; otherwise it gives back until the run's last shared character, and that is the
    /// whole `lower+`.
    @inline(__always)
    private func scanLetters(_ start: Int) -> (upperEnd: Int, lowerEnd: Int?) {
        var position = start
        var lastSharedEnd: Int?
        while position < end {
            let (kind, length) = text.character(at: position)
            if kind & CharacterKinds.upper == 0 {
                guard kind & CharacterKinds.lower != 0 else { break }
                return (position, text.endOfRun(CharacterKinds.lower, from: position &+ length, to: end))
            }
            position &+= length
            if kind & CharacterKinds.lower != 0 { lastSharedEnd = position }
        }
        return (position, lastSharedEnd)
    }

    /// `position`, or the end of the contraction that stands there.
    @inline(__always)
    private func contractionEnd(_ position: Int) -> Int {
        guard end &- position >= 2, text.bytes[position] == 0x27 else { return position }
        return position &+ 1 &+ contractionLetters(position &+ 1)
    }

    /// How many bytes after the apostrophe belong to the contraction; -1 (back to before the apostrophe) if it is none.
    private func contractionLetters(_ position: Int) -> Int {
        let letter = text.bytes[position]
        let next = end &- position >= 2 ? text.bytes[position &+ 1] : 0
        switch letter | 0x20 {
        case 0x73, 0x74, 0x6D, 0x64: return 1  // s t m d
        case 0x72, 0x76: return next | 0x20 == 0x65 ? 2 : -1  // re ve
        case 0x6C: return next | 0x20 == 0x6C ? 2 : -1  // ll
        // U+017F, the long s, is an s to a pattern that ignores case.
        case 0xC5 | 0x20: return letter == 0xC5 && next == 0xBF ? 2 : -1
        default: return -1
        }
    }

    // MARK: Alternatives 4 to 8

    private func numberEnd(_ second: Int) -> Int {
        var position = second
        for _ in 0..<2 where position < end {
            let (kind, length) = text.character(at: position)
            guard kind & CharacterKinds.number != 0 else { break }
            position &+= length
        }
        return position
    }

    private func symbolsEnd(_ start: Int, _ kind: UInt32, _ second: Int) -> Int? {
        if kind & CharacterKinds.symbol == 0 {
            guard text.bytes[start] == 0x20, second < end,
                text.character(at: second).kind & CharacterKinds.symbol != 0
            else { return nil }
        }
        let symbols = text.endOfRun(CharacterKinds.symbol, from: second, to: end)
        return text.endOfRun(CharacterKinds.newline, from: symbols, to: end)
    }

    private func spacesEnd(_ start: Int) -> Int {
        var position = start
        var last = start
        var newlineEnd: Int?
        while position < end {
            let (kind, length) = text.character(at: position)
            guard kind & CharacterKinds.space != 0 else { break }
            last = position
            position &+= length
            if kind & CharacterKinds.newline != 0 { newlineEnd = position }
        }
        if let newlineEnd { return newlineEnd }
        // `(?!\S)` holds at the end of the text; before a visible character it gives back one space, unless that is
        // all.
        return position == end || last == start ? position : last
    }
}
