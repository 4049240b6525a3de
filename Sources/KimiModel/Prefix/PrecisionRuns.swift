/// Which tokens of a sequence were computed how, as runs.
struct PrecisionRuns {
    private var runs: [(end: Int, precision: Precision)] = []

    /// Tokens from the first on that were computed exactly, and after nothing else.
    var exactBeginning: Int { runs.first.map { $0.precision == .exact ? $0.end : 0 } ?? 0 }

    /// The run of the token at `place`, up to its end; nil: there is no such token.
    func run(at place: Int) -> (end: Int, precision: Precision)? { runs.first { $0.end > place } }

    /// Where the run of the token at `place` begins.
    func beginning(of place: Int) -> Int { runs.last { $0.end <= place }?.end ?? 0 }

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
