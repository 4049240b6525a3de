import CKimiKernels
import Glibc
import KimiCheckpoint

/// Chooses the experts of a row (DeepSeek-V3 report, section 2.1.2: sigmoid scores, auxiliary-loss-free bias, group limit).
///
/// In f32 throughout; equal scores go to the lower expert, so that the choice is the same everywhere.
package struct Router {
    package let experts: Int
    package let perToken: Int
    package let groups: Int
    package let topGroups: Int
    package let normalize: Bool
    package let scale: Float

    init(config: ModelConfig) {
        self.init(
            experts: config.expertCount, perToken: config.expertsPerToken, groups: config.groupCount,
            topGroups: config.topGroupCount, normalize: config.normalizeTopK, scale: config.routedScale)
    }

    /// - Parameter groups: 1 for no groups; else divides `experts` into groups of two at least.
    package init(experts: Int, perToken: Int, groups: Int, topGroups: Int, normalize: Bool, scale: Float) {
        self.experts = experts
        self.perToken = perToken
        self.groups = groups
        self.topGroups = topGroups
        self.normalize = normalize
        self.scale = scale
    }

    /// Turns one row's router logits into experts, in rising order, and their weights: all NaN if a logit or a biased score is none
    /// that a sound checkpoint gives, so that the logits will say so.
    ///
    /// - Parameters:
    ///   - scores: the logits W x [experts]; holds s = sigmoid(W x) afterwards.
    ///   - bias: added for the choice only.
    ///   - biased, groupScore: scratch, [experts] each.
    package func choose(
        scores: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>,
        biased: UnsafeMutablePointer<Float>, groupScore: UnsafeMutablePointer<Float>,
        chosen: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>
    ) {
        // A score that is no number would never be chosen, and an infinite one would turn into 0 or 1: a damaged weight must not
        // pass unseen like that, so it spoils the row.
        var isSound = true
        for expert in 0..<experts {
            let logit = scores[expert]
            scores[expert] = 1 / (1 + ck_exp(-logit))
            biased[expert] = scores[expert] + bias[expert]
            isSound = isSound && logit.isFinite && !biased[expert].isNaN
        }
        if groups > 1 { limitGroups(biased, groupScore) }
        for slot in 0..<perToken {
            var best = -1
            for expert in 0..<experts where !biased[expert].isNaN && (best < 0 || biased[expert] > biased[best]) {
                best = expert
            }
            // Only NaN scores leave nothing to choose.
            let expert = max(best, 0)
            chosen[slot] = Int32(truncatingIfNeeded: expert)
            biased[expert] = .nan
        }
        sort(chosen)
        var sum: Float = 0
        for slot in 0..<perToken {
            weights[slot] = scores[Int(chosen[slot])]
            sum += weights[slot]
        }
        let factor = normalize ? scale / (sum + 1e-20) : scale
        for slot in 0..<perToken { weights[slot] = isSound ? weights[slot] * factor : .nan }
    }

    /// Leaves only the best groups in the race; a group's score is the sum of its two best experts.
    private func limitGroups(_ biased: UnsafeMutablePointer<Float>, _ groupScore: UnsafeMutablePointer<Float>) {
        let size = experts / groups
        for group in 0..<groups {
            var first = -Float.infinity
            var second = -Float.infinity
            for expert in group * size..<(group + 1) * size {
                if biased[expert] > first {
                    second = first
                    first = biased[expert]
                } else if biased[expert] > second {
                    second = biased[expert]
                }
            }
            groupScore[group] = size > 1 ? first + second : first
        }
        for group in 0..<groups {
            var better = 0
            for other in 0..<groups
            where groupScore[other] > groupScore[group] || (groupScore[other] == groupScore[group] && other < group) {
                better += 1
            }
            guard better >= topGroups else { continue }
            for expert in group * size..<(group + 1) * size { biased[expert] = -.infinity }
        }
    }

    /// Insertion sort of a handful of experts: rising order fixes the order of summation.
    private func sort(_ chosen: UnsafeMutablePointer<Int32>) {
        for index in 1..<max(perToken, 1) {
            let value = chosen[index]
            var place = index
            while place > 0 && chosen[place - 1] > value {
                chosen[place] = chosen[place - 1]
                place -= 1
            }
            chosen[place] = value
        }
    }
}
