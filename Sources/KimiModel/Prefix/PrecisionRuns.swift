/// Which tokens of a sequence were computed how, as runs.
struct PrecisionRuns {
    private var runs: [(end: Int, precision: Precision)] = []

    /// Tokens from the first on that were computed exactly, and after nothing else.
    var exactBeginning: Int { runs.first.map { $0.precision == .exact ? $0.end : 0 } ?? 0 }

    /// The run of the token at `place`; nil: there is no such token.
    func run(at place: Int) -> (places: Range<Int>, precision: Precision)? {
        guard let index = runs.firstIndex(where: { $0.end > place }) else { return nil }
        return ((index > 0 ? runs[index - 1].end : 0)..<runs[index].end, runs[index].precision)
    }

    mutating func add(_ count: Int, _ precision: Precision) {
        guard count > 0 else { return }
        let end = (runs.last?.end ?? 0) + count
        if runs.last?.precision == precision { runs[runs.count - 1].end = end } else { runs.append((end, precision)) }
    }

    /// Keeps the first tokens.
    mutating func cut(to length: Int) {
        while let last = runs.last, last.end > length {
            runs.removeLast()
            if (runs.last?.end ?? 0) < length { runs.append((length, last.precision)) }
        }
    }
}
