import CMallocCount
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// After warm-up a step allocates nothing, on any of the model's threads, however many sequences it serves, on either path.
struct AllocationTests {
    /// A model and sequences that take as many tokens in each step.
    private struct Batch {
        let model: TextModel
        var sequences: [TokenSequence] = []
        let logits: UnsafeMutableBufferPointer<Float>
        private let cancellation = Cancellation()

        /// Tokens of each sequence in a step.
        private let each: Int

        init(_ folder: String, dense: DenseFormat, threads: Int, size: Int, each: Int = 1) throws {
            self.each = each
            var options = TextModel.Options()
            (options.threads, options.maxRows, options.dense) = (threads, size * each, dense)
            model = try TextModel(
                checkpoint: try Checkpoint(folder: folder), topology: try Topology.current(), options: options)
            logits = .allocate(capacity: size * model.config.vocabularySize)
            for _ in 0..<size { sequences.append(try TokenSequence(pool: model.cache, contextLimit: max(200, 6 * each))) }
        }

        /// `each` tokens for each sequence, from the cache's blocks to the logits.
        func step(_ round: Int, precision: Precision = .exact) throws {
            let rows = model.stepRows
            for index in sequences.indices {
                try sequences[index].prepare(each)
                for offset in 0..<each {
                    let token = Int32((round * 31 + index * 7 + offset * 13) % 60)
                    rows[index * each + offset] = StepRow(
                        sequence: sequences[index], token: token, position: sequences[index].count + offset)
                }
            }
            try model.withStep { () throws(KimiError) in
                try model.step(
                    UnsafeBufferPointer(rebasing: rows[0..<sequences.count * each]),
                    logits: LogitsTarget(logits.baseAddress, rows: sequences.count), precision: precision,
                    cancellation: cancellation)
            }
            for row in 0..<sequences.count * each {
                withUnsafePointer(to: rows[row].token) { sequences[row / each].append(UnsafeBufferPointer(start: $0, count: 1)) }
            }
        }

        /// Switches the counting of all of the model's threads and returns what they have counted.
        func count(_ isOn: Bool) -> Int {
            let threads = model.pool.threads
            var meeting = malloc_count_meeting(wanted: Int32(threads), counts: isOn ? 1 : 0, arrived: 0, total: 0)
            model.pool.run(malloc_count_meet, &meeting, count: threads, grain: 1)
            return meeting.total
        }
    }

    static let models: [(fixture: String, dense: DenseFormat)] = [
        ("tiny-kimi", .stored), ("tiny-kimi", .int8), ("shapes/moonlight", .stored),
    ]

    @Test("a step allocates nothing after warm-up", arguments: [(1, 1), (1, 8), (1, 64), (2, 1), (2, 8), (2, 64)], models.indices)
    func steps(_ run: (threads: Int, size: Int), model: Int) throws {
        let (fixture, dense) = Self.models[model]
        let batch = try Batch(Fixtures.path(fixture), dense: dense, threads: run.threads, size: run.size)
        defer { batch.logits.deallocate() }
        for round in 0..<4 { try batch.step(round) }
        _ = batch.count(true)
        // Over the border of a block of 64 tokens.
        for round in 4..<70 { try batch.step(round) }
        #expect(batch.count(false) == 0)
    }

    @Test(
        "rows with activations of 8 and 16 bits allocate nothing after warm-up", arguments: [(1, 1), (1, 4), (2, 1), (2, 4)],
        [DenseFormat.stored, .int8])
    func prompts(_ run: (threads: Int, size: Int), dense: DenseFormat) throws {
        let batch = try Batch(Fixtures.path("tiny-kimi"), dense: dense, threads: run.threads, size: run.size, each: 12)
        defer { batch.logits.deallocate() }
        for round in 0..<2 { try batch.step(round, precision: .fast) }
        _ = batch.count(true)
        // Over the borders of blocks of 64 tokens, in the midst of a step.
        for round in 2..<16 { try batch.step(round, precision: .fast) }
        #expect(batch.count(false) == 0)
        #expect(batch.model.statistics.fastRows == 16 * 12 * run.size)
    }

    @Test("prompts that are attended expanded allocate nothing after warm-up", arguments: [1, 2])
    func expanded(threads: Int) throws {
        let batch = try Batch(Fixtures.path("tiny-kimi"), dense: .int8, threads: threads, size: 1, each: 200)
        defer { batch.logits.deallocate() }
        for round in 0..<2 { try batch.step(round, precision: .fast) }
        _ = batch.count(true)
        for round in 2..<4 { try batch.step(round, precision: .fast) }
        #expect(batch.count(false) == 0)
    }

    @Test("allocations of every thread are seen", arguments: [1, 2])
    func counting(threads: Int) throws {
        let batch = try Batch(Fixtures.path("tiny-kimi"), dense: .stored, threads: threads, size: 1)
        defer { batch.logits.deallocate() }
        _ = batch.count(true)
        // One for each thread: it meets the others before it ends, so that none takes two.
        var meeting = malloc_count_meeting(wanted: Int32(threads), counts: 1, arrived: 0, total: 0)
        batch.model.pool.run(
            { context, begin, end, worker in
                UnsafeMutableRawPointer.allocate(byteCount: 100, alignment: 8).deallocate()
                malloc_count_meet(context, begin, end, worker)
            }, &meeting, count: threads, grain: 1)
        #expect(meeting.total + batch.count(false) == threads)
    }
}
