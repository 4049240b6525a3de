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
    private var logits: ChargedMemory?
    /// False after a truncation, a load or a failed step: the logits are then computed anew when they are needed.
    private var logitsAreCurrent = false
    private var statistics = Statistics()

    /// What it has the model's loop compute.
    private let work: StepWork
    /// How those see it that look for memory.
    private let member: MemoryLine.Member

    private let occupancy = Mutex(Occupancy())
    private let visiblePosition: Atomic<Int>

    package struct Statistics: Sendable {
        package var promptTokens = 0
        package var reusedTokens = 0
        package var generatedTokens = 0
        package var steps = 0
        package var promptNanoseconds: Int64 = 0
        package var generationNanoseconds: Int64 = 0
        package var bytesRead = 0
        /// Tokens evaluated on the exact path, and on the fast one.
        package var exactRows = 0
        package var fastRows = 0
        /// Of the prompt's tokens, those of pictures and clips.
        package var mediaTokens = 0
        /// Pictures, and chunks of clips, that prompts had beyond what the cache held: those that the tower saw, and those
        /// whose features were at hand.
        package var mediaEncoded = 0
        package var mediaReused = 0
        /// How often the cache was given up for other sessions, and tokens that were evaluated again for it.
        package var preemptions = 0
        package var restoredTokens = 0
    }

    /// What a session does that finds no memory for its next tokens.
    package enum Shortage: Int32, Sendable {
        /// Its call fails, and it is as it was.
        case fail = 0
        /// It waits until another gives memory up, and gives up its own cache for those that came before, or whenever it does not compute;
        /// what it gave up is evaluated again, to the same bits, before it goes on.
        case wait = 1
    }

    /// Of sessions that compute at the same time, those of higher priority go first.
    package static let priorityRange = -100...100

    /// - Parameter contextLimit: nil for the model's; else 1 to that.
    /// - Throws: `invalidArgument`; `outOfMemory` for a context whose cache would never fit.
    package init(
        model: Model, contextLimit: Int? = nil, priority: Int = 0, onShortage: Shortage = .fail
    ) throws(KimiError) {
        guard Self.priorityRange.contains(priority) else {
            throw KimiError(.invalidArgument, "priority is \(priority); it must be -100 to 100", subject: "priority")
        }
        let limit = contextLimit ?? model.contextLimit
        guard (1...model.contextLimit).contains(limit) else {
            throw KimiError(
                .invalidArgument, "context_limit is \(limit); this model allows 1 to \(model.contextLimit)",
                subject: "context_limit")
        }
        // A limit that was asked for is to be of use; of the default nothing is reserved.
        if let contextLimit { try model.text.checkContext(contextLimit) }
        self.model = model
        work = StepWork(cancellation: cancellation, priority: priority)
        member = MemoryLine.Member(priority: priority, waits: onShortage == .wait)
        sequence = try TokenSequence(pool: model.text.cache, contextLimit: limit)
        visiblePosition = Atomic(0)
        model.line.join(member, self)
    }

    private init(forking other: Session) throws(KimiError) {
        model = other.model
        work = StepWork(cancellation: cancellation, priority: other.work.priority)
        member = MemoryLine.Member(priority: other.member.priority, waits: other.member.waits)
        sequence = try other.sequence.fork()
        pending = other.pending
        logits = other.logits
        logitsAreCurrent = other.logitsAreCurrent
        statistics.reusedTokens = other.count
        visiblePosition = Atomic(other.count)
        model.line.join(member, self)
        noteBlocks()
    }

    deinit {
        rest()
        model.line.leave(member)
    }

    /// A generation is complete, or the session is: others need not wait for it any more, and may go on from what it made. Within a
    /// call.
    package func rest() {
        model.loop.leave(work)
        offer()
    }

    /// Leaves its full blocks to others.
    private func offer() {
        if let tree = model.prefixes { sequence.offer(to: tree) }
    }

    // MARK: One call at a time

    /// Which generation that is driven by polling is meant; tickets are not used twice.
    package typealias GenerationTicket = UInt64

    private struct Occupancy {
        var isRunning = false
        /// It lets go of its cache for another: nobody's call, and soon over.
        var isLettingGo = false
        /// The open generation: only its calls may enter.
        var generation: GenerationTicket?
        var lastTicket: GenerationTicket = 0
    }

    /// Lets one call in, if it is of the open generation or none is open.
    ///
    /// - Parameter renewing: whether an earlier wish to cancel does not count against this call.
    private func enter(as ticket: GenerationTicket?, renewing: Bool) throws(KimiError) {
        var refusal: KimiError?
        while occupancy.withLock({ occupancy in
            // For another, and soon over.
            if occupancy.isLettingGo { return true }
            refusal = enter(&occupancy, as: ticket, renewing: renewing)
            return false
        }) { usleep(100) }
        if let refusal { throw refusal }
        if renewing { model.line.renew(member) }
    }

    private func enter(_ occupancy: inout Occupancy, as ticket: GenerationTicket?, renewing: Bool) -> KimiError? {
        if let ticket, occupancy.generation != ticket { return KimiError(.invalidHandle, "the generation was destroyed") }
        if occupancy.isRunning { return KimiError(.busy, "another call is running on this session") }
        if occupancy.generation != ticket {
            return KimiError(.busy, "a generation is open on this session; finish or destroy it first")
        }
        occupancy.isRunning = true
        if renewing { cancellation.clear() }
        return nil
    }

    /// Runs `body` as this session's one call.
    private func exclusive<T>(
        as ticket: GenerationTicket? = nil, renewing: Bool = false, _ body: () throws(KimiError) -> T
    ) throws(KimiError) -> T {
        try enter(as: ticket, renewing: renewing)
        defer {
            visiblePosition.store(count, ordering: .relaxed)
            noteBlocks()
            occupancy.withLock { $0.isRunning = false }
            // What holds memory without computing is somebody else's to take.
            model.line.noteFreed()
        }
        return try body()
    }

    /// A call that may be cancelled: an earlier wish does not count against it.
    package func call<T>(_ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        try exclusive(renewing: true, body)
    }

    /// Reserves the session for a generation that is driven by polling.
    package func openGeneration() throws(KimiError) -> GenerationTicket {
        try exclusive(renewing: true) {
            occupancy.withLock { occupancy in
                occupancy.lastTicket += 1
                occupancy.generation = occupancy.lastTicket
                return occupancy.lastTicket
            }
        }
    }

    package func call<T>(of ticket: GenerationTicket, _ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        try exclusive(as: ticket, body)
    }

    /// Gives the session free, at once or when the generation's running call ends; does nothing if another one is open, or none.
    ///
    /// - Parameter cancelling: whether its running call is to stop.
    package func close(_ ticket: GenerationTicket, cancelling: Bool = false) {
        occupancy.withLock { occupancy in
            guard occupancy.generation == ticket else { return }
            occupancy.generation = nil
            if cancelling && occupancy.isRunning { cancellation.request() }
        }
    }

    // MARK: Memory

    /// Says how much cache this session holds, for those that look for some.
    private func noteBlocks() { member.blocks.store(sequence.heldBlocks, ordering: .relaxed) }

    /// Whether a call runs. Any thread.
    var isComputing: Bool { occupancy.withLock { $0.isRunning } }

    /// Lets go of the cache for another session, unless a call runs. Any thread.
    ///
    /// - Returns: whether that gave something up; nil: a call runs.
    func letGoIfIdle() -> Bool? {
        let mayLetGo = occupancy.withLock { occupancy in
            guard !occupancy.isRunning && !occupancy.isLettingGo else { return false }
            occupancy.isLettingGo = true
            return true
        }
        guard mayLetGo else { return nil }
        defer { occupancy.withLock { $0.isLettingGo = false } }
        return letGo()
    }

    /// Gives up what can be evaluated again. Within a call, or in the place of one.
    @discardableResult
    private func letGo() -> Bool {
        defer { noteBlocks() }
        guard sequence.letGo(to: model.prefixes) else { return false }
        statistics.preemptions += 1
        return true
    }

    /// Runs `body` with all latents in the cache; where there is no memory for it, waits for some if the session does, and runs it
    /// again. Within a call.
    private func withMemory<T>(_ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        while true {
            if member.isAsked.exchange(false, ordering: .relaxed) {
                letGo()
                model.line.noteFreed()
            }
            do throws(KimiError) {
                if sequence.cached < sequence.count {
                    try restorePart()
                    continue
                }
                return try body()
            } catch {
                guard member.waits, error.status == .outOfMemory else { throw error }
                noteBlocks()
                try model.line.wait(member, refusal: error)
                try cancellation.check()
            }
        }
    }

    /// Runs `body`, which takes memory that is not the cache's; waits for some if the session does. Any thread.
    func withOtherMemory<T>(_ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        while true {
            do throws(KimiError) { return try body() } catch {
                guard member.waits, error.status == .outOfMemory else { throw error }
                try model.line.wait(member, refusal: error)
            }
        }
    }

    /// Sees to it that all latents are in the cache. Within a call.
    func restore() throws(KimiError) { try withMemory {} }

    /// Gets back latents that were given up: those that are still among the prefixes, or a step of the rest, as they were computed.
    private func restorePart() throws(KimiError) {
        if let tree = model.prefixes { sequence.takeBack(from: tree) }
        guard let lost = sequence.lost else { return sequence.restore(0) }
        let most = lost.precision == .exact ? model.text.maxRows : model.text.chunk(of: lost.ids.count)
        let part = UnsafeBufferPointer(rebasing: lost.ids.prefix(most))
        try cancellation.check()
        try sequence.prepare(part.count)
        let begin = monotonicNanoseconds()
        (work.kind, work.ids, work.sequence, work.isExact) = (.prompt, part, sequence, lost.precision == .exact)
        (work.logits, work.logitsRows) = (nil, 0)
        defer { (work.sequence, work.isExact) = (nil, false) }
        try model.loop.run(work)
        sequence.restore(part.count)
        noteBlocks()
        statistics.restoredTokens += part.count
        statistics.bytesRead += work.bytesRead
        statistics.steps += 1
        statistics.promptNanoseconds += Int64(monotonicNanoseconds() - begin)
    }

    // MARK: Content

    /// Tokens held, the pending one included. Only within a call; `position` is for any thread.
    package var count: Int { sequence.count + (pending == nil ? 0 : 1) }
    package var contextLimit: Int { sequence.contextLimit }
    package var position: Int { visiblePosition.load(ordering: .relaxed) }
    package var vocabularySize: Int { model.vocabularySize }

    /// The evaluated ids, and which of them are pictures. Within a call.
    var pastTokens: UnsafeBufferPointer<Int32> { sequence.tokens }
    var pastMedia: [MediaMark] { sequence.media }

    /// Tokens of pictures and clips among those held. Within a call.
    package var heldMediaTokens: Int { sequence.media.reduce(0) { $0 + $1.count } }

    /// Counts media that became features for a prompt of this session. Within a call.
    package func noteMedia(encoded: Int, reused: Int) {
        statistics.mediaEncoded += encoded
        statistics.mediaReused += reused
    }

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

    /// Keeps the first `length` tokens. In the midst of a picture its first rows stay, and the same prompt goes on from there.
    package func truncate(to length: Int) throws(KimiError) {
        try exclusive { () throws(KimiError) in
            guard (0...count).contains(length) else {
                throw KimiError(.invalidArgument, "position is \(length); the session holds \(count) tokens", subject: "position")
            }
            keep(first: length)
        }
    }

    /// Forgets all but the first `length` tokens. Within a call.
    private func keep(first length: Int) {
        guard length < count else { return }
        offer()
        pending = nil
        if length < sequence.count {
            sequence.truncate(to: length)
            logitsAreCurrent = false
        }
    }

    /// Forgets what a prompt does not begin with, and takes over what others have left of it; returns how many of its tokens are
    /// held then. Within a call.
    ///
    /// - Parameter media: the pictures of the prompt, in rising order. The ids of two pictures of one size are the same, so
    ///   their digests are compared.
    package func keep(prefixOf ids: [Int32], media: [MediaMark] = []) -> Int {
        var common = 0
        let held = sequence.tokens
        while common < min(held.count, ids.count), held[common] == ids[common] { common += 1 }
        common = MediaMark.commonPrefix(sequence.media, media, of: common)
        // A token that was generated is text, whatever its id.
        if let pending, common == held.count, common < ids.count, ids[common] == pending,
            !media.contains(where: { ($0.start..<$0.end).contains(common) })
        { common += 1 }
        keep(first: common)
        guard let tree = model.prefixes, pending == nil else { return common }
        let adopted = sequence.adopt(from: tree, prompt: ids, media: media, exactly: isExact(promptOf: ids.count))
        noteAdopted(adopted)
        return common + adopted
    }

    /// Whether a prompt of so many tokens would be evaluated exactly by a session of its own. What is exact must not depend on what
    /// others have left, so it takes over nothing else.
    func isExact(promptOf tokens: Int) -> Bool { model.text.precision(rows: model.text.chunk(of: tokens)) == .exact }

    private func noteAdopted(_ tokens: Int) {
        guard tokens > 0 else { return }
        logitsAreCurrent = false
        statistics.reusedTokens += tokens
        visiblePosition.store(count, ordering: .relaxed)
    }

    /// Puts a loaded sequence in place of the present one. Within a call.
    func replace(sequence: TokenSequence, pending: Int32?) {
        self.sequence = sequence
        self.pending = pending
        logitsAreCurrent = false
        statistics.reusedTokens += count
    }

    // MARK: Evaluation

    /// Appends `ids` and computes logits: those of the last token into the session, and into `target` those of all tokens if
    /// `all`, else of the last. Within a call.
    ///
    /// - Parameter media: what stands at some of the ids' places, whose ids say nothing then; in rising order.
    /// - Parameter target: nil, or room for (all ? ids.count : 1) * vocabulary floats.
    /// - Throws: `outOfMemory`, with the session's tokens as before; another error leaves those of the steps that were done.
    package func evaluate(
        _ ids: UnsafeBufferPointer<Int32>, media: [MediaSpan] = [], all: Bool = false,
        into target: UnsafeMutablePointer<Float>? = nil
    ) throws(KimiError) {
        guard !ids.isEmpty else { return }
        try checkIDs(ids)
        try check(media, within: ids.count)
        guard ids.count <= contextLimit - count else {
            throw KimiError(
                .contextFull,
                "the session holds \(count) tokens and \(ids.count) more would pass its context limit of \(contextLimit)")
        }
        try withMemory { () throws(KimiError) in try checkMemory(for: ids.count) }
        let before = count
        do throws(KimiError) {
            try settlePending(withLogits: false)
            try evaluateChunks(ids, media, all: all, into: target)
        } catch {
            // What was asked for does not fit, so others may as well have what it took.
            if error.status == .outOfMemory { keep(first: before) }
            throw error
        }
    }

    /// Evaluates the beginning of what is left of a prompt: one step, or what others have left of it. Within a call.
    ///
    /// - Parameters:
    ///   - rest: valid ids, with `media` at some of their places.
    ///   - exactly: whether what others left must have been computed exactly; see `isExact`.
    ///   - isFirst: whether it is the whole prompt, for which there must be memory.
    /// - Returns: how many tokens that was, of which `reused` were not evaluated.
    /// - Throws: as `evaluate`.
    func evaluateNext(
        _ rest: UnsafeBufferPointer<Int32>, media: [MediaSpan], exactly: Bool, isFirst: Bool
    ) throws(KimiError) -> (done: Int, reused: Int) {
        let before = count
        do throws(KimiError) {
            try check(media, within: rest.count)
            if isFirst {
                guard rest.count <= contextLimit - count else {
                    throw KimiError(
                        .contextFull,
                        "the session holds \(count) tokens and a prompt of \(rest.count) would pass its context limit of \(contextLimit)")
                }
                let adopted = pending == nil ? adopt(rest, media, exactly: exactly, isFirst: true) : 0
                // The whole prompt must fit, or none of it is evaluated.
                try withMemory { () throws(KimiError) in try checkMemory(for: rest.count - adopted) }
                if adopted > 0 { return (adopted, adopted) }
            }
            try settlePending(withLogits: false)
            return try evaluateChunk(rest, media, exactly: exactly, isFirst: isFirst)
        } catch {
            if error.status == .outOfMemory { keep(first: before) }
            throw error
        }
    }

    /// Whether there is memory for `more` tokens at this moment. Within a call.
    ///
    /// - Throws: `outOfMemory`; nothing has changed then.
    private func checkMemory(for more: Int) throws(KimiError) {
        try sequence.checkRoom(for: more + (pending == nil ? 0 : 1))
    }

    private func evaluateChunks(
        _ ids: UnsafeBufferPointer<Int32>, _ media: [MediaSpan], all: Bool, into target: UnsafeMutablePointer<Float>?
    ) throws(KimiError) {
        let exactly = isExact(promptOf: ids.count)
        var done = 0
        while done < ids.count {
            let rest = UnsafeBufferPointer(rebasing: ids[done...])
            if all, let target {
                let chunk = UnsafeBufferPointer(rebasing: rest.prefix(model.text.chunk(of: rest.count)))
                try step(chunk, media.cut(to: done..<done + chunk.count), into: target + done * vocabularySize, rows: chunk.count)
                done += chunk.count
                if done == ids.count { try keepLogits(target + (ids.count - 1) * vocabularySize) }
            } else {
                done += try evaluateChunk(rest, media.cut(to: done..<ids.count), exactly: exactly, isFirst: done == 0).done
                if done == ids.count, let target, let logits {
                    target.update(from: logits.memory.pointer(to: Float.self), count: vocabularySize)
                }
            }
        }
    }

    /// Takes over what others have left of a prompt's rest, or evaluates a step of it; waits while somebody else evaluates the same.
    private func evaluateChunk(
        _ rest: UnsafeBufferPointer<Int32>, _ media: [MediaSpan], exactly: Bool, isFirst: Bool
    ) throws(KimiError) -> (done: Int, reused: Int) {
        var isFirst = isFirst
        while true {
            let adopted = adopt(rest, media, exactly: exactly, isFirst: isFirst)
            if adopted > 0 { return (adopted, adopted) }
            isFirst = false
            let chunk = UnsafeBufferPointer(rebasing: rest.prefix(model.text.chunk(of: rest.count)))
            let inChunk = media.cut(to: 0..<chunk.count)
            var number: UInt64?
            if let tree = model.prefixes {
                switch sequence.claim(in: tree, chunk, spans: inChunk) {
                case .nothing: break
                case .own(let own): number = own
                case .others:
                    try cancellation.check()
                    continue
                }
            }
            defer { if let number { model.prefixes?.claims.release(number) } }
            // What became full between the question and the claim.
            if number != nil, case let adopted = adopt(rest, media, exactly: exactly, isFirst: false), adopted > 0 {
                return (adopted, adopted)
            }
            let own = chunk.count == rest.count ? try withMemory(ownLogits) : nil
            try step(chunk, inChunk, into: own, rows: own == nil ? 0 : 1)
            logitsAreCurrent = own != nil
            return (chunk.count, 0)
        }
    }

    private func adopt(_ rest: UnsafeBufferPointer<Int32>, _ media: [MediaSpan], exactly: Bool, isFirst: Bool) -> Int {
        guard let tree = model.prefixes else { return 0 }
        let adopted = sequence.adopt(from: tree, rest, spans: media, exactly: exactly, counting: isFirst)
        noteAdopted(adopted)
        return adopted
    }

    private func checkIDs(_ ids: UnsafeBufferPointer<Int32>) throws(KimiError) {
        for (index, id) in ids.enumerated() where id < 0 || Int(id) >= vocabularySize {
            throw KimiError(
                .invalidArgument, "token \(index) has id \(id); ids are 0 to \(vocabularySize - 1)", subject: "ids")
        }
    }

    private func check(_ media: [MediaSpan], within count: Int) throws(KimiError) {
        var end = 0
        for span in media {
            // The first rows of a picture are missing only where the session has them.
            let continues = span.start == 0 && pending == nil && sequence.endsInMedia
                && sequence.media.last.map { $0.digest == span.features.digest && $0.count == span.rows.lowerBound } == true
            guard span.start >= end, !span.rows.isEmpty, span.range.upperBound <= count, span.rows.lowerBound == 0 || continues,
                span.features.width == model.text.config.hiddenSize
            else {
                throw KimiError(
                    .invalidArgument,
                    "features of \(span.features.tokens) tokens, \(span.features.width) wide, do not fit at place \(span.start) of \(count)",
                    subject: "media")
            }
            end = span.range.upperBound
        }
    }

    /// Evaluates the pending token, if there is one.
    private func settlePending(withLogits: Bool) throws(KimiError) {
        guard let id = pending else { return }
        // It leaves `pending` before the step, so that `count` stays right whether the step succeeds or not.
        pending = nil
        do {
            let own = withLogits ? try withMemory(ownLogits) : nil
            try withUnsafePointer(to: id) { pointer in
                Result { () throws(KimiError) in
                    try step(UnsafeBufferPointer(start: pointer, count: 1), into: own, rows: own == nil ? 0 : 1, generating: true)
                }
            }.get()
            logitsAreCurrent = withLogits
        } catch {
            pending = id
            throw error
        }
    }

    /// Accepts a generated token, to be evaluated when its logits are needed. Within a call.
    func accept(_ id: Int32) {
        pending = id
        statistics.generatedTokens += 1
        visiblePosition.store(count, ordering: .relaxed)
    }

    /// The logits after the last token held, computed if they are not at hand. Within a call.
    ///
    /// - Throws: `invalidArgument` if the session is empty.
    func currentLogits() throws(KimiError) -> UnsafePointer<Float> {
        try settlePending(withLogits: true)
        if !logitsAreCurrent {
            guard let last = sequence.tokens.last else {
                throw KimiError(.invalidArgument, "there is nothing to go on from: the session and the prompt are empty", subject: "ids")
            }
            if sequence.endsInMedia, let cut = sequence.media.last {
                throw KimiError(
                    .invalidArgument,
                    "the session was cut in a picture, its tokens \(cut.start) to \(cut.end - 1); go on with a token, or cut it to \(cut.start)",
                    subject: "position")
            }
            // After a truncation or a load: the last token is evaluated again, to the same bits.
            sequence.truncate(to: sequence.count - 1)
            pending = last
            try settlePending(withLogits: true)
        }
        guard let logits else { throw KimiError(.internal, "no logits after an evaluation") }
        return UnsafePointer(logits.memory.pointer(to: Float.self))
    }

    /// This session's logits, to be written: a new buffer if the present one is shared with a fork.
    private func ownLogits() throws(KimiError) -> UnsafeMutablePointer<Float> {
        if logits == nil || !isKnownUniquelyReferenced(&logits) {
            logits = try ChargedMemory(
                byteCount: vocabularySize * MemoryLayout<Float>.stride, on: model.text.budget, for: .sessions, what: "logits")
        }
        guard let logits else { throw KimiError(.internal, "no room for logits") }
        return logits.memory.pointer(to: Float.self)
    }

    private func keepLogits(_ source: UnsafePointer<Float>) throws(KimiError) {
        try ownLogits().update(from: source, count: vocabularySize)
        logitsAreCurrent = true
    }

    /// One step of at most `maxRows` tokens. Whoever calls it says afterwards whether the session's logits are current: before
    /// and after a failure they are not, since `logits` may be half written, or another buffer.
    private func step(
        _ ids: UnsafeBufferPointer<Int32>, _ media: [MediaSpan] = [], into logits: UnsafeMutablePointer<Float>?, rows: Int,
        generating: Bool = false
    ) throws(KimiError) {
        logitsAreCurrent = false
        try cancellation.check()
        try withMemory { () throws(KimiError) in try sequence.prepare(ids.count) }
        noteBlocks()
        let begin = monotonicNanoseconds()
        (work.kind, work.ids, work.media, work.sequence) = (generating ? .decode : .prompt, ids, media, sequence)
        (work.logits, work.logitsRows) = (logits, rows)
        // Rows point into the features.
        defer { (work.media, work.sequence) = ([], nil) }
        try model.loop.run(work)
        statistics.bytesRead += work.bytesRead
        switch work.precision {
        case .exact: statistics.exactRows += ids.count
        case .fast: statistics.fastRows += ids.count
        }
        let first = sequence.count
        sequence.append(ids, work.precision)
        for span in media {
            sequence.note(
                media: span.features.digest, start: first + span.start, count: span.rows.count, continues: span.rows.lowerBound > 0)
            statistics.mediaTokens += span.rows.count
        }
        // A single token allocates nothing: what those make is left when the session rests or has another prompt.
        if ids.count > 1 { offer() }
        visiblePosition.store(count, ordering: .relaxed)
        statistics.steps += 1
        if generating {
            statistics.generationNanoseconds += Int64(monotonicNanoseconds() - begin)
        } else {
            statistics.promptTokens += ids.count
            statistics.promptNanoseconds += Int64(monotonicNanoseconds() - begin)
        }
    }
}
