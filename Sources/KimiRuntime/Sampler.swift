import Glibc
import KimiCore
import KimiModel

/// Chooses the next token from logits, in the order that kimi.h states: penalties, bias, temperature, top-k, top-p, min-p, draw.
///
/// Ties go to the lower id, sums are in double: equal logits, options and seed give equal tokens.
package struct Sampler {
    private struct Candidate {
        var id: Int32
        /// The adjusted logit, later the weight in the draw: the probability relative to the most likely token's.
        var value: Float
    }

    private let options: GenerationOptions
    private let vocabulary: Int
    private var random: Random
    private let memory: ChargedMemory
    private let adjusted: UnsafeMutablePointer<Float>
    private let candidates: UnsafeMutablePointer<Candidate>
    /// How often each token was generated in this call, and which tokens those are.
    private var generated: [Int32: Int32] = [:]

    /// - Parameters:
    ///   - options: validated for this vocabulary.
    ///   - budget: on whose account its memory is.
    package init(
        options: GenerationOptions, vocabulary: Int, budget: MemoryBudget = MemoryBudget()
    ) throws(KimiError) {
        self.options = options
        self.vocabulary = vocabulary
        random = Random(seed: options.seed ?? Random.entropySeed())
        memory = try ChargedMemory(
            byteCount: vocabulary * (MemoryLayout<Float>.stride + MemoryLayout<Candidate>.stride), on: budget, for: .sessions,
            what: "sampler")
        candidates = memory.memory.pointer(to: Candidate.self)
        adjusted = memory.memory.pointer(to: Float.self, at: vocabulary * MemoryLayout<Candidate>.stride)
    }

    private var isGreedy: Bool { options.greedy || options.temperature == 0 || options.topK == 1 }

    /// The next token.
    ///
    /// - Parameters:
    ///   - logits: [vocabulary], finite, not changed.
    ///   - past: all tokens of the session, for the repetition penalty.
    ///   - media: which of them stand for pictures: nobody wrote those.
    ///   - choice: what may be chosen. A forbidden token is out whatever the options say; if options forbid all that may be
    ///     chosen, the lowest id of it is taken.
    package mutating func choose(
        _ logits: UnsafePointer<Float>, past: UnsafeBufferPointer<Int32>, media: [MediaMark] = [],
        from choice: TokenChoice = .any
    ) -> Int32 {
        if case .only(let id) = choice { return id }
        let scores = narrow(adjust(logits, past: past, media), to: choice)
        return isGreedy ? Self.argmax(scores, vocabulary) : draw(select(scores))
    }

    /// The tokens that could be drawn now and their probabilities, in no order. Draws nothing.
    package mutating func distribution(
        _ logits: UnsafePointer<Float>, past: UnsafeBufferPointer<Int32>, media: [MediaMark] = []
    ) -> [(id: Int32, probability: Double)] {
        let scores = adjust(logits, past: past, media)
        if isGreedy { return [(Self.argmax(scores, vocabulary), 1)] }
        let count = select(scores)
        let total = total(count)
        return (0..<count).map { (candidates[$0].id, Double(candidates[$0].value) / total) }
    }

    /// Notes a token that was generated, for the presence and frequency penalties.
    package mutating func note(_ id: Int32) {
        if options.presencePenalty != 0 || options.frequencyPenalty != 0 { generated[id, default: 0] &+= 1 }
    }

    // MARK: Penalties and bias

    private mutating func adjust(
        _ logits: UnsafePointer<Float>, past: UnsafeBufferPointer<Int32>, _ media: [MediaMark]
    ) -> UnsafePointer<Float> {
        let repeats = options.repetitionPenalty != 1
        guard repeats || !generated.isEmpty || !options.logitBias.isEmpty else { return logits }
        adjusted.update(from: logits, count: vocabulary)
        if repeats {
            // Reading the untouched logit makes a token that stands there often be punished once.
            var place = 0
            for picture in media {
                punish(past, from: place, to: picture.start, logits)
                place = picture.end
            }
            punish(past, from: place, to: past.count, logits)
        }
        for (id, count) in generated {
            adjusted[Int(id)] = Self.finite(
                adjusted[Int(id)] - options.presencePenalty - Float(count) * options.frequencyPenalty)
        }
        for (id, bias) in options.logitBias where adjusted[Int(id)] > -.infinity {
            adjusted[Int(id)] = bias > -.infinity ? Self.finite(adjusted[Int(id)] + bias) : bias
        }
        return UnsafePointer(adjusted)
    }

    /// Applies the repetition penalty for some tokens of the past.
    private func punish(_ past: UnsafeBufferPointer<Int32>, from: Int, to: Int, _ logits: UnsafePointer<Float>) {
        for place in stride(from: from, to: min(to, past.count), by: 1) {
            let id = Int(past[place])
            guard id >= 0 && id < vocabulary else { continue }
            let logit = logits[id]
            adjusted[id] = Self.finite(logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty)
        }
    }

    /// Puts forbidden tokens at minus infinity.
    private func narrow(_ scores: UnsafePointer<Float>, to choice: TokenChoice) -> UnsafePointer<Float> {
        func own() { if scores != UnsafePointer(adjusted) { adjusted.update(from: scores, count: vocabulary) } }
        // A bias may forbid all that is left. The choice is what must hold.
        func leave(_ first: Int?) {
            if let first, adjusted[Int(Self.argmax(adjusted, vocabulary))] == -.infinity { adjusted[first] = 0 }
        }
        switch choice {
        case .any, .only: return scores
        case .except(let ids):
            own()
            for id in ids where id >= 0 && Int(id) < vocabulary { adjusted[Int(id)] = -.infinity }
        case .oneOf(let ids):
            let kept = ids.filter { $0 >= 0 && Int($0) < vocabulary }.map { (id: Int($0), score: scores[Int($0)]) }
            adjusted.update(repeating: -.infinity, count: vocabulary)
            for (id, score) in kept { adjusted[id] = score }
            leave(kept.map(\.id).min())
        case .among(let words):
            own()
            var first: Int?
            for word in 0..<(vocabulary + 63) / 64 {
                let base = word * 64, end = min(64, vocabulary - base)
                var bits = words[word]
                if end < 64 { bits &= (1 << UInt64(end)) - 1 }
                if bits != 0, first == nil { first = base + bits.trailingZeroBitCount }
                guard bits != ~0 else { continue }
                if bits == 0 {
                    (adjusted + base).update(repeating: -.infinity, count: end)
                    continue
                }
                for bit in 0..<end where bits >> UInt64(bit) & 1 == 0 { adjusted[base + bit] = -.infinity }
            }
            leave(first)
        }
        return UnsafePointer(adjusted)
    }

    /// Minus infinity means forbidden, and only a bias or a mask forbids; so nothing else may overflow to it, nor to what makes NaN of it.
    private static func finite(_ score: Float) -> Float {
        max(-.greatestFiniteMagnitude, min(score, .greatestFiniteMagnitude))
    }

    package static func argmax(_ scores: UnsafePointer<Float>, _ count: Int) -> Int32 {
        var best = 0
        for index in 1..<max(count, 1) where scores[index] > scores[best] { best = index }
        return Int32(truncatingIfNeeded: best)
    }

    // MARK: Drawing

    /// Puts the tokens that top-k, top-p and min-p leave into `candidates`, with their weights; returns how many, at least 1.
    private func select(_ scores: UnsafePointer<Float>) -> Int {
        let best = Self.argmax(scores, vocabulary)
        let top = Double(scores[Int(best)])
        // Validation refuses to forbid everything; -infinity less itself would be no number.
        guard top > -.infinity else {
            candidates[0] = Candidate(id: best, value: 1)
            return 1
        }
        let inverse = 1 / Double(options.temperature)
        func weight(_ score: Float) -> Double { exp((Double(score) - top) * inverse) }

        let usesTopK = options.topK > 0 && options.topK < vocabulary
        // kimi.h calls a top-p of 0 "off".
        let usesTopP = options.topP > 0 && options.topP < 1
        var head: Int?
        if usesTopK || usesTopP {
            head = sortedHead(
                scores, weight: weight, topK: usesTopK ? options.topK : vocabulary, topP: usesTopP ? Double(options.topP) : 2)
        }
        var kept = 0
        for index in 0..<(head ?? vocabulary) {
            let candidate = head == nil
                ? Candidate(id: Int32(truncatingIfNeeded: index), value: scores[index]) : candidates[index]
            let share = weight(candidate.value)
            guard Float(share) > 0 && share >= Double(options.minP) else { continue }
            candidates[kept] = Candidate(id: candidate.id, value: Float(share))
            kept += 1
        }
        return kept
    }

    private func total(_ count: Int) -> Double { (0..<count).reduce(0) { $0 + Double(candidates[$1].value) } }

    private mutating func draw(_ count: Int) -> Int32 {
        var rest = random.unit() * total(count)
        for index in 0..<count {
            rest -= Double(candidates[index].value)
            if rest < 0 { return candidates[index].id }
        }
        // Rounding can leave a little.
        return candidates[count - 1].id
    }

    /// The logit distance in temperatures beyond which a weight is no longer above 0: exp(-746) is 0 in double.
    private static let reach: Float = 746

    /// Puts the most likely tokens into `candidates`, best first, as many as top-k and top-p keep; returns how many.
    ///
    /// Sorting 163,840 candidates for a token would take longer than the token. So only those above a threshold are sorted, and
    /// the threshold sinks until enough are there, which it is at the first or second try for a real distribution.
    private func sortedHead(
        _ scores: UnsafePointer<Float>, weight: (Float) -> Double, topK: Int, topP: Double
    ) -> Int {
        let top = scores[Int(Self.argmax(scores, vocabulary))]
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
            let all = count == vocabulary || depth > Self.reach * options.temperature
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
            if all || topK < vocabulary { return limit }
            depth *= 4
        }
    }

    // MARK: Log-probabilities

    /// The logarithm of the sum of the exponentials: what to subtract from a logit to get its log-probability.
    package static func logSumExp(_ logits: UnsafePointer<Float>, _ count: Int) -> Double {
        let top = Double(logits[Int(argmax(logits, count))])
        var sum = 0.0
        for index in 0..<count { sum += exp(Double(logits[index]) - top) }
        return top + log(sum)
    }

    /// The `count` most likely tokens, best first.
    package static func top(_ logits: UnsafePointer<Float>, _ vocabulary: Int, count: Int) -> [Int32] {
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
