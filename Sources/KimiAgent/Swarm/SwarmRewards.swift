import Glibc
import KimiCore

/// The reward of PARL, parallel-agent reinforcement learning, from the account of a run. Nothing is trained here: these are the
/// numbers that whoever trains an orchestrator needs. What is published of each term, and what is this library's reading of it, is
/// told in SWARM.md.
package struct SwarmRewards: Sendable {
    /// How the weights of the auxiliary terms go to zero.
    package enum Annealing: Int32, Sendable, CaseIterable {
        case linear = 1
        case cosine = 2
    }

    package struct Options: Sendable {
        /// The weights at the beginning of training, of `parallel` and `finish`; 0 or more.
        package var lambda1 = 0.1
        package var lambda2 = 0.1
        package var annealing = Annealing.linear
        /// How far training has come, 0 to 1.
        package var progress = 0.0
        /// The agents at the same time that earn the whole `parallel` term, 2 or more; nil: as many as might have been alive.
        package var width: Int?

        package init() {}
    }

    /// 0 to 1: how many sub-agents worked at the same time, over the stages that had any.
    package let parallel: Double
    /// 0 to 1: the share of tasks that were finished.
    package let finish: Double
    /// 0 to 1: the caller's judgement of the result.
    package let quality: Double
    /// 0 to 1: the share of all steps that are not on the critical path.
    package let efficiency: Double
    /// The weights at this progress.
    package let lambda1: Double
    package let lambda2: Double

    /// The reward of training: l1 r_parallel + l2 r_finish + r_perf.
    package var training: Double { lambda1 * parallel + lambda2 * finish + quality }

    /// The final form: 0.8 quality + 0.2 efficiency of the critical path.
    package var final: Double { 0.8 * quality + 0.2 * efficiency }

    /// - Parameter quality: r_perf, 0 to 1.
    /// - Throws: `invalidArgument` for what is no number or out of its range.
    package init(_ account: SwarmAccount, quality: Double, options: Options = Options()) throws(KimiError) {
        try Self.check(quality, 0...1, "quality")
        try Self.check(options.progress, 0...1, "progress")
        try Self.check(options.lambda1, 0...Double.greatestFiniteMagnitude, "lambda1")
        try Self.check(options.lambda2, 0...Double.greatestFiniteMagnitude, "lambda2")
        if let width = options.width, width < 2 {
            throw KimiError(.invalidArgument, "width is \(width); it must be 2 or more", subject: "width")
        }
        self.quality = quality
        parallel = Self.parallel(account, width: options.width ?? account.agentLimit)
        finish = Self.finish(account)
        efficiency = Self.efficiency(account)
        lambda1 = Self.annealed(options.lambda1, options.annealing, options.progress)
        lambda2 = Self.annealed(options.lambda2, options.annealing, options.progress)
    }

    /// Written so that NaN is refused.
    private static func check(_ value: Double, _ range: ClosedRange<Double>, _ name: String) throws(KimiError) {
        guard value >= range.lowerBound && value <= range.upperBound else {
            let end = range.upperBound == 1 ? "0 to 1" : "a number of 0 or more"
            throw KimiError(.invalidArgument, "\(name) is \(value); it must be \(end)", subject: name)
        }
    }

    /// The mean of (agents with tasks - 1) / (width - 1) over the stages that began tasks, none counting more than 1; 0 without
    /// any.
    static func parallel(_ account: SwarmAccount, width: Int) -> Double {
        let widths = account.widths
        guard !widths.isEmpty, width > 1 else { return 0 }
        return widths.reduce(0) { $0 + min(1, Double($1 - 1) / Double(width - 1)) } / Double(widths.count)
    }

    /// Finished tasks of those that were assigned; 0 without any.
    static func finish(_ account: SwarmAccount) -> Double {
        account.tasks.isEmpty ? 0 : Double(account.finishedTasks) / Double(account.tasks.count)
    }

    /// 1 - critical steps / all steps; 0 without any.
    static func efficiency(_ account: SwarmAccount) -> Double {
        let total = account.totalSteps
        return total > 0 ? 1 - Double(account.criticalSteps) / Double(total) : 0
    }

    /// A weight at `progress`: its whole at 0, nothing at 1.
    static func annealed(_ weight: Double, _ annealing: Annealing, _ progress: Double) -> Double {
        switch annealing {
        case .linear: weight * (1 - progress)
        case .cosine: weight * (1 + cos(Double.pi * progress)) / 2
        }
    }

    /// All terms as a JSON object.
    package var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("r_parallel", parallel)
            json.member("r_finish", finish)
            json.member("r_perf", quality)
            json.member("efficiency", efficiency)
            json.member("lambda1", lambda1)
            json.member("lambda2", lambda2)
            json.member("training", training)
            json.member("final", final)
        }
        return json.text
    }
}
