/// A figure that was taken several times.
package struct Spread: Sendable, Equatable {
    package let median: Double
    package let min: Double
    package let max: Double

    /// All zero if there are no values.
    package init(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last else {
            (median, min, max) = (0, 0, 0)
            return
        }
        let middle = sorted.count / 2
        median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        min = first
        max = last
    }
}
