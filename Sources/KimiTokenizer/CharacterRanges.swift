/// Classes of characters as ranges of code points, in ascending order, with gaps between them and without surrogates.
///
/// For who compiles classes into tables of his own; to test one character, `CharacterKinds` is faster.
package enum CharacterRanges {
    /// General category L.
    package static let letters = ranges { $0 & letterKinds != 0 }
    /// General category N.
    package static let numbers = ranges { $0 & CharacterKinds.number != 0 }
    /// Script=Han, whatever the general category.
    package static let han = ranges { $0 & CharacterKinds.han != 0 }
    /// What Python's `str.isspace` takes for white space.
    package static let pythonSpaces = ranges { $0 & CharacterKinds.isspace != 0 }
    /// General categories Lu and Lt.
    package static let upperOrTitleCase = ranges { $0 & CharacterKinds.upper & ~CharacterKinds.lower != 0 }
    /// General category Ll.
    package static let lowerCase = ranges { $0 & CharacterKinds.lower & ~CharacterKinds.upper != 0 }

    // A Han letter has a kind of its own, which is in neither case class; a Han sign that is no letter may stand before a word.
    private static let letterKinds =
        (CharacterKinds.upper | CharacterKinds.lower | CharacterKinds.han) & ~(CharacterKinds.prefix | CharacterKinds.number)

    private static func ranges(where isMember: (UInt32) -> Bool) -> [ClosedRange<UInt32>] {
        let kinds = CharacterKinds()
        var ranges: [ClosedRange<UInt32>] = []
        var start: UInt32?
        for scalar in UInt32(0)...0x110000 {
            let inside = scalar < 0x110000 && !(0xD800...0xDFFF).contains(scalar) && isMember(kinds.kind(scalar))
            if inside, start == nil { start = scalar }
            if !inside, let first = start {
                ranges.append(first...(scalar - 1))
                start = nil
            }
        }
        return ranges
    }
}
