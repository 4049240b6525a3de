import KimiCheckpoint

/// What the steps of a model have moved, by count, not by measurement. Written under the step lock.
package final class StepStatistics: @unchecked Sendable {
    // Safe because only the holder of TextModel's step lock touches it.
    package fileprivate(set) var steps = 0
    /// Bytes of weights and cache read by the latest step.
    package fileprivate(set) var bytesOfStep = 0
    /// Rows computed on either path.
    package fileprivate(set) var exactRows = 0
    package fileprivate(set) var fastRows = 0

    /// Bytes of everything but routed experts, embedding and head, read by each step.
    private let fixedBytes: Int
    private let headBytes: Int
    private let expertBytes: Int
    private let embeddingRowBytes: Int
    /// Cache bytes of one token over all layers.
    private let tokenBytes: Int
    fileprivate var expertReads = 0

    init(weights: Weights, tokenBytes: Int) {
        var fixed = 0
        var expert = 0
        for layer in weights.layers {
            let attention = layer.attention
            fixed += (attention.queryDown?.byteCount ?? 0) + attention.queryUp.byteCount + attention.latentDown.byteCount
                + attention.latentUp.byteCount + attention.output.byteCount
            switch layer.feedForward {
            case .dense(let mlp): fixed += mlp.byteCount
            case .experts(let moe):
                fixed += moe.router.byteCount + (moe.shared?.byteCount ?? 0)
                expert = moe.gate[0].byteCount + moe.up[0].byteCount + moe.down[0].byteCount
            }
        }
        fixedBytes = fixed
        expertBytes = expert
        headBytes = weights.head.byteCount
        embeddingRowBytes = weights.embedding.rows > 0 ? weights.embedding.byteCount / weights.embedding.rows : 0
        self.tokenBytes = tokenBytes
    }

    /// Forgets what a failed step has counted.
    func beginStep() { expertReads = 0 }

    func countExperts(_ count: Int) { expertReads += count }

    func countStep(rows: UnsafeBufferPointer<StepRow>, withHead: Bool, precision: Precision) {
        steps += 1
        switch precision {
        case .exact: exactRows += rows.count
        case .fast: fastRows += rows.count
        }
        var bytes = fixedBytes + (withHead ? headBytes : 0) + expertReads * expertBytes + rows.count * embeddingRowBytes
        for row in rows { bytes &+= (row.position + 1) * tokenBytes }
        bytesOfStep = bytes
    }
}

extension MLPWeights {
    var byteCount: Int { gate.byteCount + up.byteCount + down.byteCount }
}
