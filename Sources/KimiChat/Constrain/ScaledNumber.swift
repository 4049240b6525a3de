import KimiCore

/// Exact decimals as whole numbers of 10⁻¹⁷: what bounds, literals and typed digits are compared in, below 10²⁰ in size.
enum ScaledNumber {
    static let fractionDigits = 17
    static let integerDigits = 20
    static let one: Int128 = 100_000_000_000_000_000
    /// 10²⁰: numbers of this size and above are not held.
    static let limit: Int128 = one * 100_000_000_000_000_000_000
    static let infinity = Int128.max

    /// 10^exponent for 0...37.
    static let powers: [Int128] = {
        var powers: [Int128] = [1]
        for _ in 0..<37 { powers.append(powers[powers.count - 1] * 10) }
        return powers
    }()

    enum Rounding { case down, up, exact }

    /// A number of the schema, rounded as asked; nil if it is too large, or not exact where that is asked.
    ///
    /// A double at or beyond 2^63 may have been written as an integer that no double equals, so that it is moved inwards.
    static func scaled(_ value: JSON, _ rounding: Rounding) -> Int128? {
        switch value {
        case .integer(let integer): return Int128(integer) * one
        case .number(let double): return scaled(double, rounding)
        default: return nil
        }
    }

    static func scaled(_ double: Double, _ rounding: Rounding) -> Int128? {
        guard double.magnitude < 1e20 else { return nil }
        if double.magnitude >= 0x1p63 {
            switch rounding {
            case .exact: return nil
            case .down: return Int128(double.nextDown) * one
            case .up: return Int128(double.nextUp) * one
            }
        }
        if double.magnitude >= 0x1p53 { return Int128(double) * one }
        return parse(double, rounding)
    }

    /// The shortest decimal that is this double.
    private static func parse(_ double: Double, _ rounding: Rounding) -> Int128? {
        var mantissa: Int128 = 0
        var exponent = 0
        var written = 0
        var writtenNegative = false
        var place = 0
        for byte in "\(double.magnitude)".utf8 {
            switch byte {
            case 0x30...0x39 where place < 2:
                mantissa = mantissa * 10 + Int128(byte - 0x30)
                if place == 1 { exponent -= 1 }
            case 0x30...0x39: written = written * 10 + Int(byte - 0x30)
            case UInt8(ascii: "."): place = 1
            case UInt8(ascii: "e"): place = 2
            case UInt8(ascii: "-"): writtenNegative = true
            default: break
            }
        }
        exponent += (writtenNegative ? -written : written) + fractionDigits
        var magnitude: Int128
        var exact = true
        if exponent >= 0 {
            guard exponent < powers.count else { return nil }
            let (product, overflow) = mantissa.multipliedReportingOverflow(by: powers[exponent])
            guard !overflow else { return nil }
            magnitude = product
        } else if -exponent < powers.count {
            let (quotient, remainder) = mantissa.quotientAndRemainder(dividingBy: powers[-exponent])
            magnitude = quotient
            exact = remainder == 0
        } else {
            magnitude = 0
            exact = mantissa == 0
        }
        if !exact {
            switch rounding {
            case .exact: return nil
            case .down: if double < 0 { magnitude += 1 }
            case .up: if double > 0 { magnitude += 1 }
            }
        }
        return double < 0 ? -magnitude : magnitude
    }
}
