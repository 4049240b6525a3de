import Glibc
import KimiCore
import KimiModel
import Synchronization

/// One sequence of tokens with its cache: what `kimi_session` stands for.
///
/// One call at a time; a second caller gets `Status.busy`. Cancel from any thread.
package final class Session: @unchecked Sendable {
    // Safe because everything mutable is touched only between `enter` and `leave`, which let one thread in; the rest is atomic.
    package let model: Model
    package let cancellation = Cancellation()
    private(set) var sequence: TokenSequence
    /// A token that belongs to the session and is not evaluated yet: the last one of a generation.
    private(set) var pending: Int32?
    /// The logits after the last evaluated token, shared with forks until one of them evaluates.
    private var logits: MappedMemory?
    /// False after a truncation, a load or a failed step: the logits are then computed anew when they are needed.
    private var logitsAreCurrent = false
    private var statistics = Statistics()

    private let state = Atomic<UInt8>(Session.idle)
    private static let idle: UInt8 = 0
    private static let running: UInt8 = 1
    private static let generating: UInt8 = 2
    private let visiblePosition: Atomic<Int>

    package struct Statistics: Sendable {
        package var promptTokens = 0
        package var reusedTokens = 0
        package var generatedTokens = 0
        package var steps = 0
        package var promptNanoseconds: Int64 = 0
        package var generationNanoseconds: Int64 = 0
        package var bytesRead = 0
    }

    /// - Parameter contextLimit: nil for the model's; else 1 to that.
    package init(model: Model, contextLimit: Int? = nil) throws(KimiError) {
        let limit = contextLimit ?? model.contextLimit
        guard (1...model.contextLimit).contains(limit) else {
            throw KimiError(
                .invalidArgument, "context_limit is \(limit); this model allows 1 to \(model.contextLimit)",
                subject: "context_limit")
        }
        self.model = model
        sequence = try TokenSequence(pool: model.text.cache, contextLimit: limit)
        visiblePosition = Atomic(0)
    }

    private init(forking other: Session) throws(KimiError) {
        model = other.model
        sequence = try other.sequence.fork()
        pending = other.pending
        logits = other.logits
        logitsAreCurrent = other.logitsAreCurrent
        statistics.reusedTokens = other.sequence.count
        visiblePosition = Atomic(other.count)
    }

    // MARK: One call at a time

    private func enter(from expected: UInt8) throws(KimiError) {
        let (entered, found) = state.compareExchange(expected: expected, desired: Self.running, ordering: .acquiring)
        guard entered else {
            throw KimiError(.busy, found == Self.generating
                ? "a generation is open on this session; finish or destroy it first"
                : "another call is running on this session")
        }
    }

    /// Runs `body` as this session's one call, and moves to `next` afterwards.
    private func exclusive<T>(
        from expected: UInt8 = Session.idle, to next: UInt8 = Session.idle, _ body: () throws(KimiError) -> T
    ) throws(KimiError) -> T {
        try enter(from: expected)
        defer {
            visiblePosition.store(count, ordering: .relaxed)
            state.store(next, ordering: .releasing)
        }
        return try body()
    }

    /// A call that may be cancelled: an earlier wish does not count against it.
    package func call<T>(_ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        try exclusive { () throws(KimiError) -> T in
            cancellation.clear()
            return try body()
        }
    }

    /// Reserves the session for a generation that is driven by polling.
    func openGeneration() throws(KimiError) {
        try exclusive(to: Self.generating) { cancellation.clear() }
    }

    func callOfGeneration<T>(_ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        try exclusive(from: Self.generating, to: Self.generating, body)
    }

    /// Gives the session free; does nothing unless a generation is open and at rest.
    func closeGeneration() {
        _ = state.compareExchange(expected: Self.generating, desired: Self.idle, ordering: .releasing)
    }

    // MARK: Content

    /// Tokens held, the pending one included. Only within a call; `position` is for any thread.
    var count: Int { sequence.count + (pending == nil ? 0 : 1) }
    var contextLimit: Int { sequence.contextLimit }
    package var position: Int { visiblePosition.load(ordering: .relaxed) }
    package var vocabularySize: Int { model.vocabularySize }

    /// The evaluated ids. Within a call.
    var pastTokens: UnsafeBufferPointer<Int32> { sequence.tokens }

    /// The ids held.
    package func ids() throws(KimiError) -> [Int32] {
        try exclusive { Array(sequence.tokens) + (pending.map { [$0] } ?? []) }
    }

    /// Counts, position and cache bytes at one moment between calls.
    package func snapshot() throws(KimiError) -> (counts: Statistics, position: Int, cacheBytes: Int) {
        try exclusive { (statistics, count, sequence.cacheBytes) }
    }

    package func fork() throws(KimiError) -> Session {
        try exclusive { () throws(KimiError) in try Session(forking: self) }
    }

    package func reset() throws(KimiError) { try truncate(to: 0) }

    /// Keeps the first `length` tokens.
    package func truncate(to length: Int) throws(KimiError) {
        try exclusive { () throws(KimiError) in
            guard (0...count).contains(length) else {
                throw KimiError(.invalidArgument, "position is \(length); the session holds \(count) tokens", subject: "position")
            }
            guard length < count else { return }
            pending = nil
            if length < sequence.count {
                sequence.truncate(to: length)
                logitsAreCurrent = false
            }
        }
    }

    /// Puts a loaded sequence in place of the present one. Within a call.
    func replace(sequence: TokenSequence, pending: Int32?) {
        self.sequence = sequence
        self.pending = pending
        logitsAreCurrent = false
        statistics.reusedTokens += sequence.count
    }

    // MARK: Evaluation

    /// Appends `ids` and computes logits: those of the last token into the session, and into `target` those of all tokens if
    /// `all`, else of the last. Within a call.
    ///
    /// - Parameter target: nil, or room for (all ? ids.count : 1) * vocabulary floats.
    /// - Parameter progress: tokens done after each step.
    package func evaluate(
        _ ids: UnsafeBufferPointer<Int32>, all: Bool = false, into target: UnsafeMutablePointer<Float>? = nil,
        generating: Bool = false, progress: ((Int) throws(KimiError) -> Void)? = nil
    ) throws(KimiError) {
        try checkIDs(ids)
        guard ids.count <= contextLimit - count else {
            throw KimiError(
                .contextFull,
                "the session holds \(count) tokens and \(ids.count) more would pass its context limit of \(contextLimit)")
        }
        try settlePending(generating: generating)
        var done = 0
        while done < ids.count {
            let chunk = UnsafeBufferPointer(rebasing: ids[done..<min(done + model.text.maxRows, ids.count)])
            let isLast = done + chunk.count == ids.count
            if all, let target {
                try step(chunk, into: target + done * vocabularySize, rows: chunk.count, generating: generating)
                if isLast { try keepLogits(target + (ids.count - 1) * vocabularySize) }
            } else {
                let own = try isLast ? ownLogits() : nil
                try step(chunk, into: own, rows: own == nil ? 0 : 1, generating: generating)
                if isLast, let own, let target { target.update(from: own, count: vocabularySize) }
            }
            done += chunk.count
            try progress?(done)
        }
    }

    private func checkIDs(_ ids: UnsafeBufferPointer<Int32>) throws(KimiError) {
        for (index, id) in ids.enumerated() where id < 0 || Int(id) >= vocabularySize {
            throw KimiError(
                .invalidArgument, "token \(index) has id \(id); ids are 0 to \(vocabularySize - 1)", subject: "ids")
        }
    }

    /// Evaluates the pending token, if there is one.
    private func settlePending(generating: Bool) throws(KimiError) {
        guard let id = pending else { return }
        // It leaves `pending` before the step, so that `count` stays right whether the step succeeds or not.
        pending = nil
        do {
            try withUnsafePointer(to: id) { pointer in
                Result { () throws(KimiError) in
                    try step(UnsafeBufferPointer(start: pointer, count: 1), into: try ownLogits(), rows: 1, generating: generating)
                }
            }.get()
        } catch {
            pending = id
            throw error
        }
    }

    /// Accepts a generated token, to be evaluated when its logits are needed. Within a call.
    func accept(_ id: Int32) {
        pending = id
        statistics.generatedTokens += 1
    }

    /// The logits after the last token held, computed if they are not at hand. Within a call.
    ///
    /// - Throws: `invalidArgument` if the session is empty.
    func currentLogits() throws(KimiError) -> UnsafePointer<Float> {
        if pending != nil { try settlePending(generating: true) }
        if !logitsAreCurrent {
            guard let last = sequence.tokens.last else {
                throw KimiError(.invalidArgument, "there is nothing to go on from: the session and the prompt are empty", subject: "ids")
            }
            // After a truncation or a load: the last token is evaluated again, to the same bits.
            sequence.truncate(to: sequence.count - 1)
            pending = last
            try settlePending(generating: true)
        }
        guard let logits else { throw KimiError(.internal, "no logits after an evaluation") }
        return UnsafePointer(logits.pointer(to: Float.self))
    }

    /// This session's logits, to be written: a new buffer if the present one is shared with a fork.
    private func ownLogits() throws(KimiError) -> UnsafeMutablePointer<Float> {
        if logits == nil || !isKnownUniquelyReferenced(&logits) {
            logits = try MappedMemory(byteCount: vocabularySize * MemoryLayout<Float>.stride, what: "logits")
        }
        guard let logits else { throw KimiError(.internal, "no room for logits") }
        return logits.pointer(to: Float.self)
    }

    private func keepLogits(_ source: UnsafePointer<Float>) throws(KimiError) {
        try ownLogits().update(from: source, count: vocabularySize)
        logitsAreCurrent = true
    }

    /// One step of at most `maxRows` tokens.
    private func step(
        _ ids: UnsafeBufferPointer<Int32>, into logits: UnsafeMutablePointer<Float>?, rows: Int, generating: Bool
    ) throws(KimiError) {
        try cancellation.check()
        try sequence.prepare(ids.count)
        let begin = Self.now()
        do {
            try model.text.withStep { () throws(KimiError) in
                let batch = model.text.stepRows
                for index in 0..<ids.count {
                    batch[index] = StepRow(sequence: sequence, token: ids[index], position: sequence.count + index)
                }
                try model.text.step(
                    UnsafeBufferPointer(rebasing: batch[0..<ids.count]),
                    logits: LogitsTarget(logits, rows: rows), cancellation: cancellation)
                statistics.bytesRead += model.text.statistics.bytesOfStep
            }
        } catch {
            logitsAreCurrent = false
            throw error
        }
        sequence.append(ids)
        visiblePosition.store(count, ordering: .relaxed)
        logitsAreCurrent = logits != nil
        statistics.steps += 1
        if generating {
            statistics.generationNanoseconds += Self.now() - begin
        } else {
            statistics.promptTokens += ids.count
            statistics.promptNanoseconds += Self.now() - begin
        }
    }

    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
