import CKimiKernels
import KimiModel
import KimiTopology

/// A step of a stage, which reads what the step before made of the same rows.
struct TowerStep {
    /// Takes some rows, groups of `TowerBatch.unit`, through the step.
    fileprivate let take: (_ rows: Range<Int>, _ worker: Int) -> Void
    /// All threads take all rows through it.
    fileprivate let share: (_ rows: Int, _ pool: WorkerPool) -> Void
    /// Whether a thread is fast with `CK_TILE_PASS_ROWS` rows of its own.
    fileprivate let isForSpans: Bool

    /// What is done to a group of `TowerBatch.unit` rows by itself.
    static func rows(_ body: @escaping (_ group: Int, _ worker: Int) -> Void) -> TowerStep {
        TowerStep(
            take: { rows, worker in
                for group in rows.lowerBound / TowerBatch.unit..<rows.upperBound / TowerBatch.unit { body(group, worker) }
            },
            share: { rows, pool in
                var job = body
                pool.run(takeGroups, &job, count: rows / TowerBatch.unit, grain: 1)
            }, isForSpans: true)
    }

    static func product(_ job: TowerProductJob) -> TowerStep {
        TowerStep(
            take: { rows, worker in job.compute(rows, worker: worker) }, share: { _, pool in job.run(on: pool) },
            isForSpans: job.product.packed != nil)
    }
}

/// Some steps of some rows.
///
/// With tiles, and rows enough for all threads, a thread takes `CK_TILE_PASS_ROWS` of them through all steps: what one makes is in
/// its cache for the next, and threads, of which neighbours may slow one, wait for each other once. Else all threads share each
/// step.
struct TowerSteps {
    let steps: [TowerStep]
    let rows: Int

    /// Rows that a thread takes through.
    private static let span = Int(CK_TILE_PASS_ROWS)
    /// So many spans a thread that they end at about the same time.
    private static let spansOfThread = 4

    func run(on pool: WorkerPool) {
        let spans = (rows + Self.span - 1) / Self.span
        if steps.allSatisfy(\.isForSpans), spans >= Self.spansOfThread * pool.threads {
            var job = self
            pool.run(takeSpans, &job, count: spans, grain: 1)
            return
        }
        for step in steps { step.share(rows, pool) }
    }

    fileprivate func take(span: Int, worker: Int) {
        let range = span * Self.span..<min((span + 1) * Self.span, rows)
        for step in steps { step.take(range, worker) }
    }
}

// What the workers run. Each is safe because the function above passes exactly this type and waits for the job.

private func takeSpans(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let job = context?.assumingMemoryBound(to: TowerSteps.self).pointee else { return }
    for span in begin..<end { job.take(span: span, worker: worker) }
}

private func takeGroups(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let body = context?.assumingMemoryBound(to: ((Int, Int) -> Void).self).pointee else { return }
    for group in begin..<end { body(group, worker) }
}
