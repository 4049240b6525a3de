import KimiCore

/// What opening a model takes besides weights that stay in their files: asked for at once, before any of it is touched.
struct OpeningMemory {
    /// Bytes to be copied, and to be made in another format.
    let copied: Int
    let converted: Int
    let tables: Int
    let workspace: Int
    let attention: Int
    /// What is charged by itself once the model is open, and without which the model is none: the vision tower.
    let eyes: Int
    /// The most rows of a step, and the bytes of work space and attention for another number; nil if that is beyond any memory.
    let maxRows: Int
    let scratch: (_ rows: Int) -> Int?

    var total: Int { parts.reduce(eyes) { $0 + $1.bytes } }

    var parts: [(kind: MemoryBudget.Kind, bytes: Int)] {
        [(.weights, copied + converted), (.tables, tables), (.workspace, workspace), (.attention, attention)]
    }

    /// Changes that would each help alone, the least first.
    ///
    /// - Parameter left: what is there for it.
    func remedies(left: Int) -> [String] {
        var found: [String] = []
        let excess = total - left
        if let rows = rows(freeing: excess) { found.append("chunk_size \(rows)") }
        if converted >= excess { found.append("dense stored") }
        if copied >= excess { found.append("load_policy map") }
        return found
    }

    /// The most rows whose scratch memory is smaller by so much.
    private func rows(freeing excess: Int) -> Int? {
        let wanted = workspace + attention - excess
        guard maxRows > 1, let least = scratch(1), least <= wanted else { return nil }
        var (low, high) = (1, maxRows)
        while high - low > 1 {
            let middle = (low + high) / 2
            if let bytes = scratch(middle), bytes <= wanted { low = middle } else { high = middle }
        }
        return low
    }
}

extension MemoryBudget {
    /// Charges all that opening takes, or nothing.
    ///
    /// - Throws: `outOfMemory` with what is needed, what there is and what would help.
    func admit(_ opening: OpeningMemory) throws(KimiError) {
        if let shortage = take(opening.total, for: .weights, keeping: false) { throw refusal(opening, shortage) }
        for part in opening.parts { try charge(part.bytes, for: part.kind, what: "opening") }
    }

    private func refusal(_ opening: OpeningMemory, _ shortage: Shortage) -> KimiError {
        let parts = opening.parts.filter { $0.bytes > 0 }.sorted { $0.bytes > $1.bytes }
            .map { "\($0.kind.words) \(Self.amount($0.bytes))" } + (opening.eyes > 0 ? ["vision tower \(Self.amount(opening.eyes))"] : [])
        let need = "opening this checkpoint needs \(Self.amount(opening.total)) (\(parts.joined(separator: ", ")))"
        var remedies: [String]
        switch shortage {
        case .limit(let limit, let left):
            remedies = opening.remedies(left: left)
            if limit.source == .option { remedies.append("a memory_limit of \(used + opening.total) bytes") }
            if remedies.isEmpty { remedies = ["\(Self.amount(opening.total - left)) more"] }
        case .system(let left):
            remedies = opening.remedies(left: left) + ["\(Self.amount(opening.total - left)) more free memory"]
        }
        return refusal(need, shortage, detail: ". It would fit with \(remedies.joined(separator: ", or with "))")
    }
}

extension TextModel {
    /// The most tokens of a sequence whose cache fits beside what the model itself takes, if it has all the rest to itself; nil if
    /// there is no limit.
    package var longestContext: Int? {
        guard let limit = budget.limit else { return nil }
        let own = MemoryBudget.Kind.allCases.filter { $0 != .cache && $0 != .sessions && $0 != .features }.reduce(0) { $0 + budget.used($1) }
        let logits = config.vocabularySize * MemoryLayout<Float>.stride
        return max(0, limit.bytes - own - logits) / cache.blockBytes * BlockPool.blockTokens
    }

    /// Refuses a context whose cache can never fit.
    ///
    /// - Throws: `outOfMemory` with the longest that would.
    package func checkContext(_ tokens: Int) throws(KimiError) {
        guard let limit = budget.limit, let longest = longestContext, tokens > longest else { return }
        let blocks = tokens / BlockPool.blockTokens + (tokens % BlockPool.blockTokens == 0 ? 0 : 1)
        let need = Checked.product(blocks, cache.blockBytes).map { MemoryBudget.amount($0) } ?? "more than any memory"
        throw KimiError(
            .outOfMemory,
            "context_limit is \(tokens), whose cache needs \(need); in the limit of \(MemoryBudget.amount(limit.bytes)) (\(limit.source.words)), beside what the model itself takes, \(longest) tokens at most have room",
            subject: "context_limit")
    }
}
