import KimiTokenizer

/// The two readings of a pattern that a string has to satisfy at once: ECMA-262, which JSON Schema names, and Python's `re`, which
/// the most used validator runs. Both read text as code points, without flags.
enum PatternDialect {
    case ecma, python

    /// `\d`: ASCII digits, or every decimal digit.
    var digits: ScalarSet { self == .ecma ? Self.asciiDigits : Self.decimalDigits }

    /// `\w`: ASCII letters, digits and the underscore, or every letter and number and the underscore.
    var words: ScalarSet { self == .ecma ? Self.asciiWords : Self.unicodeWords }

    /// `\s`: white space and line ends; each reading has some that the other lacks.
    var spaces: ScalarSet { self == .ecma ? Self.ecmaSpaces : Self.pythonSpaces }

    /// What `.` does not match.
    var lineEnds: ScalarSet { self == .ecma ? Self.ecmaLineEnds : Self.newline }

    static let newline = ScalarSet(0x0A)
    static let asciiDigits = ScalarSet([0x30...0x39])
    private static let asciiWords = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    private static let unicodeWords = ScalarSet(CharacterRanges.letters + CharacterRanges.numbers + [0x5F...0x5F])
    private static let ecmaLineEnds = ScalarSet([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029])
    private static let pythonSpaces = ScalarSet(CharacterRanges.pythonSpaces)
    private static let ecmaSpaces = pythonSpaces.subtracting(ScalarSet([0x1C...0x1F, 0x85...0x85])).union(ScalarSet(0xFEFF))

    /// General category Nd (Unicode 16): runs of ten, but for two that hold several tens. All are in `CharacterRanges.numbers`.
    static let decimalDigits = ScalarSet(
        decimalZeros.map { $0...($0 + 9) } + [0x116D0...0x116E3, 0x1D7CE...0x1D7FF])

    private static let decimalZeros: [UInt32] = [
        0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20, 0x1040,
        0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0,
        0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0,
        0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11BF0, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16130, 0x16A60, 0x16AC0,
        0x16B50, 0x16D70, 0x1CCF0, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1, 0x1E950, 0x1FBF0,
    ]

    /// What `\p{name}` matches, or nil for a property that the tables lack.
    static func property(_ name: String) -> ScalarSet? {
        switch name {
        case "L", "Letter", "gc=L", "gc=Letter": ScalarSet(CharacterRanges.letters)
        case "Lu", "Uppercase_Letter", "gc=Lu": ScalarSet(CharacterRanges.upperOrTitleCase).subtracting(titleCase)
        case "Lt", "Titlecase_Letter", "gc=Lt": titleCase
        case "Ll", "Lowercase_Letter", "gc=Ll": ScalarSet(CharacterRanges.lowerCase)
        case "N", "Number", "gc=N", "gc=Number": ScalarSet(CharacterRanges.numbers)
        case "Nd", "Decimal_Number", "digit", "gc=Nd": decimalDigits
        case "Script=Han", "sc=Han", "Script=Hani", "sc=Hani": ScalarSet(CharacterRanges.han)
        case "ASCII": ScalarSet([0...0x7F])
        case "Any": .all
        default: nil
        }
    }

    /// General category Lt.
    private static let titleCase = ScalarSet([
        0x1C5...0x1C5, 0x1C8...0x1C8, 0x1CB...0x1CB, 0x1F2...0x1F2, 0x1F88...0x1F8F, 0x1F98...0x1F9F, 0x1FA8...0x1FAF,
        0x1FBC...0x1FBC, 0x1FCC...0x1FCC, 0x1FFC...0x1FFC,
    ])
}
