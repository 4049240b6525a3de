/// Where a number stands. In the phases from `freeInteger` to `freeFraction` all further digits are allowed, and the digits so far
/// are forgotten.
enum NumberPhase {
    static let minus: UInt8 = 0
    /// A single 0 before the point.
    static let zero: UInt8 = 1
    static let integer: UInt8 = 2
    /// Right after the point.
    static let point: UInt8 = 3
    static let fraction: UInt8 = 4
    static let freeInteger: UInt8 = 5
    static let freePoint: UInt8 = 6
    static let freeFraction: UInt8 = 7
    /// After the letter of the exponent; `x` then holds the least and the greatest exponent.
    static let exponent: UInt8 = 8
    static let exponentSign: UInt8 = 9
    /// `a` counts the digits, `b` is their value, `y` is 1 for a negative exponent.
    static let exponentDigits: UInt8 = 10
}

extension GrammarMachine {
    /// The most characters of a number.
    static let numberLength: UInt8 = 64

    func beginNumber(_ shape: Shape, _ configuration: Configuration, _ byte: UInt8) {
        var frame = Frame(.number)
        frame.shape = shape.index
        frame.taken = configuration.frame.taken
        let numbers = grammar.numbers[Int(shape.index)]
        if byte == 0x2D {
            frame.isNegative = true
            frame.c = 1
            guard exists(numbers, frame, 0, ScaledNumber.infinity) else { return }
            emit(frame, configuration.stack)
        } else {
            // The same as the first digit behind a minus sign.
            if let next = nextNumber(frame, byte) { emit(next, configuration.stack) }
        }
    }

    func stepNumber(_ configuration: Configuration, _ byte: UInt8) {
        if let next = nextNumber(configuration.frame, byte) {
            emit(next, configuration.stack)
            return
        }
        // A number ends where something else begins.
        switch byte {
        case 0x20, 0x0A, 0x0D, 0x09, 0x2C, 0x5D, 0x7D:
            guard canEndNumber(configuration.frame) else { return }
            step(afterNumber(configuration), byte)
        default: return
        }
    }

    func afterNumber(_ configuration: Configuration) -> Configuration {
        let frame = configuration.frame
        return afterValue(configuration.stack, frame.taken, member(frame))
    }

    /// What stands for a number among values that are kept apart.
    private func member(_ frame: Frame) -> UInt64 {
        let numbers = grammar.numbers[Int(frame.shape)]
        let value = value(frame)
        return numbers.isLiteral
            ? Self.base(frame) | UInt64(numbers.index(negative: frame.isNegative, value)) : Self.member(frame, value)
    }

    private static func base(_ frame: Frame) -> UInt64 {
        frame.isNegative ? TakenSets.Member.negativeNumber : TakenSets.Member.number
    }

    /// Integers that are kept apart are below 2^59.
    private static func member(_ frame: Frame, _ value: Int128) -> UInt64 {
        base(frame) | UInt64(truncatingIfNeeded: value / ScaledNumber.one)
    }

    private func exists(_ numbers: NumberShape, _ frame: Frame, _ low: Int128, _ high: Int128) -> Bool {
        guard frame.taken != 0 else { return numbers.exists(negative: frame.isNegative, from: low, to: high) }
        guard numbers.isLiteral else {
            return numbers.existsInteger(negative: frame.isNegative, from: low, to: high) {
                sets.contains(frame.taken, Self.member(frame, $0))
            }
        }
        let base = Self.base(frame)
        return numbers.exists(negative: frame.isNegative, from: low, to: high) { sets.contains(frame.taken, base | UInt64($0)) }
    }

    // MARK: Digits

    /// The digits so far as one number.
    func digits(_ frame: Frame) -> Int128 { Int128(frame.y) << 64 | Int128(frame.x) }

    /// What one more at the last digit adds.
    private func unit(_ frame: Frame) -> Int128 { ScaledNumber.powers[ScaledNumber.fractionDigits - Int(frame.b)] }

    private func value(_ frame: Frame) -> Int128 { digits(frame) * unit(frame) }

    private func setDigits(_ frame: inout Frame, _ digits: Int128) {
        frame.x = UInt64(truncatingIfNeeded: digits)
        frame.y = UInt64(truncatingIfNeeded: digits >> 64)
    }

    func canEndNumber(_ frame: Frame) -> Bool {
        switch frame.phase {
        case NumberPhase.zero, NumberPhase.integer, NumberPhase.fraction:
            let value = value(frame)
            return exists(grammar.numbers[Int(frame.shape)], frame, value, value)
        case NumberPhase.freeInteger, NumberPhase.freeFraction: return true
        case NumberPhase.exponentDigits:
            let exponent = frame.y == 1 ? -Int(frame.b) : Int(frame.b)
            let range = exponents(frame)
            return exponent >= range.low && exponent <= range.high
        default: return false
        }
    }

    private func nextNumber(_ from: Frame, _ byte: UInt8) -> Frame? {
        guard from.c < Self.numberLength else { return nil }
        var frame = from
        frame.c += 1
        let digit = byte &- 0x30
        if digit < 10 { return nextDigit(frame, Int128(digit)) }
        switch byte {
        case 0x2E: return nextPoint(frame)
        case 0x65, 0x45: return nextExponent(frame)
        case 0x2B, 0x2D:
            guard frame.phase == NumberPhase.exponent else { return nil }
            frame.phase = NumberPhase.exponentSign
            frame.y = byte == 0x2D ? 1 : 0
            return hasExponent(frame, digits: 0, value: 0) ? frame : nil
        default: return nil
        }
    }

    private func nextDigit(_ from: Frame, _ digit: Int128) -> Frame? {
        var frame = from
        let numbers = grammar.numbers[Int(frame.shape)]
        switch frame.phase {
        case NumberPhase.minus:
            setDigits(&frame, digit)
            frame.a = 1
            frame.phase = digit == 0 ? NumberPhase.zero : NumberPhase.integer
            guard existsInteger(numbers, frame) else { return nil }
        case NumberPhase.integer:
            guard frame.a < ScaledNumber.integerDigits else { return nil }
            setDigits(&frame, digits(frame) * 10 + digit)
            frame.a += 1
            guard existsInteger(numbers, frame) else { return nil }
        case NumberPhase.point, NumberPhase.fraction:
            guard frame.b < ScaledNumber.fractionDigits else { return nil }
            setDigits(&frame, digits(frame) * 10 + digit)
            frame.b += 1
            frame.phase = NumberPhase.fraction
            let low = value(frame)
            guard exists(numbers, frame, low, low + unit(frame) - 1) || existsWithExponent(numbers, frame) else { return nil }
        case NumberPhase.freeInteger:
            frame.a = 2
            return frame
        case NumberPhase.freePoint, NumberPhase.freeFraction:
            frame.phase = NumberPhase.freeFraction
            return frame
        case NumberPhase.exponent, NumberPhase.exponentSign, NumberPhase.exponentDigits:
            if frame.phase != NumberPhase.exponentDigits { (frame.a, frame.b) = (0, 0) }
            guard frame.a < 3 else { return nil }
            frame.phase = NumberPhase.exponentDigits
            frame.a += 1
            frame.b = frame.b * 10 + Int32(truncatingIfNeeded: digit)
            return hasExponent(frame, digits: Int(frame.a), value: Int(frame.b)) ? frame : nil
        default: return nil
        }
        freeIfPossible(&frame, numbers)
        return frame
    }

    /// Whether some allowed number begins with the digits before the point.
    private func existsInteger(_ numbers: NumberShape, _ frame: Frame) -> Bool {
        let digits = digits(frame)
        let more = frame.phase == NumberPhase.zero ? 0 : ScaledNumber.integerDigits - Int(frame.a)
        for count in 0...max(more, 0) {
            let power = ScaledNumber.powers[ScaledNumber.fractionDigits + count]
            if exists(numbers, frame, digits * power, (digits + 1) * power - 1) { return true }
        }
        return existsWithExponent(numbers, frame)
    }

    /// Forgets the digits where every continuation is allowed.
    private func freeIfPossible(_ frame: inout Frame, _ numbers: NumberShape) {
        guard frame.taken == 0, frame.phase != NumberPhase.zero || numbers.isFree(negative: frame.isNegative) else { return }
        let isInteger = frame.phase != NumberPhase.fraction
        if !numbers.isFree(negative: frame.isNegative) {
            // An exponent would still need the digits, as long as one can come.
            if !numbers.isInteger && frame.a == 1 && (isInteger || frame.b < 16) { return }
            let low = value(frame)
            let end = isInteger ? ScaledNumber.infinity : low + unit(frame)
            guard numbers.allowsAll(negative: frame.isNegative, from: low, to: end) else { return }
            frame.a = 2
        }
        if frame.phase == NumberPhase.zero { return }
        frame.phase = isInteger ? NumberPhase.freeInteger : NumberPhase.freeFraction
        (frame.x, frame.y, frame.b) = (0, 0, 0)
    }

    private func nextPoint(_ from: Frame) -> Frame? {
        var frame = from
        let numbers = grammar.numbers[Int(frame.shape)]
        // A digit must follow.
        guard !numbers.isInteger, frame.c < Self.numberLength else { return nil }
        switch frame.phase {
        case NumberPhase.zero, NumberPhase.integer:
            frame.phase = NumberPhase.point
            let low = value(frame)
            guard exists(numbers, frame, low, low + ScaledNumber.one - 1) || existsWithExponent(numbers, frame) else { return nil }
            return frame
        case NumberPhase.freeInteger:
            frame.phase = NumberPhase.freePoint
            return frame
        default: return nil
        }
    }
}
