/// A set of Unicode scalars: ranges in ascending order with gaps between them, no surrogates.
struct ScalarSet: Hashable {
    private(set) var ranges: [ClosedRange<UInt32>]

    static let none = ScalarSet([])
    static let all = ScalarSet([0...0x10FFFF])

    /// - Parameter ranges: in any order, overlapping or not; what lies beyond the scalars is left out.
    init(_ ranges: [ClosedRange<UInt32>]) {
        var clipped: [ClosedRange<UInt32>] = []
        clipped.reserveCapacity(ranges.count + 1)
        for range in ranges {
            for scalars in [UInt32(0)...0xD7FF, 0xE000...0x10FFFF] where range.overlaps(scalars) {
                clipped.append(range.clamped(to: scalars))
            }
        }
        clipped.sort { $0.lowerBound < $1.lowerBound }
        self.ranges = []
        for range in clipped {
            // The ends of ranges are below 0x110000, so that the sum cannot overflow.
            if let last = self.ranges.last, range.lowerBound <= last.upperBound + 1 {
                self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                self.ranges.append(range)
            }
        }
    }

    init(_ scalar: UInt32) { self.init([scalar...scalar]) }

    init(ascii characters: String) { self.init(characters.unicodeScalars.map { $0.value...$0.value }) }

    func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

    func subtracting(_ other: ScalarSet) -> ScalarSet { inverted.union(other).inverted }

    var inverted: ScalarSet {
        var gaps: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { gaps.append(next...(range.lowerBound - 1)) }
            next = range.upperBound + 1
        }
        if next <= 0x10FFFF { gaps.append(next...0x10FFFF) }
        return ScalarSet(gaps)
    }
}
