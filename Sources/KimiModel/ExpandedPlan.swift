import CKimiKernels
import KimiCore

// Which rows of a step are attended expanded, and how that is divided among the workers. The division changes no bit of the result;
// the choice between the forms does, in the last places, so it depends on nothing but the step's precision and the length of a run.

/// Rows of one sequence that follow one another in a fast step, enough of them to be worth keys and values of their own.
struct ExpandedRun {
    var row: Int
    var rows: Int
    /// Tokens that the first row sees; each row after it sees one more.
    var tokens: Int
    /// Rows of an item, and how many items a head has.
    var band = 0
    var bands = 1
    /// How many items a head has in the runs before it.
    var firstBand = 0

    var end: Int { row + rows }
}

/// What one item works on: some rows of a run, for one head.
struct ExpandedItem {
    let head: Int
    let rows: Range<Int>
    /// Tokens that the first of the rows sees.
    let tokens: Int
}

/// The expanded runs of a step, and the workers' scratch memory for them, laid out once when the model is opened.
final class ExpandedPlan {
    private let memory: MappedMemory
    var byteCount: Int { memory.byteCount }
    private let shape: AttentionShape
    private let threads: Int
    private let leastRows: Int
    private let places: ExpandedScratch.Places
    private let workerFloats: Int
    private let runs: UnsafeMutablePointer<ExpandedRun>
    private let scratch: UnsafeMutablePointer<Float>
    private(set) var runCount = 0
    /// How many items each head has.
    private var bandCount = 0
    /// Whether the latest step has rows that are not expanded.
    private(set) var leavesRows = true

    /// Rows of the same sequence from which on a fast step expands: where that was measured to be faster behind a long past. From
    /// the beginning of a sequence it would pay earlier; but where a prompt is cut should matter as little as it can. An int8
    /// cache is attended in integers at nearly twice the rate of floats, so it takes more rows.
    static func leastRows(_ type: CacheType) -> Int {
        switch type {
        case .f32, .bf16: 160
        case .int8: 256
        }
    }

    init(shape: AttentionShape, cacheType: CacheType, rows: Int, threads: Int) throws(KimiError) {
        self.shape = shape
        self.threads = threads
        leastRows = Self.leastRows(cacheType)
        var worker = ScratchLayout()
        let places = ExpandedScratch.Places(&worker, shape: shape, rows: rows)
        var layout = ScratchLayout()
        let runsAt = layout.bytes(rows / leastRows + 1, MemoryLayout<ExpandedRun>.stride)
        let scratchAt = layout.bytes(rows < leastRows ? 0 : threads, worker.total)
        guard let total = layout.total, let workerBytes = worker.total else {
            throw KimiError(.outOfMemory, "attention's work space for \(rows) rows is beyond any memory", subject: "chunk_size")
        }
        memory = try MappedMemory(byteCount: total, what: "expanded attention's work space")
        runs = memory.pointer(to: ExpandedRun.self, at: runsAt)
        scratch = memory.pointer(to: Float.self, at: scratchAt)
        workerFloats = workerBytes / MemoryLayout<Float>.stride
        self.places = places
    }

    // MARK: Planning

    /// Finds the runs of a step and numbers their items.
    func divide(_ rows: UnsafePointer<StepRow>, count: Int, precision: Precision) {
        runCount = 0
        bandCount = 0
        leavesRows = true
        guard precision == .fast, count >= leastRows else { return }
        var first = 0
        for row in 1...count {
            let goesOn = row < count && rows[row].sequence === rows[row - 1].sequence
                && rows[row].position == rows[row - 1].position + 1
            if goesOn { continue }
            if row - first >= leastRows {
                runs[runCount] = ExpandedRun(row: first, rows: row - first, tokens: rows[first].position + 1)
                runCount += 1
            }
            first = row
        }
        var expanded = 0
        for index in 0..<runCount {
            setBands(&runs[index])
            runs[index].firstBand = bandCount
            bandCount += runs[index].bands
            expanded += runs[index].rows
        }
        leavesRows = expanded < count
    }

    /// A head's rows are one item, so that its keys and values are made once, unless that leaves workers without any: then each
    /// band of rows makes those it sees.
    private func setBands(_ run: inout ExpandedRun) {
        let seen = run.tokens + run.rows - 1
        let expanding = seen &* shape.latent &* (shape.nope + shape.value)
        let attending = run.rows &* (seen + run.tokens) / 2 &* (shape.key + shape.value)
        var best = Int.max
        for bands in 1...max(1, min(run.rows / leastBand, threads)) {
            // The longest item, as often as a worker has to take one.
            let items = shape.heads * runCount * bands
            let time = (items + threads - 1) / threads &* (expanding &+ attending / bands)
            guard time < best else { continue }
            best = time
            run.bands = bands
        }
        let packed = Int(CK_PACKED_ROWS)
        run.band = ((run.rows + run.bands - 1) / run.bands + packed - 1) / packed * packed
        run.bands = (run.rows + run.band - 1) / run.band
    }
    /// Rows of a band, at least.
    private var leastBand: Int { 4 * Int(CK_PACKED_ROWS) }

    // MARK: What the workers ask

    /// The next rows from `row` on that are not expanded and lie side by side, below `end`; nil if there are none.
    func absorbed(from row: Int, to end: Int) -> Range<Int>? {
        var begin = row
        for index in 0..<runCount where runs[index].end > begin {
            if runs[index].row > begin { return begin < end ? begin..<min(runs[index].row, end) : nil }
            begin = runs[index].end
        }
        return begin < end ? begin..<end : nil
    }

    /// How many items so many heads have.
    func itemCount(heads: Int) -> Int { heads * bandCount }

    /// An item of some heads; the rows that see the most tokens come first, since they take longest.
    func item(_ number: Int, of heads: Range<Int>) -> ExpandedItem {
        var index = runCount - 1
        while index > 0, runs[index].firstBand * heads.count > number { index -= 1 }
        let run = runs[index]
        let (band, head) = (number - run.firstBand * heads.count).quotientAndRemainder(dividingBy: heads.count)
        let first = (run.bands - 1 - band) * run.band
        return ExpandedItem(
            head: heads.lowerBound + head, rows: run.row + first..<run.row + min(first + run.band, run.rows), tokens: run.tokens + first)
    }

    func scratch(worker: Int) -> ExpandedScratch { ExpandedScratch(scratch + worker * workerFloats, places) }
}
