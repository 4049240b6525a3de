import CKimiKernels
import KimiCheckpoint
import KimiCore

/// What the steps of a model have moved, by count, not by measurement. Written under the step lock.
package final class StepStatistics: @unchecked Sendable {
    // Safe because only the holder of TextModel's step lock touches it.
    package fileprivate(set) var steps = 0
    /// Bytes of weights and cache read by the latest step.
    package fileprivate(set) var bytesOfStep = 0
    /// Multiply-adds of the latest step, one for a weight and row, attention counted in its absorbed form.
    fileprivate(set) var multiplyAddsOfStep = 0
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

    /// How often the router has chosen each expert since the model was opened, [layers, experts].
    private let choices: UnsafeMutableBufferPointer<UInt64>
    private let choiceMemory: MappedMemory
    private let experts: Int

    /// Multiply-adds of a row without head and attention, those of the head, and those of attention for each token it sees.
    private let rowMultiplyAdds: Int
    private let headMultiplyAdds: Int
    private let seenMultiplyAdds: Int

    init(weights: Weights, config: ModelConfig, tokenBytes: Int) throws(KimiError) {
        experts = config.expertCount
        // Safe from overflow because there is a matrix for each of them.
        let choiceCount = config.layerCount * config.expertCount
        choiceMemory = try MappedMemory(byteCount: choiceCount * MemoryLayout<UInt64>.stride, what: "counts of experts")
        choices = UnsafeMutableBufferPointer(start: choiceMemory.pointer(to: UInt64.self), count: choiceCount)
        var fixed = 0
        var expert = 0
        var products = 0
        for layer in weights.layers {
            let attention = layer.attention
            fixed += (attention.queryDown?.byteCount ?? 0) + attention.queryUp.byteCount + attention.latentDown.byteCount
                + attention.latentUp.byteCount + attention.output.byteCount
            products += (attention.queryDown?.elements ?? 0) + attention.queryUp.elements + attention.latentDown.elements
                + attention.latentUp.elements + attention.output.elements
            switch layer.feedForward {
            case .dense(let mlp):
                fixed += mlp.byteCount
                products += mlp.elements
            case .experts(let moe):
                fixed += moe.fixedBytes
                expert = moe.expertBytes
                products += moe.multiplyAdds(perToken: config.expertsPerToken)
            }
        }
        fixedBytes = fixed
        expertBytes = expert
        headBytes = weights.head.byteCount
        embeddingRowBytes = weights.embedding.rows > 0 ? weights.embedding.byteCount / weights.embedding.rows : 0
        self.tokenBytes = tokenBytes
        rowMultiplyAdds = products
        headMultiplyAdds = weights.head.elements
        seenMultiplyAdds = config.layerCount * config.headCount * (2 * config.latentSize + config.ropeSize)
    }

    /// Experts that were read since the step began, those of all layers added up.
    var expertReadsOfStep: Int { expertReads }

    /// Forgets what a failed step has counted.
    func beginStep() { expertReads = 0 }

    func countExperts(_ count: Int) { expertReads += count }

    /// Counts what the router has chosen in a layer: `count` numbers of experts.
    func countChoices(_ chosen: UnsafePointer<Int32>, count: Int, layer: Int) {
        let first = layer * experts
        for index in 0..<count { choices[first + Int(chosen[index])] &+= 1 }
    }

    /// How often the router has chosen each expert since the model was opened, layer after layer; 0 in dense layers.
    var expertChoices: [UInt64] { Array(choices) }

    /// - Parameter logits: how many rows went through the head.
    func countStep(rows: UnsafeBufferPointer<StepRow>, logits: Int, isRounded: Bool) {
        steps += 1
        if isRounded { fastRows += rows.count } else { exactRows += rows.count }
        var bytes = fixedBytes + (logits > 0 ? headBytes : 0) + expertReads * expertBytes + rows.count * embeddingRowBytes
        var products = rows.count &* rowMultiplyAdds &+ logits &* headMultiplyAdds
        for (index, row) in rows.enumerated() {
            // Rows of one sequence lie side by side and see the same cache, the last one all of it.
            let isLast = index + 1 == rows.count || rows[index + 1].sequence !== row.sequence
            if isLast { bytes &+= (row.position &+ 1) &* tokenBytes }
            products &+= (row.position &+ 1) &* seenMultiplyAdds
        }
        bytesOfStep = bytes
        multiplyAddsOfStep = products
    }
}

extension MLPWeights {
    var byteCount: Int { gate.byteCount + up.byteCount + down.byteCount }
    /// Weights, each of them one multiply-add a row.
    var elements: Int { gate.elements + up.elements + down.elements }
}

extension ExpertWeights {
    /// Bytes that every step reads, whatever the router chooses.
    var fixedBytes: Int { router.byteCount + (shared?.byteCount ?? 0) }
    /// Bytes of one routed expert.
    var expertBytes: Int { experts.gate[0].byteCount + experts.up[0].byteCount + experts.down[0].byteCount }

    /// Multiply-adds of a row.
    func multiplyAdds(perToken: Int) -> Int {
        router.elements + (shared?.elements ?? 0) + perToken * (experts.gate[0].elements + experts.up[0].elements + experts.down[0].elements)
    }
}

extension ck_matrix {
    var elements: Int { rows * columns }
}
