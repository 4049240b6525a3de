import KimiCore

// A mixture-of-experts layer by itself, and what a benchmark asks of a model. Nothing here is part of a step.

extension TextModel {
    /// The layers that have experts.
    package var expertLayers: [Int] {
        weights.layers.indices.filter {
            if case .experts = weights.layers[$0].feedForward { true } else { false }
        }
    }

    /// Bytes of scratch memory laid out for a step of `maxRows` rows.
    package var workspaceBytes: Int { workspace.byteCount }

    /// What the latest step had to do. Under the step lock, or where nobody else steps.
    package var countOfStep: WorkCount {
        WorkCount(bytes: statistics.bytesOfStep, multiplyAdds: statistics.multiplyAddsOfStep)
    }

    /// Runs the mixture-of-experts block of one layer (router, shared and routed experts) on rows of the caller's making.
    ///
    /// - Parameters:
    ///   - layer: one of `expertLayers`.
    ///   - rows: 1 to `maxRows`.
    ///   - input: the normed input [rows, hidden], from which the router chooses.
    /// - Returns: what it had to do, each expert that any row chose being read once; and how many those were.
    /// - Throws: `invalidArgument`, or `cancelled` while waiting for other steps.
    package func probeExperts(
        layer: Int, rows: Int, input: UnsafePointer<Float>, precision: Precision = .exact, cancellation: Cancellation
    ) throws(KimiError) -> (count: WorkCount, experts: Int) {
        guard weights.layers.indices.contains(layer), case .experts(let moe) = weights.layers[layer].feedForward else {
            throw KimiError(.invalidArgument, "layer \(layer) has no experts", subject: "layer")
        }
        guard (1...maxRows).contains(rows) else {
            throw KimiError(.invalidArgument, "rows is \(rows); it must be 1 to \(maxRows)", subject: "rows")
        }
        return try withStep(cancellation) { () throws(KimiError) in
            statistics.beginStep()
            defer { readHold?.end() }
            try readHold?.begin()
            arithmetic = arithmetic(of: precision)
            let elements = rows * config.hiddenSize
            workspace.hidden.update(repeating: 0, count: elements)
            workspace.normed.floats.update(from: input, count: elements)
            // As the norm before the block leaves them.
            make(weights.layers[layer].feedForward.inputForms(arithmetic), of: workspace.normed, width: config.hiddenSize, rows: rows)
            // Rows of the caller's making are no text: each as if a sequence of its own.
            store?.beginStep(tokens: 1)
            try experts(moe, rows: rows, cancellation)
            try readHold?.check()
            let read = statistics.expertReadsOfStep
            return (
                WorkCount(
                    bytes: moe.fixedBytes + read * moe.expertBytes,
                    multiplyAdds: rows * moe.multiplyAdds(perToken: config.expertsPerToken)),
                read
            )
        }
    }
}
