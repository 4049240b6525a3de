import KimiCore

/// What a number may be: closed intervals and a step, in units of `ScaledNumber`.
struct NumberConstraint {
    struct Interval: Equatable {
        var low: Int128
        var high: Int128
    }

    /// Whether it is written without fraction and exponent.
    var isInteger = false
    /// In order and apart from each other. The outermost may reach to plus or minus `ScaledNumber.infinity`.
    var intervals = [Interval(low: -ScaledNumber.infinity, high: ScaledNumber.infinity)]
    /// Every value is a multiple of it; 1 where there is no such demand.
    var step: Int128 = 1
    /// The divisors that are no integers: a validator divides doubles, and that quotient too must be integral.
    var divisors: [Double] = []
    /// Whether these are the values of an enumeration, so that a union with others stays exact.
    var isLiteral = false
    /// Whether its values are kept apart by `uniqueItems`.
    var isKeptApart = false

    init() {}

    init(literal value: Int128) {
        intervals = [Interval(low: value, high: value)]
        isLiteral = true
    }

    mutating func limit(from low: Int128, to high: Int128) {
        meet([Interval(low: low, high: high)])
    }

    private mutating func meet(_ others: [Interval]) {
        var result: [Interval] = []
        var left = 0
        var right = 0
        while left < intervals.count, right < others.count {
            let low = max(intervals[left].low, others[right].low)
            let high = min(intervals[left].high, others[right].high)
            if low <= high { result.append(Interval(low: low, high: high)) }
            if intervals[left].high < others[right].high { left += 1 } else { right += 1 }
        }
        intervals = result
    }

    /// False, and nothing changed, if the common multiple is too large to hold.
    mutating func addStep(_ other: Int128) -> Bool {
        var a = step
        var b = other
        while b != 0 { (a, b) = (b, a % b) }
        let (multiple, overflow) = (step / a).multipliedReportingOverflow(by: other)
        guard !overflow, multiple < ScaledNumber.limit else { return false }
        step = multiple
        return true
    }

    /// What both allow; nil if nothing can be.
    func met(with other: NumberConstraint) -> NumberConstraint? {
        var result = self
        result.isInteger = isInteger || other.isInteger
        result.isLiteral = isLiteral || other.isLiteral
        result.meet(other.intervals)
        // A step too large to hold has no multiple below the limit but zero.
        if !result.addStep(other.step) { result.meet([Interval(low: 0, high: 0)]) }
        result.divisors += other.divisors
        if !result.divisors.isEmpty { result.clipToExactQuotients() }
        let shape = NumberShape(result)
        guard !shape.isEmpty else { return nil }
        if result.isLiteral {
            result.intervals = result.intervals.filter { value in
                shape.exists(negative: value.low < 0, from: value.low.magnitude128, to: value.low.magnitude128)
            }
            (result.isInteger, result.step, result.divisors) = (false, 1, [])
        }
        return result
    }

    /// Beyond 2^53 steps a quotient of doubles says nothing about the number.
    mutating func clipToExactQuotients() {
        let count: Int128 = 1 << 53
        let (steps, overflow) = step.multipliedReportingOverflow(by: count)
        let bound = overflow ? ScaledNumber.one * count : min(steps, ScaledNumber.one * count)
        limit(from: -bound, to: bound)
    }

    /// The union of two enumerations.
    mutating func addLiterals(of other: NumberConstraint) {
        intervals += other.intervals
        intervals.sort { $0.low < $1.low }
        var result: [Interval] = []
        for interval in intervals where result.last != interval { result.append(interval) }
        intervals = result
        isInteger = isInteger && other.isInteger
    }

    /// Every value as an enumeration, or nil if there are more than `limit`.
    func enumerated(limit: Int) -> NumberConstraint? {
        let unit = isInteger ? Self.leastMultiple(step, ScaledNumber.one) : step
        var values: [Interval] = []
        for interval in intervals {
            guard interval.low > -ScaledNumber.limit, interval.high < ScaledNumber.limit else { return nil }
            if interval.low == interval.high {
                if interval.low % unit == 0 { values.append(interval) }
                continue
            }
            guard unit > 1, (interval.high - interval.low) / unit <= Int128(limit) else { return nil }
            var value = interval.low - interval.low % unit - unit
            while value <= interval.high {
                if value >= interval.low { values.append(Interval(low: value, high: value)) }
                value += unit
            }
            guard values.count <= limit else { return nil }
        }
        guard values.count <= limit else { return nil }
        var result = self
        result.intervals = values
        result.step = 1
        result.isLiteral = true
        let shape = NumberShape(result)
        result.intervals = values.filter { value in
            shape.exists(negative: value.low < 0, from: value.low.magnitude128, to: value.low.magnitude128)
        }
        return result
    }

    static func leastMultiple(_ a: Int128, _ b: Int128) -> Int128 {
        var constraint = NumberConstraint()
        constraint.step = a
        return constraint.addStep(b) ? constraint.step : ScaledNumber.limit
    }
}

extension Int128 {
    /// The size of a number that is not the smallest of its type, which no constraint holds.
    var magnitude128: Int128 { self < 0 ? 0 &- self : self }
}
