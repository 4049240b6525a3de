/// Where the writing of one value stands: a value that is about to begin, a word, number, string, key, array or object.
///
/// A frame is a few plain registers, copied and compared by value. What they mean depends on the kind.
struct Frame: Equatable {
    enum Kind: UInt8 {
        /// The text has ended; only white space may follow.
        case done
        /// A value of the node `shape` begins here.
        case value
        /// Within null, false or true: the letters so far in `b`.
        case word
        case number
        case string
        /// A string that is a key of the object `shape`, whose frame is the one below.
        case key
        case array
        case object
        /// Within a literal of bytes: the tree `shape`, its node in `a`.
        case raw
    }

    /// Strings and keys: a hash of the scalars so far. Numbers: the digits so far, or the range of exponents. Objects: how many
    /// required keys are still missing.
    var x: UInt64 = 0
    /// Numbers: the upper half of the digits.
    var y: UInt64 = 0
    /// The shape's index among its kind; for a value that has not begun, its node.
    var shape: Int32 = 0
    /// Strings: the state of the tree, count or language. Arrays: the set of taken values. Objects: the set of written keys.
    /// Numbers: how many digits stand before the point.
    var a: Int32 = 0
    /// Strings: the bits of an unfinished character or escape. Arrays: how many elements began. Objects: the node of the value
    /// behind the key. Numbers: how many digits stand behind the point.
    var b: Int32 = 0
    /// Values, words, numbers and strings: the set of values that this one must differ from; 0 where values are not kept apart.
    var taken: Int32 = 0
    var kind: Kind
    /// The place within the kind: `StringPhase`, `NumberPhase`, `ContainerPhase`.
    var phase: UInt8 = 0
    /// How many arrays and objects are open around a value; for an array or object itself included.
    var depth: UInt8 = 0
    /// Strings: bytes or digits that are still to come. Numbers: characters so far.
    var c: UInt8 = 0
    /// White space so far.
    var spaces: UInt16 = 0
    var isNegative = false

    init(_ kind: Kind) { self.kind = kind }
}

/// One of the ways to read the text so far: the innermost frame, and the frames around it as a number of `FrameStacks`.
struct Configuration: Equatable {
    var frame: Frame
    var stack: Int32
}

enum ContainerPhase {
    /// After the opening bracket.
    static let start: UInt8 = 0
    /// Between an object's key and its value.
    static let colon: UInt8 = 1
    /// After an element or member.
    static let after: UInt8 = 2
    /// After an object's comma.
    static let key: UInt8 = 3
}

extension Frame {
    /// A mixture of all registers.
    var hash: UInt64 {
        var hash = x &* 0x9E37_79B9_7F4A_7C15 ^ y
        hash = (hash ^ hash &>> 29) &* 0xBF58_476D_1CE4_E5B9
        hash ^= UInt64(UInt32(bitPattern: shape)) | UInt64(UInt32(bitPattern: a)) &<< 32
        hash = (hash ^ hash &>> 31) &* 0x94D0_49BB_1331_11EB
        hash ^= UInt64(UInt32(bitPattern: b)) | UInt64(UInt32(bitPattern: taken)) &<< 32
        hash = (hash ^ hash &>> 29) &* 0xBF58_476D_1CE4_E5B9
        let small = UInt64(kind.rawValue) | UInt64(phase) &<< 8 | UInt64(depth) &<< 16 | UInt64(c) &<< 24
            | UInt64(spaces) &<< 32 | (isNegative ? 1 &<< 48 : 0)
        hash = (hash ^ small ^ hash &>> 31) &* 0x94D0_49BB_1331_11EB
        return hash ^ hash &>> 32
    }
}
