import Foundation
import KimiModel
import Testing

/// The choice of experts against a naive reference.
struct RouterTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        var experts: Int, perToken: Int, groups = 1, topGroups = 1, normalize = true, scale: Float = 2.5
        var testDescription: String { "\(perToken) of \(experts), \(topGroups) of \(groups) groups" }
    }

    static let shapes: [Shape] = [
        Shape(experts: 384, perToken: 8, scale: 2.827), Shape(experts: 16, perToken: 4), Shape(experts: 1, perToken: 1),
        Shape(experts: 5, perToken: 5), Shape(experts: 64, perToken: 6, normalize: false), Shape(experts: 7, perToken: 1, scale: 1),
        Shape(experts: 256, perToken: 8, groups: 8, topGroups: 4), Shape(experts: 16, perToken: 4, groups: 4, topGroups: 1),
        Shape(experts: 12, perToken: 3, groups: 6, topGroups: 2, normalize: false), Shape(experts: 8, perToken: 8, groups: 4, topGroups: 4),
    ]

    private struct Choice: Equatable { var experts: [Int32], weights: [Float] }

    private func found(_ shape: Shape, _ logits: [Float], _ bias: [Float]) -> Choice {
        let router = Router(
            experts: shape.experts, perToken: shape.perToken, groups: shape.groups, topGroups: shape.topGroups,
            normalize: shape.normalize, scale: shape.scale)
        var (scores, biased, groups) = (logits, logits, logits)
        var choice = Choice(
            experts: [Int32](repeating: -1, count: shape.perToken), weights: [Float](repeating: .nan, count: shape.perToken))
        router.choose(
            scores: &scores, bias: bias, biased: &biased, groupScore: &groups, chosen: &choice.experts, weights: &choice.weights)
        return choice
    }

    /// As the DeepSeek-V3 report says it, in double, with sorted lists.
    private func expected(_ shape: Shape, _ logits: [Float], _ bias: [Float]) -> (experts: [Int32], weights: [Double], margin: Double) {
        let scores = logits.map { 1 / (1 + exp(-Double($0))) }
        let biased = zip(scores, bias).map { $0 + Double($1) }
        var margin = Double.infinity
        /// The `count` best of `ids`, the lower id first among equals; how near the first that is left out came is kept.
        func best(_ ids: [Int], _ count: Int, _ score: (Int) -> Double) -> [Int] {
            let order = ids.sorted { score($0) > score($1) || (score($0) == score($1) && $0 < $1) }
            if count < order.count, count > 0 {
                let gap = score(order[count - 1]) - score(order[count])
                if gap > 0 { margin = min(margin, gap) }
            }
            return Array(order.prefix(count))
        }
        var allowed = Array(0..<shape.experts)
        if shape.groups > 1 {
            let size = shape.experts / shape.groups
            func members(_ group: Int) -> [Int] { Array(group * size..<(group + 1) * size) }
            let chosen = best(Array(0..<shape.groups), shape.topGroups) { group in
                members(group).map { biased[$0] }.sorted(by: >).prefix(2).reduce(0, +)
            }
            allowed = chosen.sorted().flatMap(members)
        }
        let experts = best(allowed, shape.perToken) { biased[$0] }.sorted()
        var weights = experts.map { scores[$0] }
        let sum = weights.reduce(0, +) + 1e-20
        weights = weights.map { $0 * Double(shape.scale) / (shape.normalize ? sum : 1) }
        return (experts.map { Int32($0) }, weights, margin)
    }

    @Test("random scores, biases of both signs, ties", arguments: shapes, 0..<20)
    func reference(_ shape: Shape, seed: Int) {
        var random = Generator(state: UInt64(seed * 977 + shape.experts))
        var compared = 0
        for round in 0..<40 {
            // Every other round from few values, so that there are ties; biases that make most or all scores negative.
            let step: Float = round % 2 == 0 ? 0.25 : 0.001
            let shift: Float = [0, -1, -3, 0.5][round % 4]
            let logits = (0..<shape.experts).map { _ in (Float.random(in: -4...4, using: &random) / step).rounded() * step }
            let bias = (0..<shape.experts).map { _ in (Float.random(in: -0.5...0.5, using: &random) / step).rounded() * step + shift }
            let (experts, weights, margin) = expected(shape, logits, bias)
            // What single precision cannot tell apart is no tie in double.
            guard margin > 1e-5 else { continue }
            compared += 1
            let choice = found(shape, logits, bias)
            #expect(choice.experts == experts)
            for (a, b) in zip(choice.weights, weights) { #expect(abs(Double(a) - b) < 1e-5) }
        }
        #expect(compared > 10)
    }

    @Test("equal scores go to the lower expert and the lower group")
    func ties() {
        #expect(found(Shape(experts: 8, perToken: 3), [Float](repeating: 1, count: 8), [Float](repeating: -2, count: 8)).experts == [0, 1, 2])
        let grouped = Shape(experts: 8, perToken: 3, groups: 4, topGroups: 2)
        #expect(found(grouped, [Float](repeating: 0, count: 8), [Float](repeating: 0, count: 8)).experts == [0, 1, 2])
        #expect(found(grouped, [0, 0, 0, 0, 0, 0, 3, 3], [Float](repeating: 0, count: 8)).experts == [0, 6, 7])
    }

    @Test("an excluded group stays out, however negative the scores of the others are")
    func negativeGroups() {
        // Where excluded scores became 0 instead of minus infinity, experts 4 and 5 would be taken here.
        let bias: [Float] = [-1, -5, -5, -1.5, -9, -9]
        let shape = Shape(experts: 6, perToken: 4, groups: 3, topGroups: 2)
        #expect(found(shape, [0, 0, 0, 0, 0, 0], bias).experts == [0, 1, 2, 3])
    }

    @Test("the bias chooses and does not weigh")
    func biasIsNoWeight() {
        let choice = found(Shape(experts: 4, perToken: 2, scale: 1), [0, 0, 2, -2], [0, 0, -9, 9])
        #expect(choice.experts == [0, 3])
        let (a, b) = (0.5, 1 / (1 + exp(2.0)))
        #expect(abs(Double(choice.weights[0]) - a / (a + b)) < 1e-6 && abs(Double(choice.weights[1]) - b / (a + b)) < 1e-6)
    }

    @Test("a logit or bias that is no number, or an infinite logit, spoils all weights and traps nowhere", arguments: shapes)
    func damaged(_ shape: Shape) {
        for place in [0, shape.experts / 2, shape.experts - 1] {
            for bad in [Float.nan, .infinity, -.infinity] {
                var logits = [Float](repeating: 0.5, count: shape.experts)
                logits[place] = bad
                let bias = [Float](repeating: 0, count: shape.experts)
                let choice = found(shape, logits, bias)
                #expect(choice.weights.allSatisfy { $0.isNaN })
                #expect(choice.experts.allSatisfy { (0..<Int32(shape.experts)).contains($0) })
            }
            var bias = [Float](repeating: 0, count: shape.experts)
            bias[place] = .nan
            #expect(found(shape, [Float](repeating: 0.5, count: shape.experts), bias).weights.allSatisfy { $0.isNaN })
        }
        let nothing = [Float](repeating: .nan, count: shape.experts)
        #expect(found(shape, nothing, nothing).weights.allSatisfy { $0.isNaN })
    }
}

/// SplitMix64.
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
