/// What a piece of work has to read and to compute, by count, not by measurement.
package struct WorkCount: Sendable, Equatable {
    /// Bytes of weights and cache.
    package var bytes: Int
    /// One for each weight and row, whatever precision it takes.
    package var multiplyAdds: Int
    /// Rows that were computed on the fast path; the others were exact.
    package var fastRows: Int

    package init(bytes: Int = 0, multiplyAdds: Int = 0, fastRows: Int = 0) {
        self.bytes = bytes
        self.multiplyAdds = multiplyAdds
        self.fastRows = fastRows
    }

    package static func += (sum: inout WorkCount, other: WorkCount) {
        sum.bytes &+= other.bytes
        sum.multiplyAdds &+= other.multiplyAdds
        sum.fastRows &+= other.fastRows
    }
}
