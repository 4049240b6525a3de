import Glibc
import KimiCore
import KimiModel
import KimiRuntime

/// How far one model's logits are from another's on the same tokens.
package struct Accuracy: Sendable {
    package private(set) var rows = 0
    /// Cosine of the two rows of logits, the smallest and the mean.
    package private(set) var leastCosine = 1.0
    package var meanCosine: Double { rows > 0 ? cosines / Double(rows) : 1 }
    /// Mean divergence in nats of the model's distribution from the reference's.
    package var meanDivergence: Double { rows > 0 ? divergences / Double(rows) : 0 }
    /// The largest divergence of a row.
    package private(set) var mostDivergence = 0.0
    /// Rows whose likeliest token is the same.
    package private(set) var sameChoice = 0
    /// Rows where the reference's likeliest token is ahead by more than `clearMargin`, and those of them with the same choice.
    package private(set) var clearRows = 0
    package private(set) var sameClearChoice = 0
    private var cosines = 0.0
    private var divergences = 0.0

    /// How far ahead in its logit the likeliest token must be to count as clear.
    package static let clearMargin: Float = 0.5

    package init() {}

    /// Adds one row.
    package mutating func add(_ logits: UnsafeBufferPointer<Float>, reference: UnsafeBufferPointer<Float>) {
        guard logits.count == reference.count, !logits.isEmpty else { return }
        let here = Row(logits), there = Row(reference)
        var dot = 0.0, divergence = 0.0
        for index in logits.indices {
            let a = Double(logits[index]), b = Double(reference[index])
            dot += a * b
            let expected = b - there.logSum
            divergence += exp(expected) * (expected - (a - here.logSum))
        }
        let cosine = here.norm > 0 && there.norm > 0 ? dot / (here.norm * there.norm).squareRoot() : 1
        rows += 1
        cosines += cosine
        leastCosine = min(leastCosine, cosine)
        divergences += divergence
        mostDivergence = max(mostDivergence, divergence)
        let isSame = here.best == there.best
        sameChoice += isSame ? 1 : 0
        guard there.margin > Self.clearMargin else { return }
        clearRows += 1
        sameClearChoice += isSame ? 1 : 0
    }

    private struct Row {
        let best: Int
        /// How far the best is ahead of the second.
        let margin: Float
        let logSum: Double
        /// Squared.
        let norm: Double

        init(_ logits: UnsafeBufferPointer<Float>) {
            var best = 0, second = -Float.infinity, norm = 0.0
            for index in logits.indices {
                norm += Double(logits[index]) * Double(logits[index])
                guard index > 0 else { continue }
                if logits[index] > logits[best] {
                    second = logits[best]
                    best = index
                } else {
                    second = max(second, logits[index])
                }
            }
            let most = Double(logits[best])
            self.best = best
            self.norm = norm
            margin = logits[best] - second
            logSum = most + log(logits.reduce(0.0) { $0 + exp(Double($1) - most) })
        }
    }
}

extension Accuracy {
    /// Evaluates tokens with the model as `options` say and with the exact model of the same checkpoint, one after the other,
    /// and compares the logits of every token.
    ///
    /// - Parameters:
    ///   - open: opens the checkpoint with the options.
    ///   - ids: what to evaluate; asked once for each of the two models.
    package static func compare(
        options: Model.Options, open: (Model.Options) throws -> Model, cancellation: Cancellation,
        ids: (Model) throws -> [Int32]
    ) throws -> Accuracy {
        func evaluated(_ options: Model.Options) throws -> (logits: MappedMemory, rows: Int, vocabulary: Int) {
            let model = try open(options)
            let ids = try ids(model)
            return (try evaluate(ids, model, cancellation), ids.count, model.vocabularySize)
        }
        let here = try evaluated(options)
        let there = try evaluated(exact(options))
        var result = Accuracy()
        for row in 0..<min(here.rows, there.rows) {
            func part(_ logits: MappedMemory) -> UnsafeBufferPointer<Float> {
                UnsafeBufferPointer(start: logits.pointer(to: Float.self) + row * here.vocabulary, count: here.vocabulary)
            }
            result.add(part(here.logits), reference: part(there.logits))
        }
        return result
    }

    /// The options that compute exactly, on the same machine in the same pieces.
    private static func exact(_ options: Model.Options) -> Model.Options {
        var exact = Model.Options()
        exact.exact = true
        exact.threads = options.threads
        exact.isa = options.isa
        exact.loadPolicy = options.loadPolicy
        exact.contextLimit = options.contextLimit
        exact.chunkSize = options.chunkSize
        exact.log = options.log
        return exact
    }

    private static func evaluate(
        _ ids: [Int32], _ model: Model, _ cancellation: Cancellation
    ) throws(KimiError) -> MappedMemory {
        let session = try Session(model: model)
        let size = Checked.product(ids.count, model.vocabularySize, MemoryLayout<Float>.stride)
        let logits = try MappedMemory(byteCount: size ?? .max, what: "logits")
        var done = 0
        while done < ids.count {
            try cancellation.check()
            let end = min(ids.count, done + model.options.chunkSize)
            let target = logits.pointer(to: Float.self) + done * model.vocabularySize
            try Array(ids[done..<end]).withUnsafeBufferPointer { ids in
                Result { () throws(KimiError) in
                    try session.call { () throws(KimiError) in try session.evaluate(ids, all: true, into: target) }
                }
            }.get()
            done = end
        }
        return logits
    }
}
