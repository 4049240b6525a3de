import Glibc
import KimiCore
import KimiRuntime

/// Traces made by rules, for what no model at hand shows: heat that is skewed, that lasts, drifts or turns over, and tokens that
/// take what the token before took. One seed, one trace.
///
/// Published measurements of trained models, by which the blends are set: of a token's experts 43 % (Qwen3-30B-A3B), 35 %
/// (Qwen3.6-35B) and 18 % (gpt-oss-120b) were the previous token's in that layer (Helldez/BigMoeOnEdge, expert-prediction.md); in
/// another count of the first 45 % were, and 80 % one of the last eight tokens' (kekzl/imp, pull request 1359).
package enum SyntheticTrace: String, CaseIterable, Sendable {
    /// Any expert at any time, as random weights choose: nothing can be learned, and hits are the share of the slots.
    case uniform
    /// Zipf's law, with exponents from 0.8 in the first layer to 1.2 in the last.
    case zipf
    /// The same, dealt to other experts every 300 tokens.
    case topics
    /// Zipf's law with 0.8; each expert of a token is taken again by the next with probability 0.3.
    case repeats
    /// Experts compete by scores that are partly lasting, partly change over hundreds of tokens, partly over a few.
    case blend
    /// The same with a part that turns over every 300 tokens in place of the slow one.
    case chapters

    package func trace(layers: Int, experts: Int, perToken: Int, tokens: Int, seed: UInt64) -> ExpertTrace {
        var trace = ExpertTrace(name: rawValue, layers: layers, experts: experts, perToken: min(perToken, experts))
        trace.counted = tokens / 4
        var random = Random(seed: seed)
        switch self {
        case .uniform, .zipf, .topics, .repeats:
            var draws = RankDraws(self, layers: layers, experts: experts, perToken: trace.perToken, random: &random)
            for token in 0..<tokens {
                let turns = self == .topics && token > 0 && token % Self.chapter == 0
                trace.add(tokens: 1, choices: draws.next(dealing: turns, random: &random))
            }
        case .blend, .chapters:
            var scores = Scores(slow: self == .blend, count: layers * experts, random: &random)
            for token in 0..<tokens {
                let values = scores.next(turning: self == .chapters && token % Self.chapter == 0, random: &random)
                trace.add(tokens: 1, choices: (0..<layers).map { layer in
                    let row = values[layer * experts..<(layer + 1) * experts]
                    return row.indices.sorted { (row[$0], $1) > (row[$1], $0) }.prefix(trace.perToken).map {
                        Int32(truncatingIfNeeded: $0 - layer * experts)
                    }
                })
            }
        }
        return trace
    }

    /// Tokens after which heat turns over.
    private static let chapter = 300
}

/// Draws ranks by Zipf's law; each layer has its own order of experts.
private struct RankDraws {
    private let experts: Int
    private let perToken: Int
    private let again: Double
    /// For each layer the sums of weights up to each rank.
    private var sums: [[Double]]
    private var order: [[Int32]]
    private var latest: [[Int32]]

    init(_ kind: SyntheticTrace, layers: Int, experts: Int, perToken: Int, random: inout Random) {
        self.experts = experts
        self.perToken = perToken
        again = kind == .repeats ? 0.3 : 0
        sums = (0..<layers).map { layer in
            let exponent = switch kind {
            case .uniform: 0.0
            case .repeats: 0.8
            default: 0.8 + 0.4 * Double(layer) / Double(max(layers - 1, 1))
            }
            var sum = 0.0
            return (0..<experts).map { rank in
                sum += pow(Double(rank + 1), -exponent)
                return sum
            }
        }
        order = .init(repeating: (0..<experts).map { Int32(truncatingIfNeeded: $0) }, count: layers)
        latest = .init(repeating: [], count: layers)
        deal(&random)
    }

    private mutating func deal(_ random: inout Random) {
        for layer in order.indices {
            for place in stride(from: experts - 1, to: 0, by: -1) {
                order[layer].swapAt(place, Int(random.unit() * Double(place + 1)))
            }
        }
    }

    /// What the next token chooses.
    mutating func next(dealing: Bool, random: inout Random) -> [[Int32]] {
        if dealing { deal(&random) }
        for layer in order.indices {
            var chosen = latest[layer].filter { _ in random.unit() < again }
            while chosen.count < perToken {
                let point = random.unit() * (sums[layer].last ?? 0)
                var (low, high) = (0, experts - 1)
                while low < high {
                    let middle = (low + high) / 2
                    if sums[layer][middle] < point { low = middle + 1 } else { high = middle }
                }
                let expert = order[layer][low]
                if !chosen.contains(expert) { chosen.append(expert) }
            }
            latest[layer] = chosen
        }
        return latest
    }
}

/// Normal scores of all experts with parts that change at different speeds.
private struct Scores {
    private var lasting: [Double]
    private var slow: [Double]
    private var fast: [Double]
    private let hasSlow: Bool

    init(slow hasSlow: Bool, count: Int, random: inout Random) {
        self.hasSlow = hasSlow
        lasting = (0..<count).map { _ in random.normal() }
        slow = (0..<count).map { _ in random.normal() }
        fast = (0..<count).map { _ in random.normal() }
    }

    /// - Parameter turning: whether the slow part is drawn anew.
    mutating func next(turning: Bool, random: inout Random) -> [Double] {
        // What is left of a part after a token: it is forgotten over 300 tokens, or over 3.
        let (slowly, quickly) = (exp(-1.0 / 300), exp(-1.0 / 3))
        let (slowDraw, quickDraw) = ((1 - slowly * slowly).squareRoot(), (1 - quickly * quickly).squareRoot())
        return lasting.indices.map { index in
            if hasSlow {
                slow[index] = slowly * slow[index] + slowDraw * random.normal()
            } else if turning {
                slow[index] = random.normal()
            }
            fast[index] = quickly * fast[index] + quickDraw * random.normal()
            return 0.7 * lasting[index] + 0.7 * slow[index] + 0.6 * fast[index] + 0.4 * random.normal()
        }
    }
}

extension Random {
    /// Normal with deviation 1 (Box and Muller, 1958).
    fileprivate mutating func normal() -> Double {
        let radius = (-2 * log(max(unit(), .leastNormalMagnitude))).squareRoot()
        return radius * cos(2 * .pi * unit())
    }
}
