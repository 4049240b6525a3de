/// Cuts text as the reference tokenizer does before it looks for words: into stretches of 400,000 characters, and those
/// wherever more than 25,000 characters of white space, or more than 25,000 of anything else, follow each other.
///
/// The cuts show in the result, since no word and no special token reaches across one.
struct TextCut {
    static let longestStretch = 400_000
    static let longestRun = 25_000

    private let text: CheckedText
    private var position = 0

    init(_ text: CheckedText) { self.text = text }

    /// The next piece's start and end in bytes, or nil at the end of the text. A text of no characters has no pieces.
    mutating func next() -> (start: Int, end: Int)? {
        guard position < text.count else { return nil }
        let start = position
        position = pieceEnd(start)
        return (start, position)
    }

    /// Characters since the last multiple of `longestStretch`, and the run that the cursor is in; both outlive a cut.
    private var stretch = 0
    private var run = 0
    private var runIsSpace = false

    private mutating func pieceEnd(_ start: Int) -> Int {
        // No character is shorter than a byte, so a short rest of a fresh text cannot be cut.
        if start == 0 && text.count <= Self.longestRun { return text.count }
        var position = start
        while position < text.count {
            let (kind, length) = text.character(at: position)
            let isSpace = kind & CharacterKinds.isspace != 0
            if stretch == Self.longestStretch {
                stretch = 0
                run = 0
                return position
            }
            if run == 0 || isSpace != runIsSpace {
                run = 0
                runIsSpace = isSpace
            } else if run == Self.longestRun {
                run = 0
                return position
            }
            run &+= 1
            stretch &+= 1
            position &+= length
        }
        return position
    }
}
