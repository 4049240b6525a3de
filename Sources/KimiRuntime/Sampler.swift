import Glibc
import KimiCore

/// Chooses the next token from logits, in the order that kimi.h states: penalties, bias, temperature, top-k, top-p, min-p, draw.
///
/// Ties go to the lower id, sums are in double: equal logits, options and seed give equal tokens on every machine.
struct Sampler {
    private struct Candidate {
        var id: Int32
        /// The adjusted logit, later the probability before normalisation.
        var value: Float
    }

    private let options: GenerationOptions
    private let vocabulary: Int
    private var random: Random
    private let memory: MappedMemory
    private let adjusted: UnsafeMutablePointer<Float>
    private let candidates: UnsafeMutablePointer<Candidate>
    /// How often each token was generated in this call, and which tokens those are.
    private var generated: [Int32: Int32] = [:]

    init(options: GenerationOptions, vocabulary: Int) throws(KimiError) {
        self.options = options
        self.vocabulary = vocabulary
        random = Random(seed: options.seed ?? Random.entropySeed())
        memory = try MappedMemory(
            byteCount: vocabulary * (MemoryLayout<Float>.stride + MemoryLayout<Candidate>.stride), what: "sampler")
        candidates = memory.pointer(to: Candidate.self)
        adjusted = memory.pointer(to: Float.self, at: vocabulary * MemoryLayout<Candidate>.stride)
    }

    private var isGreedy: Bool { options.greedy || options.temperature == 0 || options.topK == 1 }

    /// The next token.
    ///
    /// - Parameters:
    ///   - logits: [vocabulary], finite, not changed.
    ///   - past: all tokens of the session, for the repetition penalty.
    mutating func choose(_ logits: UnsafePointer<Float>, past: UnsafeBufferPointer<Int32>) -> Int32 {
        let scores = adjust(logits, past: past)
        return isGreedy ? Self.argmax(scores, vocabulary) : draw(scores)
    }

    /// Notes a token that was generated, for the presence and frequency penalties.
    mutating func note(_ id: Int32) {
        if options.presencePenalty != 0 || options.frequencyPenalty != 0 { generated[id, default: 0] &+= 1 }
    }

    // MARK: Penalties and bias

    private mutating func adjust(_ logits: UnsafePointer<Float>, past: UnsafeBufferPointer<Int32>) -> UnsafePointer<Float> {
        let repeats = options.repetitionPenalty != 1
        guard repeats || !generated.isEmpty || !options.logitBias.isEmpty else { return logits }
        adjusted.update(from: logits, count: vocabulary)
        if repeats {
            // Reading the untouched logit makes a token that stands there often be punished once.
            for id in past where id >= 0 && Int(id) < vocabulary {
                let logit = logits[Int(id)]
                adjusted[Int(id)] = logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty
            }
        }
        for (id, count) in generated {
            adjusted[Int(id)] -= options.presencePenalty + Float(count) * options.frequencyPenalty
        }
        for (id, bias) in options.logitBias { adjusted[Int(id)] += bias }
        return UnsafePointer(adjusted)
    }

    static func argmax(_ scores: UnsafePointer<Float>, _ count: Int) -> Int32 {
        var best = 0
        for index in 1..<max(count, 1) where scores[index] > scores[best] { best = index }
        return Int32(truncatingIfNeeded: best)
    }

    // MARK: Drawing

    private mutating func draw(_ scores: UnsafePointer<Float>) -> Int32 {
        let top = scores[Int(Self.argmax(scores, vocabulary))]
        // All forbidden by bias: nothing to draw from, so the first of the best.
        guard top > -.infinity else { return Self.argmax(scores, vocabulary) }
        let inverse = 1 / Double(options.temperature)
        func weight(_ score: Float) -> Double { exp(Double(score - top) * inverse) }

        let usesTopK = options.topK > 0 && options.topK < vocabulary
        // A top-p of 0 keeps the most likely token only through its first candidate; kimi.h calls 0 "off".
        let usesTopP = options.topP > 0 && options.topP < 1
        var kept: Int
        if usesTopK || usesTopP {
            kept = sortedHead(scores, top: top, weight: weight, topK: usesTopK ? options.topK : vocabulary,
                topP: usesTopP ? Double(options.topP) : 2)
        } else {
            kept = 0
            for id in 0..<vocabulary {
                candidates[kept] = Candidate(id: Int32(truncatingIfNeeded: id), value: scores[id])
                kept += 1
            }
        }
        var total = 0.0
        let floor = Double(options.minP)
        for index in 0..<kept where weight(candidates[index].value) >= floor { total += weight(candidates[index].value) }
        var rest = random.unit() * total
        var last: Int32 = candidates[0].id
        for index in 0..<kept {
            let share = weight(candidates[index].value)
            guard share >= floor && share > 0 else { continue }
            last = candidates[index].id
            rest -= share
            if rest < 0 { break }
        }
        return last
    }

    /// Puts the most likely tokens into `candidates`, best first, as many as top-k and top-p keep; returns how many.
    ///
    /// Sorting 163,840 candidates for a token would take longer than the token. So only those above a threshold are sorted, and
    /// the threshold sinks until enough are there, which it is at the first or second try for a real distribution.
    private func sortedHead(
        _ scores: UnsafePointer<Float>, top: Float, weight: (Float) -> Double, topK: Int, topP: Double
    ) -> Int {
        // Top-p counts shares of what top-k leaves, so with both the total is that of the k best.
        var total = 0.0
        if topK >= vocabulary { for id in 0..<vocabulary { total += weight(scores[id]) } }
        var depth = max(4 * options.temperature, 1)
        while true {
            let threshold = top - depth
            var count = 0
            for id in 0..<vocabulary where scores[id] >= threshold {
                candidates[count] = Candidate(id: Int32(truncatingIfNeeded: id), value: scores[id])
                count += 1
            }
            let all = count == vocabulary || depth > 1e30
            guard all || count >= topK || topK >= vocabulary else { depth *= 4; continue }
            var head = UnsafeMutableBufferPointer(start: candidates, count: count)
            head.sort {
                $0.value > $1.value || ($0.value == $1.value && $0.id < $1.id)
            }
            let limit = min(count, topK)
            if topK < vocabulary {
                total = 0
                for index in 0..<limit { total += weight(candidates[index].value) }
            }
            var sum = 0.0
            for index in 0..<limit {
                sum += weight(candidates[index].value)
                if sum >= topP * total { return index + 1 }
            }
            if all || topK < vocabulary { return max(limit, 1) }
            depth *= 4
        }
    }

    // MARK: Log-probabilities

    /// The logarithm of the sum of the exponentials: what to subtract from a logit to get its log-probability.
    static func logSumExp(_ logits: UnsafePointer<Float>, _ count: Int) -> Double {
        let top = Double(logits[Int(argmax(logits, count))])
        var sum = 0.0
        for index in 0..<count { sum += exp(Double(logits[index]) - top) }
        return top + log(sum)
    }

    /// The `count` most likely tokens, best first.
    static func top(_ logits: UnsafePointer<Float>, _ vocabulary: Int, count: Int) -> [Int32] {
        var best: [Int32] = []
        guard count > 0 else { return best }
        best.reserveCapacity(count + 1)
        for id in 0..<vocabulary {
            if best.count == count, let worst = best.last, logits[id] <= logits[Int(worst)] { continue }
            let place = best.firstIndex { logits[id] > logits[Int($0)] } ?? best.count
            best.insert(Int32(truncatingIfNeeded: id), at: place)
            if best.count > count { best.removeLast() }
        }
        return best
    }
}
