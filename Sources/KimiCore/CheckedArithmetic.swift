/// Arithmetic for numbers that come from a file or a caller.
///
/// Swift's `+` and `*` trap on overflow and a trap kills the host program, so every such number goes through these.
/// All return nil on overflow; the caller knows which file or argument to name.
package enum Checked {
    /// The product of all factors, or nil if it leaves `Int` or any factor is negative.
    package static func product(_ factors: Int...) -> Int? { product(of: factors) }

    /// The product of all factors of a shape, or nil if it leaves `Int` or any factor is negative.
    package static func product(of factors: some Sequence<Int>) -> Int? {
        var result = 1
        var sawZero = false
        for factor in factors {
            guard factor >= 0 else { return nil }
            // A zero must not hide an overflow in the remaining factors: the shape itself is then nonsense.
            if factor == 0 { sawZero = true; continue }
            let (value, overflow) = result.multipliedReportingOverflow(by: factor)
            guard !overflow else { return nil }
            result = value
        }
        return sawZero ? 0 : result
    }

    /// The sum of all terms, or nil if it leaves `Int`.
    package static func sum(_ terms: Int...) -> Int? {
        var result = 0
        for term in terms {
            let (value, overflow) = result.addingReportingOverflow(term)
            guard !overflow else { return nil }
            result = value
        }
        return result
    }

    /// `value` rounded up to a multiple of `alignment`, or nil on overflow or if `alignment` is not positive.
    package static func roundUp(_ value: Int, to alignment: Int) -> Int? {
        guard alignment > 0, value >= 0, let padded = sum(value, alignment - 1) else { return nil }
        return padded / alignment * alignment
    }
}
