extension GrammarMachine {
    /// The greatest exponent, with either sign.
    static let exponentLimit = 307

    /// Whether an exponent can make an allowed number of the digits so far.
    func existsWithExponent(_ numbers: NumberShape, _ frame: Frame) -> Bool {
        canTakeExponent(numbers, frame) && allowedExponents(numbers, frame) != nil
    }

    func canTakeExponent(_ numbers: NumberShape, _ frame: Frame) -> Bool {
        // Room for a sign and three digits.
        !numbers.isInteger && frame.a == 1 && frame.taken == 0 && numbers.step == 1 && frame.c <= Self.numberLength - 4
    }

    func exponents(_ frame: Frame) -> (low: Int, high: Int) {
        (Int(Int32(truncatingIfNeeded: frame.x >> 32)), Int(Int32(truncatingIfNeeded: frame.x)))
    }

    func nextExponent(_ from: Frame) -> Frame? {
        var frame = from
        let numbers = grammar.numbers[Int(frame.shape)]
        guard canTakeExponent(numbers, frame) else { return nil }
        let range: (low: Int, high: Int)?
        switch frame.phase {
        case NumberPhase.freeInteger, NumberPhase.freeFraction: range = (-Self.exponentLimit, Self.exponentLimit)
        case NumberPhase.zero, NumberPhase.integer, NumberPhase.fraction:
            if numbers.isFree(negative: frame.isNegative) {
                range = (-Self.exponentLimit, Self.exponentLimit)
            } else {
                range = allowedExponents(numbers, frame)
            }
        default: return nil
        }
        guard let range else { return nil }
        frame.phase = NumberPhase.exponent
        frame.x = UInt64(UInt32(bitPattern: Int32(range.low))) << 32 | UInt64(UInt32(bitPattern: Int32(range.high)))
        (frame.y, frame.a, frame.b) = (0, 0, 0)
        return frame
    }

    /// The first run of exponents with which the digits so far are allowed.
    private func allowedExponents(_ numbers: NumberShape, _ frame: Frame) -> (low: Int, high: Int)? {
        let mantissa = digits(frame)
        var range: (low: Int, high: Int)?
        for exponent in -36...36 {
            if allows(numbers, frame, mantissa, exponent) {
                range = (range?.low ?? exponent, exponent)
            } else if range != nil {
                break
            }
        }
        guard var range else { return nil }
        // Beyond these exponents nothing changes: all is next to zero, or above all bounds.
        if range.low == -36 { range.low = -Self.exponentLimit }
        if range.high == 36 { range.high = Self.exponentLimit }
        return range
    }

    private func allows(_ numbers: NumberShape, _ frame: Frame, _ mantissa: Int128, _ exponent: Int) -> Bool {
        let shift = ScaledNumber.fractionDigits - Int(frame.b) + exponent
        if mantissa == 0 { return numbers.exists(negative: frame.isNegative, from: 0, to: 0) }
        if shift < 0 {
            guard -shift < ScaledNumber.powers.count else { return numbers.allowsAll(negative: frame.isNegative, from: 0, to: 1) }
            let (quotient, remainder) = mantissa.quotientAndRemainder(dividingBy: ScaledNumber.powers[-shift])
            return numbers.allowsAll(negative: frame.isNegative, from: quotient, to: remainder == 0 ? quotient : quotient + 1)
        }
        guard shift < ScaledNumber.powers.count else {
            return numbers.allowsAll(negative: frame.isNegative, from: ScaledNumber.limit, to: ScaledNumber.infinity)
        }
        let (value, overflow) = mantissa.multipliedReportingOverflow(by: ScaledNumber.powers[shift])
        let size = overflow ? ScaledNumber.limit : value
        if size >= ScaledNumber.limit {
            return numbers.allowsAll(negative: frame.isNegative, from: ScaledNumber.limit, to: ScaledNumber.infinity)
        }
        return numbers.exists(negative: frame.isNegative, from: size, to: size)
    }

    /// Whether digits of an exponent can still be completed to one in its range, with three digits at most.
    func hasExponent(_ frame: Frame, digits: Int, value: Int) -> Bool {
        let range = exponents(frame)
        let low = frame.y == 1 ? -range.high : range.low
        let high = frame.y == 1 ? -range.low : range.high
        var least = value
        var most = value
        for _ in digits...3 {
            if digits > 0 || most > 0 || least != most, max(least, low) <= min(most, high) { return true }
            least *= 10
            most = most * 10 + 9
        }
        return false
    }
}
