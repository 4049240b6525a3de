import KimiCore
import KimiRuntime

/// One kind of work, timed several times.
struct Workload {
    enum Kind: String { case prefill, decode }

    let kind: Kind
    /// Tokens in the cache before the work begins.
    let depth: Int
    /// Tokens evaluated in one repeat.
    let tokens: Int
    /// Tokens a second of each repeat, rising.
    let speeds: [Double]
    /// Bytes of weights and cache that a repeat had to read.
    let bytes: Int
    /// Plain reading in bytes a second, before and after.
    let bandwidth: (before: Double, after: Double)

    var median: Double { speeds[speeds.count / 2] }
    /// Bytes a second at the median.
    var readRate: Double { median * Double(bytes) / Double(tokens) }
    /// The share of plain reading, by the mean of before and after.
    var share: Double { readRate / ((bandwidth.before + bandwidth.after) / 2) }

    /// Runs the work on a session that holds at least `depth` tokens; it holds `depth` afterwards.
    ///
    /// - Parameter ids: as many random ids as a repeat needs: no two steps choose the same experts by habit.
    static func run(
        _ kind: Kind, depth: Int, tokens: Int, repeats: Int, session: Session, ids: [Int32], reading: ReadBandwidth,
        step: () throws -> Void
    ) throws -> Workload {
        let pool = session.model.text.pool
        try session.truncate(to: depth)
        let before = reading.measure(pool)
        var speeds: [Double] = []
        var bytes = 0
        // One repeat more than is counted: the first warms caches and pages.
        for round in 0...repeats {
            let read = try session.snapshot().counts.bytesRead
            let begin = monotonicSeconds()
            switch kind {
            case .prefill: try evaluate(session, ids[0..<tokens])
            case .decode: for index in 0..<tokens { try evaluate(session, ids[index...index]) }
            }
            let seconds = monotonicSeconds() - begin
            bytes = try session.snapshot().counts.bytesRead - read
            if round > 0 { speeds.append(Double(tokens) / seconds) }
            try session.truncate(to: depth)
            try step()
        }
        return Workload(
            kind: kind, depth: depth, tokens: tokens, speeds: speeds.sorted(), bytes: bytes,
            bandwidth: (before, reading.measure(pool)))
    }

    private static func evaluate(_ session: Session, _ ids: ArraySlice<Int32>) throws {
        try ids.withUnsafeBufferPointer { ids in
            Result { () throws(KimiError) in try session.call { () throws(KimiError) in try session.evaluate(ids) } }
        }.get()
    }
}
