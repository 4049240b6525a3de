import CKimiKernels

/// The instruction-set levels, as test arguments.
enum Level: Int32, CaseIterable, CustomStringConvertible {
    case scalar = 0
    case avx2 = 1
    case avx512 = 2
    case avx512vnni = 3
    case amx = 4

    /// The levels this machine can run.
    static let available = allCases.filter { ck_kernels_for($0.rawValue) != nil }

    var description: String { "\(rawValue)" }

    /// The level's table. A test that asks for a level that is not available is a mistake of the test.
    var kernels: ck_kernels { ck_kernels_for(rawValue).pointee }
}

/// The element types of a stored matrix, as test arguments.
enum Element: Int32, CaseIterable {
    case bf16 = 0
    case f16 = 1
    case f32 = 2
    case int4 = 3

    var bits: Int { [16, 16, 32, 4][Int(rawValue)] }

    /// The types that products with floats take; int4 is for integer products, and for single rows.
    static let floats: [Element] = [.bf16, .f16, .f32]
}

/// A small reproducible generator (xorshift).
struct Random: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: Int) {
        state = UInt64(truncatingIfNeeded: seed) &* 0x9e37_79b9_7f4a_7c15 | 1
        for _ in 0..<4 { _ = next() }
    }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_f491_4f6c_dd1d
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func unit() -> Float { Float(Int32(truncatingIfNeeded: next() >> 32)) * 0x1p-31 }
}

/// What the numbers of a test are like.
enum Mood: CaseIterable {
    case ordinary, wide, tiny, zeros, hostile, small

    /// One float of this mood.
    func float(_ random: inout Random) -> Float {
        switch self {
        case .ordinary: return random.unit()
        case .small: return random.unit() * 0x1p-8 + 0x1p-12
        case .wide: return random.unit() * Float(sign: .plus, exponent: random.below(120) - 60, significand: 1)
        // Products underflow: a sum may be -0, or denormal.
        case .tiny: return random.unit() * Float(sign: .plus, exponent: -random.below(90) - 60, significand: 1)
        case .zeros: return random.below(3) == 0 ? random.unit() : (random.below(2) == 0 ? 0 : -0.0)
        // Any bits, so infinities, NaN and overflow, but not in every sum.
        case .hostile:
            return random.below(40) == 0 ? Float(bitPattern: UInt32(truncatingIfNeeded: random.next())) : random.unit()
        }
    }

    /// The 16 bits of one bfloat16 or half of this mood.
    func word(_ random: inout Random, _ element: Element) -> UInt16 {
        if self == .hostile, random.below(40) == 0 { return UInt16(truncatingIfNeeded: random.next()) }
        let value = (self == .hostile ? .ordinary : self).float(&random)
        return element == .f16 ? Float16(value).bitPattern : UInt16(value.bitPattern >> 16)
    }
}

func floats(_ count: Int, _ mood: Mood, _ random: inout Random) -> [Float] {
    (0..<count).map { _ in mood.float(&random) }
}

/// The same number, bit for bit. A NaN is a NaN: which of two NaN operands wins is the processor's choice.
func same(_ a: Float, _ b: Float) -> Bool { a.bitPattern == b.bitPattern || (a.isNaN && b.isNaN) }

/// Where two results first differ, or nil.
func firstDifference(_ a: [Float], _ b: [Float]) -> String? {
    guard a.count == b.count else { return "\(a.count) and \(b.count) values" }
    for i in a.indices where !same(a[i], b[i]) {
        return "at \(i) of \(a.count): \(a[i]) (\(hex(a[i]))) and \(b[i]) (\(hex(b[i])))"
    }
    return nil
}

func hex(_ value: Float) -> String { String(value.bitPattern, radix: 16) }
