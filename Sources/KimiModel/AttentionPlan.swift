import CKimiKernels
import KimiCore

// How the attention of a step is divided among the workers. None of it changes a bit of the result: a row's spans are a function
// of how many tokens it sees (ck_attention_span), and they are folded in rising order whoever computed them. Rows that are attended
// expanded are in no run of this file: ExpandedPlan.swift.

/// Rows of one sequence that follow one another and go through each block of the cache together.
struct QueryRun {
    var row: Int
    var rows: Int
    /// Tokens that the first row sees; each row after it sees one more.
    var tokens: Int
    /// Tokens of a span, the same for all rows of the run.
    var span: Int
    /// The first item of the run in the attention job.
    var firstItem = 0
    /// Where the results of the run's spans lie among all parts, if its spans are shared out; else nil.
    var firstPart: Int?

    /// Spans of the last row.
    var spans: Int { (tokens + rows - 1 + span - 1) / span }
    /// A measure of the work: tokens seen by all rows.
    var work: Int { rows * tokens }

    /// Rows at the beginning of the run that do not see the tokens from `begin` on.
    func blind(to begin: Int) -> Int { max(0, min(rows, begin + 1 - tokens)) }
}

/// The runs of a step and the scratch memory of attention, laid out once when the model is opened.
final class AttentionPlan {
    /// Queries (heads of rows) of a worker's scratch, and of one item at most.
    static let queries = 64
    /// A share of an item's heads is not made smaller than this: fewer would not fill the kernel's tiles.
    private static let leastHeads = 4

    /// The rows that are attended expanded.
    let expanded: ExpandedPlan
    private let memory: MappedMemory
    /// Bytes of all scratch memory, that of expanded rows included.
    var byteCount: Int { memory.byteCount + expanded.byteCount }
    var memories: [MappedMemory] { [memory, expanded.memory] }
    private let threads: Int
    private let heads: Int
    private let latent: Int
    private let mostParts: Int

    private let runs: UnsafeMutablePointer<QueryRun>
    private let runOfRow: UnsafeMutablePointer<Int32>
    private(set) var runCount = 0
    private(set) var itemCount = 0
    /// Heads of an item.
    private(set) var width = 1
    private(set) var isSplit = false

    /// Absorbed queries of all rows, [rows, heads, latent + rope]; the attended latent takes the place of its query.
    let absorbed: UnsafeMutablePointer<Float>
    private let sums: UnsafeMutablePointer<Float>
    private let states: UnsafeMutablePointer<Float>
    private let parts: UnsafeMutablePointer<Float>
    private let partStates: UnsafeMutablePointer<Float>
    /// Rows whose thirds a worker has room for, and bytes of each.
    static let thirdRows = 64
    let thirdBytes: Int
    private let thirds: UnsafeMutableRawPointer

    /// - Parameter thirds: whether there is to be room for thirds of queries and of attended latents.
    init(shape: AttentionShape, cacheType: CacheType, rows: Int, threads: Int, thirds: Bool = false) throws(KimiError) {
        expanded = try ExpandedPlan(shape: shape, cacheType: cacheType, rows: rows, threads: threads)
        self.threads = threads
        heads = shape.heads
        latent = shape.latent
        // Room for as many long runs as there are threads, of the most spans and queries each.
        mostParts = threads > 1 ? threads * Int(CK_SPANS_MOST) * Self.queries : 0
        var layout = ScratchLayout()
        let runsAt = layout.bytes(rows, MemoryLayout<QueryRun>.stride)
        let runOfRowAt = layout.bytes(rows, 4)
        let absorbedAt = layout.bytes(rows, shape.heads, shape.token, 4)
        let sumsAt = layout.bytes(threads, 2, Self.queries, shape.latent, 4)
        let statesAt = layout.bytes(threads, 2, Self.queries, 2, 4)
        let partsAt = layout.bytes(mostParts, shape.latent, 4)
        let partStatesAt = layout.bytes(mostParts, 2, 4)
        thirdBytes = ck_thirds_bytes(max(shape.latent, shape.nope), Arithmetic.mostThirds)
        let thirdsAt = layout.bytes(thirds ? threads : 0, Self.thirdRows, thirdBytes)
        guard let total = layout.total else {
            throw KimiError(.outOfMemory, "attention's work space for \(rows) rows is beyond any memory", subject: "chunk_size")
        }
        memory = try MappedMemory(byteCount: total, what: "attention's work space")
        runs = memory.pointer(to: QueryRun.self, at: runsAt)
        runOfRow = memory.pointer(to: Int32.self, at: runOfRowAt)
        absorbed = memory.pointer(to: Float.self, at: absorbedAt)
        sums = memory.pointer(to: Float.self, at: sumsAt)
        states = memory.pointer(to: Float.self, at: statesAt)
        parts = memory.pointer(to: Float.self, at: partsAt)
        partStates = memory.pointer(to: Float.self, at: partStatesAt)
        self.thirds = memory.base + thirdsAt
    }

    /// A worker's room for thirds.
    func thirds(worker: Int) -> UnsafeMutableRawPointer { thirds + worker * Self.thirdRows * thirdBytes }

    // MARK: Planning

    /// Finds the runs of a step and divides their attention so that every worker gets several items.
    func divide(_ rows: UnsafePointer<StepRow>, count: Int, precision: Precision) {
        expanded.divide(rows, count: count, precision: precision)
        runCount = 0
        var next = 0
        while let absorbed = expanded.absorbed(from: next, to: count) {
            findRuns(rows, in: absorbed)
            next = absorbed.upperBound
        }
        shareSpans()
        // A single run whose whole spans go evenly into the threads is best left at its full width: each token is read once.
        let spans = runCount == 1 && isSplit ? runs[0].tokens / runs[0].span : 0
        let wanted = spans >= threads && spans % threads == 0 ? 1 : 4 * threads
        width = min(heads, Self.queries)
        while placeItems() < wanted, runCount > 0, width >= 2 * Self.leastHeads { width = (width + 1) / 2 }
    }

    private func findRuns(_ rows: UnsafePointer<StepRow>, in range: Range<Int>) {
        let most = max(1, Self.queries / min(heads, Self.queries))
        for index in range {
            let row = rows[index]
            let span = ck_attention_span(row.position + 1)
            if index > range.lowerBound, runs[runCount - 1].rows < most, rows[index - 1].sequence === row.sequence,
                rows[index - 1].position + 1 == row.position, runs[runCount - 1].span == span
            {
                runs[runCount - 1].rows += 1
            } else {
                runs[runCount] = QueryRun(row: index, rows: 1, tokens: row.position + 1, span: span)
                runCount += 1
            }
            runOfRow[index] = Int32(truncatingIfNeeded: runCount - 1)
        }
    }

    /// Gives places for parts to the runs that are long enough to keep others waiting.
    private func shareSpans() {
        isSplit = false
        guard threads > 1 else { return }
        let total = (0..<runCount).reduce(0) { $0 + runs[$1].work }
        var used = 0
        for index in 0..<runCount {
            let run = runs[index]
            let needed = run.spans * run.rows * heads
            guard run.spans > 1, run.work > total / (4 * threads), needed <= mostParts - used else { continue }
            runs[index].firstPart = used
            used += needed
            isSplit = true
        }
    }

    /// Numbers the items and returns how many there are.
    private func placeItems() -> Int {
        itemCount = 0
        for index in 0..<runCount {
            runs[index].firstItem = itemCount
            itemCount += groups * (runs[index].firstPart == nil ? 1 : runs[index].spans)
        }
        return itemCount
    }

    // MARK: What the workers ask

    /// Groups of heads.
    var groups: Int { (heads + width - 1) / width }

    /// The heads of a group.
    func heads(of group: Int) -> Range<Int> { group * width..<min((group + 1) * width, heads) }

    /// The run that an item belongs to.
    func run(item: Int) -> QueryRun {
        var (low, high) = (0, runCount)
        while high - low > 1 {
            let middle = (low + high) / 2
            if runs[middle].firstItem <= item { low = middle } else { high = middle }
        }
        return runs[low]
    }

    func run(row: Int) -> QueryRun { runs[Int(runOfRow[row])] }

    /// A worker's sum of the spans so far, and the span that is to be folded into it.
    func scratch(worker: Int, part: Int) -> AttentionSum {
        let index = (2 * worker + part) * Self.queries
        return AttentionSum(out: sums + index * latent, state: states + index * 2, latent: latent)
    }

    /// Where one span's results for a group of heads lie, [rows, heads of the group].
    func part(of run: QueryRun, _ firstPart: Int, span: Int, group: Int) -> AttentionSum {
        let index = firstPart + run.rows * (span * heads + group * width)
        return AttentionSum(out: parts + index * latent, state: partStates + index * 2, latent: latent)
    }
}

/// Unfinished attention of some queries, as the kernel leaves it.
struct AttentionSum {
    let out: UnsafeMutablePointer<Float>
    let state: UnsafeMutablePointer<Float>
    let latent: Int

    /// From a later query on.
    func from(_ query: Int) -> AttentionSum {
        AttentionSum(out: out + query * latent, state: state + 2 * query, latent: latent)
    }

    func move(to target: AttentionSum, queries: Int) {
        target.out.update(from: out, count: queries * latent)
        target.state.update(from: state, count: queries * 2)
    }
}
