import Glibc
import KimiCore
import KimiModel

/// The one loop of steps of a model: what sessions want computed at the same time is computed together.
///
/// There is no thread of its own. A session's thread that asks while nobody leads becomes the leader: it takes what waits (`StepChoice`),
/// runs the model's pass for all of it, wakes those whose work is done, and goes on until its own is; then it appoints another that
/// waits. Weights are read once for all rows of a pass, and each expert once for those that chose it.
///
/// A row's bits do not depend on what else is in its pass. Any thread may ask.
package final class StepLoop: @unchecked Sendable {
    // Safe because what is mutable is touched with the mutex locked, or by the leader alone (`pass`, `logits`), of whom there is one.
    private let text: TextModel
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    /// Signalled where the last of those that are expected has come back.
    private let gathered = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var waiting: [StepWork] = []
    private var choice: StepChoice
    private var hasLeader = false
    /// Who generated in the last passes and is likely to be back at once.
    private var expected: [StepWork] = []
    private var lastTicket: UInt64 = 0
    /// What the last pass of generated tokens took, in nanoseconds.
    private var lastPass = 0
    private var counts = Counts()

    // The leader's.
    private var pass: [StepWork] = []
    private var logits: ChargedMemory?
    private var chosen: [Int32] = []

    /// What the loop has done so far.
    package struct Counts: Sendable {
        package fileprivate(set) var passes = 0
        package fileprivate(set) var rows = 0
        /// Works of all passes, and the most of one.
        package fileprivate(set) var works = 0
        package fileprivate(set) var mostWorks = 0
        /// Those that wait at this moment.
        package fileprivate(set) var waiting = 0
        /// Nanoseconds within the model, and between the passes while works waited.
        package fileprivate(set) var stepNanoseconds = 0
        package fileprivate(set) var betweenNanoseconds = 0
    }

    /// How long a waiting thread sleeps before it looks at its cancellation.
    private static let patience = 50_000_000
    /// How long a pass waits for those that are expected back: a quarter of the last one, but time enough for threads to wake up.
    private var gatheringTime: Int { max(lastPass / 4, 500_000) }
    /// Rows of tokens and short prompts together in a pass: beyond that arithmetic, not memory, takes the time.
    private static let cheapRows = 32

    init(_ text: TextModel) {
        self.text = text
        let isExact = text.precision(rows: text.maxRows) == .exact
        choice = StepChoice(
            mostRows: text.maxRows, fastRows: isExact ? .max : Precision.fastRows(text.dense), cheapRows: Self.cheapRows)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(gathered, &attributes)
        pthread_condattr_destroy(&attributes)
        // A step allocates nothing.
        waiting.reserveCapacity(256)
        expected.reserveCapacity(256)
        pass.reserveCapacity(256)
        chosen.reserveCapacity(text.maxRows)
    }

    deinit {
        pthread_cond_destroy(gathered)
        pthread_mutex_destroy(mutex)
        gathered.deallocate()
        mutex.deallocate()
    }

    private func locked<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// Any thread.
    package var report: Counts {
        locked {
            var counts = counts
            counts.waiting = waiting.count
            return counts
        }
    }

    /// Computes a session's work, together with what others want, and returns when it is done.
    ///
    /// - Throws: what the step threw; `cancelled`, with none of the work's rows valid then.
    func run(_ work: StepWork) throws(KimiError) {
        let leads = locked {
            lastTicket += 1
            (work.ticket, work.passed, work.state, work.failure, work.isAppointed) = (lastTicket, 0, .waiting, nil, false)
            work.isPunctual = work.doneAt == 0 || monotonicNanoseconds() &- work.doneAt <= gatheringTime
            waiting.append(work)
            noLongerExpected(work)
            let leads = !hasLeader
            hasLeader = true
            return leads
        }
        if leads { lead(work) } else { follow(work) }
        if let failure = work.failure { throw failure }
    }

    /// A session has ended what it was about; nobody needs to wait for it.
    func leave(_ work: StepWork) { locked { noLongerExpected(work) } }

    private func noLongerExpected(_ work: StepWork) {
        guard work.isExpected else { return }
        work.isExpected = false
        expected.removeAll { $0 === work }
        if expected.isEmpty { pthread_cond_signal(gathered) }
    }

    // MARK: Waiting

    /// Waits until the work is done, was cancelled before it began, or its thread is to lead.
    private func follow(_ work: StepWork) {
        while true {
            work.wait(nanoseconds: Self.patience)
            enum Next { case wait, lead, over }
            let next: Next = locked {
                if work.state == .done { return .over }
                if work.isAppointed { return .lead }
                guard work.state == .waiting, work.cancellation.isRequested else { return .wait }
                withdraw(work)
                return .over
            }
            switch next {
            case .wait: continue
            case .lead: return lead(work)
            case .over: return
            }
        }
    }

    /// Takes back a work that has not begun. With the mutex locked.
    private func withdraw(_ work: StepWork) {
        waiting.removeAll { $0 === work }
        work.state = .done
        work.failure = KimiError(.cancelled, "the call was cancelled")
    }

    // MARK: Leading

    /// Runs passes until the leader's own work is done.
    private func lead(_ own: StepWork) {
        while true {
            let begin = monotonicNanoseconds()
            let isWanted = locked {
                gather()
                for work in waiting where work.cancellation.isRequested {
                    withdraw(work)
                    if work !== own { work.wake() }
                }
                guard own.state == .waiting else {
                    appoint()
                    return false
                }
                choice.choose(from: &waiting, into: &pass)
                return true
            }
            guard isWanted else { return }
            let start = monotonicNanoseconds()
            perform()
            let end = monotonicNanoseconds()
            let isOver = locked {
                account(start: start, end: end, waited: start &- begin)
                for work in pass {
                    work.state = .done
                    work.doneAt = end
                    if work.kind == .decode && work.isPunctual && work.failure == nil {
                        work.isExpected = true
                        expected.append(work)
                    }
                    if work !== own { work.wake() }
                }
                // Before another may lead, whose pass it is then.
                pass.removeAll(keepingCapacity: true)
                guard own.state == .done else { return false }
                appoint()
                return true
            }
            if isOver { return }
        }
    }

    /// Gives those that are expected a moment to come back. Who is late is not expected again before it was in time once. With the
    /// mutex locked.
    private func gather() {
        guard !expected.isEmpty else { return }
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        let nanoseconds = until.tv_nsec + gatheringTime
        (until.tv_sec, until.tv_nsec) = (until.tv_sec + nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
        while !expected.isEmpty, pthread_cond_timedwait(gathered, mutex, &until) == 0 {}
        for work in expected { work.isExpected = false }
        expected.removeAll(keepingCapacity: true)
    }

    /// Has one of those that wait lead on. With the mutex locked.
    private func appoint() {
        guard let next = waiting.min(by: { $0.ticket < $1.ticket }) else { return hasLeader = false }
        next.isAppointed = true
        next.wake()
    }

    private func account(start: Int, end: Int, waited: Int) {
        counts.passes += 1
        counts.rows += pass.reduce(0) { $0 + $1.rows }
        counts.works += pass.count
        counts.mostWorks = max(counts.mostWorks, pass.count)
        counts.stepNanoseconds &+= end &- start
        counts.betweenNanoseconds &+= waited
        if pass.contains(where: { $0.kind == .decode }) { lastPass = end &- start }
    }

    // MARK: A pass

    /// Computes the pass. What fails in company is tried alone, so that a failure stays with the one it belongs to.
    private func perform() {
        if pass.count > 1 {
            do throws(KimiError) { return try compute(pass[...], stop: nil) } catch {}
        }
        for index in pass.indices {
            do throws(KimiError) {
                try compute(pass[index...index], stop: pass[index].cancellation)
            } catch {
                pass[index].failure = error
            }
        }
    }

    /// - Parameter stop: looked at before each layer.
    private func compute(_ works: ArraySlice<StepWork>, stop: Cancellation?) throws(KimiError) {
        let precision = works.allSatisfy { $0.kind == .prompt && !$0.isExact } ? text.precision(rows: works.first?.rows ?? 0) : .exact
        let wanted = works.reduce(0) { $0 + $1.logitsRows }
        // One alone gets its logits where it wants them.
        let target = try works.count == 1 ? works.first?.logits : wanted > 0 ? sharedLogits(rows: wanted) : nil
        try text.withStep(stop) { () throws(KimiError) in
            let rows = place(works)
            try chosen.withUnsafeBufferPointer { list in
                Result { () throws(KimiError) in
                    try text.step(
                        UnsafeBufferPointer(rebasing: text.stepRows[0..<rows]),
                        logits: LogitsTarget(target, rows: list.count, chosen: list.baseAddress), precision: precision,
                        cancellation: stop ?? Self.never)
                }
            }.get()
            let bytes = text.statistics.bytesOfStep
            // Each has its share of what all have read.
            for work in works { (work.bytesRead, work.precision) = (bytes * work.rows / rows, precision) }
        }
        if works.count > 1, var from = target {
            for work in works where work.logitsRows > 0 {
                let floats = work.logitsRows * text.config.vocabularySize
                work.logits?.update(from: from, count: floats)
                from += floats
            }
        }
    }

    private static let never = Cancellation()

    /// Puts the works' rows into the model's, and notes whose logits are wanted; returns how many there are.
    private func place(_ works: ArraySlice<StepWork>) -> Int {
        chosen.removeAll(keepingCapacity: true)
        var row = 0
        for work in works {
            guard let sequence = work.sequence else { continue }
            for (index, id) in work.ids.enumerated() {
                text.stepRows[row + index] = StepRow(sequence: sequence, token: id, position: sequence.cached + index)
            }
            for span in work.media {
                for place in span.range {
                    text.stepRows[row + place] = StepRow(
                        sequence: sequence, token: work.ids[place], position: sequence.cached + place, features: span.row(at: place))
                }
            }
            for index in work.rows - work.logitsRows..<work.rows { chosen.append(Int32(row + index)) }
            row += work.rows
        }
        return row
    }

    /// Room for the logits of several works, which copy theirs.
    private func sharedLogits(rows: Int) throws(KimiError) -> UnsafeMutablePointer<Float> {
        let bytes = rows * text.config.vocabularySize * MemoryLayout<Float>.stride
        if let logits, logits.memory.byteCount >= bytes { return logits.memory.pointer(to: Float.self) }
        logits = nil
        let made = try ChargedMemory(byteCount: bytes, on: text.budget, for: .sessions, what: "logits of a step")
        logits = made
        return made.memory.pointer(to: Float.self)
    }
}
