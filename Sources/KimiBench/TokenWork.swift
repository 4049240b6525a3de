import KimiCore
import KimiModel
import KimiRuntime

/// Prompts and single tokens of one or several sequences, as a server would step them.
///
/// Ids are random, so that the experts are, too.
package final class TokenWork {
    private let model: TextModel
    private let contextLimit: Int
    private let cancellation: Cancellation
    private var sequences: [TokenSequence] = []
    private let logits: MappedMemory
    private var random = Random(seed: Random.entropySeed())

    /// - Parameters:
    ///   - contextLimit: the most tokens a sequence will hold.
    ///   - cancellation: ends a step.
    package init(model: TextModel, contextLimit: Int, cancellation: Cancellation) throws(KimiError) {
        self.model = model
        self.contextLimit = contextLimit
        self.cancellation = cancellation
        logits = try MappedMemory(
            byteCount: model.maxRows * model.config.vocabularySize * MemoryLayout<Float>.stride, what: "logits")
    }

    /// The most bytes of cache that all sequences have held together.
    package private(set) var mostCacheBytes = 0

    /// Evaluates as many random tokens as a step takes, and forgets them: so many choose all experts, or nearly. Mapped weights
    /// that nobody has touched cost a page fault each, which a model that has run for a minute no longer meets.
    package func touchWeights() throws(KimiError) {
        let rows = min(model.maxRows, model.config.contextLimit)
        _ = try step([try TokenSequence(pool: model.cache, contextLimit: rows)], each: rows, logits: true)
    }

    /// Brings the first `batch` sequences to `depth` tokens each, by evaluating or by forgetting. They share nothing.
    ///
    /// - Parameter progress: called after each step.
    package func settle(batch: Int, depth: Int, progress: () throws -> Void = {}) throws {
        while sequences.count < batch {
            sequences.append(try TokenSequence(pool: model.cache, contextLimit: contextLimit))
        }
        for sequence in sequences.prefix(batch) {
            sequence.truncate(to: depth)
            while sequence.count < depth {
                _ = try step([sequence], each: model.chunk(of: depth - sequence.count), logits: false)
                try progress()
            }
        }
    }

    /// Evaluates a prompt of `tokens` ids in the first sequence, with the logits of the last, on the path of prompts.
    package func prefill(tokens: Int) throws(KimiError) -> WorkCount {
        var count = WorkCount()
        var done = 0
        while done < tokens {
            let piece = model.chunk(of: tokens - done)
            done += piece
            count += try step([sequences[0]], each: piece, logits: done == tokens)
        }
        return count
    }

    /// Evaluates `steps` single tokens of each of the first `batch` sequences, all with their logits, on the path of generated tokens.
    package func decode(batch: Int, steps: Int) throws(KimiError) -> WorkCount {
        var count = WorkCount()
        let batch = Array(sequences.prefix(batch))
        for _ in 0..<steps { count += try step(batch, each: 1, logits: true, precision: .exact) }
        return count
    }

    /// One step: `each` more random tokens of every sequence; logits of the last of each, if they are wanted. Its precision is that of a
    /// prompt if none is given.
    private func step(
        _ batch: [TokenSequence], each: Int, logits wanted: Bool, precision: Precision? = nil
    ) throws(KimiError) -> WorkCount {
        let vocabulary = UInt64(model.config.vocabularySize)
        let precision = precision ?? model.precision(rows: batch.count * each)
        let ids = (0..<batch.count * each).map { _ in Int32(truncatingIfNeeded: random.next() % vocabulary) }
        for sequence in batch { try sequence.prepare(each) }
        let count = try model.withStep(cancellation) { () throws(KimiError) in
            let rows = model.stepRows
            for (index, sequence) in batch.enumerated() {
                for offset in 0..<each {
                    let row = index * each + offset
                    rows[row] = StepRow(sequence: sequence, token: ids[row], position: sequence.count + offset)
                }
            }
            try model.step(
                UnsafeBufferPointer(rebasing: rows[0..<ids.count]),
                logits: LogitsTarget(logits.pointer(to: Float.self), rows: wanted ? batch.count : 0), precision: precision,
                cancellation: cancellation)
            var count = model.countOfStep
            count.fastRows = model.rounds(precision) ? ids.count : 0
            return count
        }
        mostCacheBytes = max(mostCacheBytes, sequences.reduce(0) { $0 + $1.cacheBytes })
        for (index, sequence) in batch.enumerated() {
            ids.withUnsafeBufferPointer { ids in
                sequence.append(UnsafeBufferPointer(rebasing: ids[index * each..<(index + 1) * each]))
            }
        }
        return count
    }
}
