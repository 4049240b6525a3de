import Foundation
import KimiCore
import KimiRuntime
import KimiTestSupport

/// What kimi.h says about choosing a token, written down once more, slowly and in double: penalties, bias, temperature, top_k,
/// top_p, min_p.
struct ReferenceSampler {
    var options: GenerationOptions
    var past: [Int32] = []
    var generated: [Int32] = []

    func scores(_ logits: [Float]) -> [Double] {
        var scores = logits.map { Double($0) }
        if options.repetitionPenalty != 1 {
            for id in Set(past) {
                let penalty = Double(options.repetitionPenalty)
                scores[Int(id)] = scores[Int(id)] > 0 ? scores[Int(id)] / penalty : scores[Int(id)] * penalty
            }
        }
        for id in Set(generated) {
            let times = Double(generated.count { $0 == id })
            scores[Int(id)] -= Double(options.presencePenalty) + times * Double(options.frequencyPenalty)
        }
        for (id, bias) in options.logitBias { scores[Int(id)] += Double(bias) }
        return scores
    }

    /// The ids that may be drawn, most likely first, lower id first among equals, with their probabilities.
    func distribution(_ logits: [Float]) -> [(id: Int32, probability: Double)] {
        let scores = scores(logits)
        var order = scores.indices.filter { scores[$0] > -.infinity }.sorted {
            scores[$0] > scores[$1] || (scores[$0] == scores[$1] && $0 < $1)
        }
        guard let best = order.first else { return [] }
        if options.greedy || options.temperature == 0 { return [(Int32(best), 1)] }
        func weight(_ id: Int) -> Double { exp((scores[id] - scores[best]) / Double(options.temperature)) }
        if options.topK > 0 { order = Array(order.prefix(options.topK)) }
        if options.topP > 0 && options.topP < 1 {
            let total = order.map(weight).reduce(0, +)
            var sum = 0.0
            var kept = 0
            while kept < order.count && sum < Double(options.topP) * total {
                sum += weight(order[kept])
                kept += 1
            }
            order = Array(order.prefix(kept))
        }
        order = order.filter { weight($0) >= Double(options.minP) }
        let total = order.map(weight).reduce(0, +)
        return order.map { (Int32($0), weight($0) / total) }
    }
}

extension Sampler {
    mutating func distribution(_ logits: [Float], past: [Int32] = []) -> [(id: Int32, probability: Double)] {
        logits.withUnsafeBufferPointer { logits in
            past.withUnsafeBufferPointer { past in
                logits.baseAddress.map { distribution($0, past: past) } ?? []
            }
        }
    }

    mutating func choose(_ logits: [Float], past: [Int32] = [], from choice: TokenChoice = .any) -> Int32 {
        logits.withUnsafeBufferPointer { logits in
            past.withUnsafeBufferPointer { past in
                logits.baseAddress.map { choose($0, past: past, from: choice) } ?? -1
            }
        }
    }
}

func randomLogits(_ count: Int, _ random: inout SplitMix, spread: Float = 4) -> [Float] {
    (0..<count).map { _ in
        // Sum of uniforms: nearly normal, which is nearly what models give.
        (0..<6).reduce(Float(0)) { sum, _ in sum + Float.random(in: -1..<1, using: &random) } * spread
    }
}
