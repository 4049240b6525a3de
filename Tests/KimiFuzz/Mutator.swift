/// Damages bytes the way files get damaged, and the way somebody who knows the format would do it.
///
/// Everything follows from the seed: the same seed and the same input give the same cases on every machine.
struct Mutator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number from 0 up to but not including `bound`; 0 for a bound that is not positive.
    mutating func below(_ bound: Int) -> Int { bound > 0 ? Int(next() % UInt64(bound)) : 0 }

    mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

    /// Numbers at the edges of what readers of numbers get wrong.
    static let numbers = [
        "0", "1", "-1", "2", "7", "255", "256", "65535", "65536", "1000000000", "2147483647", "2147483648", "-2147483648",
        "4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
        "18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211456", "1e308", "1e309", "-1e308",
        "1e-320", "0.5", "1.0", "-0", "00", "1e", "NaN", "Infinity", "-Infinity", "0x10", "64.0", "1E5",
    ]

    /// Values of other kinds, and text that is no value.
    static let values = [
        "null", "true", "false", "[]", "{}", "\"\"", "\"yarn\"", "\"../outside\"", "\"\\u0000\"", "\"\\ud800\"", "[0]", "[[]]",
        "{\"a\":{}}", "[1,2,3,4,5,6,7,8]", "\"BF16\"", "\"F8_E4M3\"", "\"I64\"", "\"fp8\"", "\"model.safetensors\"", ",", "",
    ]

    /// The input with one to four changes.
    mutating func mutate(_ input: [UInt8]) -> [UInt8] {
        var bytes = input
        for _ in 0...below(4) { change(&bytes) }
        return bytes
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        switch below(14) {
        case 0, 1: flipBit(&bytes)
        case 2: setByte(&bytes)
        case 3: removeRange(&bytes)
        case 4: duplicateRange(&bytes)
        case 5: insertBytes(&bytes)
        case 6: bytes.removeLast(below(bytes.count))
        case 7: swapRanges(&bytes)
        case 8, 9, 10: replaceNumber(&bytes)
        case 11, 12: replaceValue(&bytes)
        default: nest(&bytes)
        }
    }

    private mutating func flipBit(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        bytes[below(bytes.count)] ^= 1 << UInt8(below(8))
    }

    private mutating func setByte(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        bytes[below(bytes.count)] = pick(Array("\"{}[],:\\-0129eE. \n\u{0}\u{7F}".utf8) + [0x80, 0xC3, 0xED, 0xF5, 0xFF])
    }

    private mutating func range(in bytes: [UInt8], longest: Int) -> Range<Int> {
        let start = below(bytes.count)
        return start..<min(bytes.count, start + below(longest))
    }

    private mutating func removeRange(_ bytes: inout [UInt8]) { bytes.removeSubrange(range(in: bytes, longest: 64)) }

    private mutating func duplicateRange(_ bytes: inout [UInt8]) {
        let piece = Array(bytes[range(in: bytes, longest: 400)])
        bytes.insert(contentsOf: piece, at: below(bytes.count + 1))
    }

    private mutating func insertBytes(_ bytes: inout [UInt8]) {
        let piece = (0..<below(8)).map { _ in UInt8(truncatingIfNeeded: next()) }
        bytes.insert(contentsOf: piece, at: below(bytes.count + 1))
    }

    private mutating func swapRanges(_ bytes: inout [UInt8]) {
        let a = range(in: bytes, longest: 40)
        let b = range(in: bytes, longest: 40)
        guard a.upperBound <= b.lowerBound else { return }
        let (first, second) = (Array(bytes[a]), Array(bytes[b]))
        bytes.replaceSubrange(b, with: first)
        bytes.replaceSubrange(a, with: second)
    }

    /// A run of digits somewhere behind a random place becomes another number.
    private mutating func replaceNumber(_ bytes: inout [UInt8]) {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard let start = bytes[below(bytes.count)...].firstIndex(where: { digits.contains($0) }) else { return }
        let end = bytes[start...].firstIndex { !digits.contains($0) } ?? bytes.count
        bytes.replaceSubrange(start..<end, with: Array(pick(Self.numbers).utf8))
    }

    /// What follows a colon, up to the next comma or bracket, becomes another value.
    private mutating func replaceValue(_ bytes: inout [UInt8]) {
        guard let colon = bytes[below(bytes.count)...].firstIndex(of: UInt8(ascii: ":")) else { return }
        let ends = Array(",]}".utf8)
        let end = bytes[(colon + 1)...].firstIndex { ends.contains($0) } ?? bytes.count
        bytes.replaceSubrange((colon + 1)..<end, with: Array((below(2) == 0 ? pick(Self.values) : pick(Self.numbers)).utf8))
    }

    private mutating func nest(_ bytes: inout [UInt8]) {
        let open = pick(["[", "{\"a\":", "\"", "{"])
        let text = String(repeating: open, count: 1 + below(200))
        bytes.insert(contentsOf: Array(text.utf8), at: below(bytes.count + 1))
    }
}
