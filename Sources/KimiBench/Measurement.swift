import KimiCore
import KimiModel

/// How long some work was paused to see what the machine can do meanwhile, and what that was on the mean.
package struct Pauses {
    package private(set) var seconds = 0.0
    private var total = 0.0
    private var count = 0

    package init() {}

    package mutating func add(seconds: Double, peak: Double) {
        self.seconds += seconds
        total += peak
        count += 1
    }

    /// Multiply-adds a second; nil without a pause.
    package var peak: Double? { count == 0 ? nil : total / Double(count) }
}

/// One kind of work, timed several times, each repeat between two measurements of the machine's limits.
package struct Measurement: Sendable {
    /// One repeat.
    package struct Sample: Sendable {
        package let seconds: Double
        package let count: WorkCount
        package let before: Limits
        package let after: Limits
        /// How experts have fared that are read as they are chosen; nil if none are.
        package let experts: ExpertStore.Statistics?
        /// Multiply-adds a second that were possible meanwhile, of the kind that the work makes, if it was paused to measure that.
        package let meanwhile: Double?

        package init(
            seconds: Double, count: WorkCount, before: Limits, after: Limits, experts: ExpertStore.Statistics? = nil, meanwhile: Double? = nil
        ) {
            self.seconds = seconds
            self.count = count
            self.before = before
            self.after = after
            self.experts = experts
            self.meanwhile = meanwhile
        }

        /// Bytes a second of plain reading around this repeat.
        package var plainRead: Double { (before.read + after.read) / 2 }
        /// Multiply-adds a second that are possible around this repeat.
        package var peak: Double { (before.arithmetic + after.arithmetic) / 2 }
    }

    /// Tokens, rows or calls of a repeat: what the speed counts.
    package let tokens: Int
    package let samples: [Sample]

    package init(tokens: Int, samples: [Sample]) {
        self.tokens = tokens
        self.samples = samples
    }

    /// Runs `work` once unmeasured, which warms pages and caches as a run before has, and then `repeats` times.
    ///
    /// - Parameters:
    ///   - tokens: of one repeat.
    ///   - reset: brings things back to where the work begins; not in the time.
    ///   - advance: called after each run of the work, the unmeasured one included; throwing ends all.
    ///   - experts: what the store of experts has counted so far; nil if there is none.
    ///   - pauses: of the last run of the work, which count for nothing.
    ///   - work: returns what it had to do, by count.
    package static func take(
        tokens: Int, repeats: Int, meter: LimitMeter, reset: () throws -> Void = {}, advance: () throws -> Void = {},
        experts: () -> ExpertStore.Statistics? = { nil }, pauses: () -> Pauses = { Pauses() }, work: () throws -> WorkCount
    ) throws -> Measurement {
        try reset()
        _ = try work()
        try reset()
        try advance()
        var samples: [Sample] = []
        var before = meter.measure()
        for _ in 0..<repeats {
            let expertsBefore = experts()
            let begin = monotonicSeconds()
            let count = try work()
            let paused = pauses()
            let seconds = monotonicSeconds() - begin - paused.seconds
            let expertsSince = expertsBefore.flatMap { before in experts().map { $0 - before } }
            let after = meter.measure()
            samples.append(Sample(
                seconds: seconds, count: count, before: before, after: after, experts: expertsSince, meanwhile: paused.peak))
            before = after
            try reset()
            try advance()
        }
        return Measurement(tokens: tokens, samples: samples)
    }

    // MARK: Figures

    private func spread(_ figure: (Sample) -> Double) -> Spread { Spread(samples.map(figure)) }

    package var seconds: Spread { spread { $0.seconds } }
    package var tokensPerSecond: Spread { spread { Double(tokens) / $0.seconds } }
    /// Bytes of a repeat; they differ where the router chose differently.
    package var bytes: Spread { spread { Double($0.count.bytes) } }
    package var bytesPerSecond: Spread { spread { Double($0.count.bytes) / $0.seconds } }
    package var plainRead: Spread { spread { $0.plainRead } }
    /// The part of plain reading that the work read at, each repeat against the reading around it.
    package var readShare: Spread { spread { Double($0.count.bytes) / $0.seconds / $0.plainRead } }
    package var multiplyAdds: Spread { spread { Double($0.count.multiplyAdds) } }
    package var multiplyAddsPerSecond: Spread { spread { Double($0.count.multiplyAdds) / $0.seconds } }
    /// The part of the possible multiply-adds, of bfloat16 where the processor has them.
    package var arithmeticShare: Spread { spread { Double($0.count.multiplyAdds) / $0.seconds / $0.peak } }
    /// The part of the larger of both limits: 1 would be as fast as this machine can be.
    package var limitShare: Spread {
        spread { max(Double($0.count.bytes) / $0.plainRead, Double($0.count.multiplyAdds) / $0.peak) / $0.seconds }
    }

    /// A figure of the experts that are read as they are chosen; nil if none are.
    private func expertSpread(_ figure: (ExpertStore.Statistics, _ seconds: Double) -> Double) -> Spread? {
        let values = samples.compactMap { sample in sample.experts.map { figure($0, sample.seconds) } }
        return values.isEmpty ? nil : Spread(values)
    }

    /// The part of the chosen experts that were in memory.
    package var expertHitShare: Spread? { expertSpread { experts, _ in experts.hitShare } }
    /// Bytes a second from the files.
    package var fileBytesPerSecond: Spread? { expertSpread { Double($0.bytesRead) / $1 } }
    /// The part of the time in which nothing was computed because of reads.
    package var stallShare: Spread? { expertSpread { $0.stallSeconds / $1 } }

    /// The peaks of one kind over all limits that were measured; nil where there are none.
    package func peak(_ kind: (Limits) -> Double?) -> Spread? {
        let values = samples.flatMap { [kind($0.before), kind($0.after)] }.compactMap { $0 }
        return values.isEmpty ? nil : Spread(values)
    }
}
