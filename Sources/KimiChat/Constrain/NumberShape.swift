/// The numbers that may be written at one place: answers whether some allowed number begins with the digits so far.
final class NumberShape: Sendable {
    /// Magnitudes of the allowed numbers that are not negative, and of those written with a minus sign.
    let positive: [NumberConstraint.Interval]
    let negative: [NumberConstraint.Interval]
    let isInteger: Bool
    /// Whether each interval is one value, known by its index.
    let isLiteral: Bool
    let step: Int128
    let divisors: [Double]
    /// How many candidates are tried where a quotient of doubles decides.
    private static let trials = 20_000

    init(_ constraint: NumberConstraint, withoutNegativeZero: Bool = false) {
        isInteger = constraint.isInteger
        isLiteral = constraint.isLiteral
        step = isInteger ? NumberConstraint.leastMultiple(constraint.step, ScaledNumber.one) : constraint.step
        divisors = constraint.divisors
        positive = constraint.intervals.compactMap { interval in
            interval.high < 0 ? nil : .init(low: max(interval.low, 0), high: interval.high)
        }
        negative = constraint.intervals.reversed().compactMap { interval in
            let low = max(withoutNegativeZero ? 1 : 0, -interval.high)
            return low <= -interval.low ? .init(low: low, high: -interval.low) : nil
        }
    }

    var isEmpty: Bool {
        !exists(negative: false, from: 0, to: ScaledNumber.infinity) && !exists(negative: true, from: 0, to: ScaledNumber.infinity)
    }

    /// Whether nothing but the form of a number is demanded of this sign.
    func isFree(negative sign: Bool) -> Bool {
        let intervals = sign ? negative : positive
        return step == (isInteger ? ScaledNumber.one : 1) && intervals.count == 1 && intervals[0].low == 0
            && intervals[0].high == ScaledNumber.infinity
    }

    /// Whether all magnitudes in `low` up to, and without, `end` are allowed, however many decimals they have.
    func allowsAll(negative sign: Bool, from low: Int128, to end: Int128) -> Bool {
        guard step == (isInteger ? ScaledNumber.one : 1) else { return false }
        let intervals = sign ? negative : positive
        let index = first(intervals, endingAtOrAfter: low)
        return index < intervals.count && intervals[index].low <= low && intervals[index].high >= end
    }

    /// Whether a magnitude in `low...high` is allowed. `taken` holds indices of literal intervals that are used up.
    func exists(negative sign: Bool, from low: Int128, to high: Int128, taken: (Int) -> Bool = { _ in false }) -> Bool {
        let intervals = sign ? negative : positive
        var index = first(intervals, endingAtOrAfter: low)
        while index < intervals.count, intervals[index].low <= high {
            let interval = intervals[index]
            if !taken(index), existsMultiple(from: max(low, interval.low), to: min(high, interval.high)) { return true }
            index += 1
        }
        return false
    }

    /// Whether an integer in `low...high` is allowed and not taken. Takes a step for each taken one at most.
    func existsInteger(negative sign: Bool, from low: Int128, to high: Int128, taken: (Int128) -> Bool) -> Bool {
        let intervals = sign ? negative : positive
        var index = first(intervals, endingAtOrAfter: low)
        while index < intervals.count, intervals[index].low <= high {
            var value = max(low, intervals[index].low)
            let end = min(high, intervals[index].high)
            if value % step != 0 { value += step - value % step }
            while value <= end {
                if !taken(value) { return true }
                value += step
            }
            index += 1
        }
        return false
    }

    /// The index of the interval that holds a magnitude.
    func index(negative sign: Bool, _ value: Int128) -> Int {
        first(sign ? negative : positive, endingAtOrAfter: value)
    }

    private func first(_ intervals: [NumberConstraint.Interval], endingAtOrAfter value: Int128) -> Int {
        var low = 0
        var high = intervals.count
        while low < high {
            let middle = (low + high) / 2
            if intervals[middle].high < value { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func existsMultiple(from low: Int128, to high: Int128) -> Bool {
        guard step > 1 else { return low <= high }
        let remainder = low % step
        var value = remainder == 0 ? low : low - remainder
        if value < low {
            let (next, overflow) = value.addingReportingOverflow(step)
            guard !overflow else { return false }
            value = next
        }
        guard value <= high else { return false }
        if divisors.isEmpty { return true }
        // Whole numbers first: a double holds them, and so their quotients are exact (divisors are chosen so).
        let whole = NumberConstraint.leastMultiple(step, ScaledNumber.one)
        if whole < ScaledNumber.limit {
            let firstWhole = low % whole == 0 ? low : low - low % whole + whole
            if firstWhole <= high { return true }
        }
        for _ in 0..<Self.trials where value <= high {
            if quotientsAreIntegral(value) { return true }
            value += step
        }
        return false
    }

    private func quotientsAreIntegral(_ value: Int128) -> Bool {
        let (whole, fraction) = value.quotientAndRemainder(dividingBy: ScaledNumber.one)
        // The double that a reader makes of the shortest decimal of this number.
        var digits = String(fraction)
        digits = String(repeating: "0", count: max(0, ScaledNumber.fractionDigits - digits.utf8.count)) + digits
        guard let double = Double("\(whole).\(digits)") else { return false }
        return divisors.allSatisfy { (double / $0).rounded() == double / $0 }
    }
}
