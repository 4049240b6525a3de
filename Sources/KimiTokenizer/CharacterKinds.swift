/// The classes of the pre-tokeniser's pattern, asked by code point.
///
/// Every code point has one of a few kinds; a class is a set of kinds, so that a test of several classes at once costs
/// one look-up and one mask. The table is the generated `UnicodeClassTable`.
struct CharacterKinds {
    // Safe because both are constants of the program's image, sized by the generator: `blocks` has two characters for
    // each of the 0x110000 / 128 blocks, and every block number found there has its 128 letters in `kinds`.
    private let blocks = UnicodeClassTable.blocks.utf8Start
    private let kinds = UnicodeClassTable.kinds.utf8Start

    /// Script=Han, whatever the general category.
    static let han = UnicodeClassTable.han
    /// Upper and title case, and what has no case: modifier letters, other letters, marks. Never Han.
    static let upper = UnicodeClassTable.upper
    /// Lower case, and what has no case, as in `upper`. Never Han.
    static let lower = UnicodeClassTable.lower
    /// What may stand once before a word: neither letter nor number nor line end. Marks are here too.
    static let prefix = UnicodeClassTable.prefix
    static let number = UnicodeClassTable.number
    /// White_Space, as `\s` of the pattern has it.
    static let space = UnicodeClassTable.space
    static let newline = UnicodeClassTable.newline
    /// Neither white space nor letter nor number; marks are here too.
    static let symbol = UnicodeClassTable.prefix & ~UnicodeClassTable.space
    /// What Python's `str.isspace` takes for white space: `space` and four control characters.
    static let isspace = UnicodeClassTable.isspace

    /// The kind of an ASCII character, as a mask of one bit.
    @inline(__always)
    func ascii(_ byte: UInt8) -> UInt32 {
        // The first block is number 0, so its letters are the first.
        1 &<< UInt32(kinds[Int(byte & 0x7F)] &- 0x41)
    }

    /// The kind of a code point below 0x110000, as a mask of one bit.
    @inline(__always)
    func kind(_ scalar: UInt32) -> UInt32 {
        let block = Int(scalar >> 7) &* 2
        let number = Int(blocks[block] &- 0x30) &* 64 &+ Int(blocks[block &+ 1] &- 0x30)
        return 1 &<< UInt32(kinds[number &* UnicodeClassTable.blockSize &+ Int(scalar & 0x7F)] &- 0x41)
    }
}

/// Well-formed UTF-8, read character by character.
///
/// The bytes are borrowed and must have passed `UTF8Check`: a sequence is decoded without a second look.
struct CheckedText {
    let bytes: UnsafePointer<UInt8>
    let count: Int
    private let kinds = CharacterKinds()

    /// - Parameter bytes: well-formed UTF-8 that outlives this value; its base address is not nil.
    init(bytes: UnsafePointer<UInt8>, count: Int) {
        self.bytes = bytes
        self.count = count
    }

    /// The kind of the character at `position`, which is the start of a character before the end, and its length in
    /// bytes.
    @inline(__always)
    func character(at position: Int) -> (kind: UInt32, length: Int) {
        let first = bytes[position]
        if first < 0x80 { return (kinds.ascii(first), 1) }
        return longCharacter(at: position, first: UInt32(first))
    }

    @inline(__always)
    private func longCharacter(at position: Int, first: UInt32) -> (kind: UInt32, length: Int) {
        // Safe because the text is well-formed, so the continuation bytes that the first byte promises are there.
        @inline(__always) func tail(_ offset: Int) -> UInt32 { UInt32(bytes[position &+ offset] & 0x3F) }
        if first < 0xE0 { return (kinds.kind((first & 0x1F) &<< 6 | tail(1)), 2) }
        if first < 0xF0 { return (kinds.kind((first & 0x0F) &<< 12 | tail(1) &<< 6 | tail(2)), 3) }
        return (kinds.kind((first & 0x07) &<< 18 | tail(1) &<< 12 | tail(2) &<< 6 | tail(3)), 4)
    }

    /// Where the run of characters of `classes` that starts at `position` ends; `position` itself if there is none.
    @inline(__always)
    func endOfRun(_ classes: UInt32, from position: Int, to end: Int) -> Int {
        var position = position
        while position < end {
            let (kind, length) = character(at: position)
            guard kind & classes != 0 else { break }
            position &+= length
        }
        return position
    }
}
