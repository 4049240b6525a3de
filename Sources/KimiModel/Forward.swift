import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiTopology

// The model in the order of the maths. Names follow the DeepSeek-V3 architecture that Kimi K2 and K2.5 share; what each block
// does inside is in LatentAttention.swift, Router.swift and Experts.swift.

/// RMS norm epsilon of the two latents (`q_a_layernorm`, `kv_a_layernorm`): fixed in the architecture, unlike `rms_norm_eps`.
let latentEpsilon: Float = 1e-6

/// One row of a step: a token of a sequence at a position.
package struct StepRow {
    /// Whose cache this row reads and extends. Unretained: the batch's owner keeps it alive during the step.
    unowned(unsafe) let sequence: TokenSequence
    package let token: Int32
    package let position: Int
    /// [hiddenSize], what stands in place of the token's embedding; nil for text. Its owner keeps it alive during the step.
    package let features: UnsafePointer<Float>?

    package init(sequence: TokenSequence, token: Int32, position: Int, features: UnsafePointer<Float>? = nil) {
        self.sequence = sequence
        self.token = token
        self.position = position
        self.features = features
    }
}

/// Where the logits of a step go: those of some of its rows, one after another. `base` may be nil if there are none.
package struct LogitsTarget {
    package let base: UnsafeMutablePointer<Float>?
    package let rows: Int
    /// Which rows, in rising order; nil: the last `rows` of the step. Its owner keeps it alive during the step.
    package let chosen: UnsafePointer<Int32>?

    package init(_ base: UnsafeMutablePointer<Float>?, rows: Int, chosen: UnsafePointer<Int32>? = nil) {
        self.base = base
        self.rows = rows
        self.chosen = chosen
    }
}

extension TextModel {
    /// Evaluates a batch of rows: any number of sequences, each with one or several tokens in rising positions.
    ///
    /// Every sequence must have been prepared for its rows; the caller appends the tokens afterwards. A row's result depends on
    /// its own sequence and the precision only: not on the other rows, the number of threads, or how a prompt was cut into steps;
    /// in a fast step also on whether its sequence has many rows there, which are attended in another order of sums.
    ///
    /// - Throws: `cancelled` before a layer; `io` if a shard shrank; `numeric` if logits are not finite.
    package func step(
        _ rows: UnsafeBufferPointer<StepRow>, logits: LogitsTarget, precision: Precision = .exact, cancellation: Cancellation
    ) throws(KimiError) {
        guard let batch = rows.baseAddress, rows.count <= maxRows, logits.rows <= rows.count else {
            throw KimiError(.internal, "a step of \(rows.count) rows; at most \(maxRows) were planned")
        }
        let count = rows.count
        arithmetic = arithmetic(of: precision)
        statistics.beginStep()
        store?.beginStep(tokens: Self.tokensAhead(rows))
        // With several nodes the caller is a worker of the first.
        let affinity = pool.bindCaller()
        defer { pool.release(affinity) }
        // Mapped weights are read under a hold, so that a file that is cut meanwhile is an error and no signal.
        defer { readHold?.end() }
        try readHold?.begin()
        embed(batch, count: count)
        for (index, layer) in weights.layers.enumerated() {
            try cancellation.check()
            try readHold?.check()

            normalize(
                workspace.hidden, into: workspace.normed, weight: layer.inputNorm,
                forms: layer.attention.inputForms(arithmetic), rows: count)
            attention(layer.attention, layer: index, rows: batch, count: count)

            normalize(
                workspace.hidden, into: workspace.normed, weight: layer.postAttentionNorm,
                forms: layer.feedForward.inputForms(arithmetic), rows: count)
            switch layer.feedForward {
            case .dense(let mlp): feedForward(mlp, rows: count)
            case .experts(let moe):
                try experts(moe, rows: count, cancellation)
                statistics.countChoices(workspace.chosen, count: count * router.perToken, layer: index)
            }
            observer?(index, workspace, count)
        }
        try readHold?.check()
        if let target = logits.base, logits.rows > 0 {
            try head(into: target, from: gathered(logits, of: count), rows: logits.rows)
        }
        statistics.countStep(rows: rows, logits: logits.rows, isRounded: rounds(precision))
        noteScratch(rows: count)
    }

    func arithmetic(of precision: Precision) -> Arithmetic {
        Arithmetic(kernels: kernels, precision: precision, dense: dense, decodeBits: decodeBits, thirds: thirds)
    }

    /// The most rows of a sequence in a step: how far it goes forward in time.
    private static func tokensAhead(_ rows: UnsafeBufferPointer<StepRow>) -> Int {
        var (most, run) = (0, 0)
        for (index, row) in rows.enumerated() {
            run = index > 0 && rows[index - 1].sequence === row.sequence ? run + 1 : 1
            most = max(most, run)
        }
        return most
    }

    /// Tells the budget how much of the scratch memory has been written to by now.
    private func noteScratch(rows: Int) {
        guard rows > scratchRows else { return }
        budget.touched((workspace.byteCount + attentionPlan.byteCount) / maxRows * (rows - scratchRows))
        scratchRows = rows
    }

    /// hidden = embedding of each token, or the features in its place; and the rotary angles of each position, which all layers share.
    private func embed(_ rows: UnsafePointer<StepRow>, count: Int) {
        var job = EmbeddingJob(
            kernels: kernels, embedding: weights.embedding, rows: rows, hidden: workspace.hidden, width: config.hiddenSize)
        workspace.itemCounts.update(repeating: count, count: pool.groupCount)
        pool.run(embedRows, &job, counts: workspace.itemCounts, grain: 64)
        for row in 0..<count { rotary.fill(workspace.angles + row * config.ropeSize, position: rows[row].position) }
    }

    /// hidden += down(silu(gate x) * up x)
    private func feedForward(_ mlp: MLPWeights, rows: Int) {
        let w = workspace
        multiply(gated(mlp, w.normed), rows: rows)
        multiply(Product(matrix: mlp.down, x: w.inner, y: w.delta, finish: .add(to: w.hidden)), rows: rows)
    }

    /// The rows whose logits are wanted, side by side. After the last layer nobody else reads the stream.
    private func gathered(_ logits: LogitsTarget, of count: Int) -> UnsafeMutablePointer<Float> {
        let width = config.hiddenSize
        guard let chosen = logits.chosen else { return workspace.hidden + (count - logits.rows) * width }
        // A row's place is never behind where it comes from, as they rise.
        for place in 0..<logits.rows where Int(chosen[place]) > place {
            (workspace.hidden + place * width).update(from: workspace.hidden + Int(chosen[place]) * width, count: width)
        }
        return workspace.hidden
    }

    /// logits = head * norm(hidden) for some rows, exactly whatever the step is: they are few.
    private func head(
        into target: UnsafeMutablePointer<Float>, from hidden: UnsafeMutablePointer<Float>, rows: Int
    ) throws(KimiError) {
        let w = workspace
        arithmetic = Arithmetic(kernels: kernels, precision: .exact, dense: dense, thirds: thirds)
        normalize(
            hidden, into: w.normed, weight: weights.finalNorm, forms: arithmetic.forms(of: weights.head.typeBit), rows: rows)
        multiply(Product(matrix: weights.head, x: w.normed, y: target), rows: rows)
        guard kernels.pointee.all_finite(target, rows * config.vocabularySize) != 0 else {
            throw KimiError(
                .numeric, "the logits hold NaN or infinity: a weight of this checkpoint is damaged or overflows",
                file: checkpoint.folder)
        }
    }
}

private struct EmbeddingJob {
    let kernels: UnsafePointer<ck_kernels>
    let embedding: Matrix
    let rows: UnsafePointer<StepRow>
    let hidden: UnsafeMutablePointer<Float>
    let width: Int
}

/// Each node looks up the tokens that it has. Features are copied by the node that has their placeholder's embedding.
private func embedRows(_ context: UnsafeMutableRawPointer?, _ node: Int, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `embed` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: EmbeddingJob.self).pointee else { return }
    let own = job.embedding.rows(of: node)
    for row in begin..<end {
        let token = Int(job.rows[row].token)
        guard own.contains(token) else { continue }
        if let features = job.rows[row].features {
            (job.hidden + row * job.width).update(from: features, count: job.width)
            continue
        }
        job.kernels.pointee.widen_row(job.hidden + row * job.width, job.embedding.part(node), token)
    }
}
