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
    var sequence: TokenSequence
    /// A token that belongs to the session and is not evaluated yet: the last one of a generation.
    var pending: Int32?
    /// The logits after the last evaluated token, shared with forks until one of them evaluates.
    var logits: ChargedMemory?
    /// False after a truncation, a load, a failed step or a generation: the logits are then computed anew when they are needed.
    var logitsAreCurrent = false
    var statistics = Statistics()

    /// What it has the model's loop compute.
    let work: StepWork
    /// How those see it that look for memory.
    let member: MemoryLine.Member

    let occupancy = Mutex(Occupancy())
    let visiblePosition: Atomic<Int>

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
        letGoOfLogits()
    }

    /// An idle session is little beside its cache; the last token is evaluated again, to the same bits, if one goes on from there
    /// without another. Not where that is a picture's.
    private func letGoOfLogits() {
        guard !sequence.endsInMedia else { return }
        logits = nil
        logitsAreCurrent = false
    }

    /// Leaves its full blocks to others.
    func offer() {
        if let tree = model.prefixes { sequence.offer(to: tree) }
    }

    // MARK: One call at a time

    /// Which generation that is driven by polling is meant; tickets are not used twice.
    package typealias GenerationTicket = UInt64

    struct Occupancy {
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

    // MARK: Content

    /// Tokens held, the pending one included. Only within a call; `position` is for any thread.
    package var count: Int { sequence.count + (pending == nil ? 0 : 1) }
    package var contextLimit: Int { sequence.contextLimit }
    package var position: Int { visiblePosition.load(ordering: .relaxed) }
    package var vocabularySize: Int { model.vocabularySize }
    package var onShortage: Shortage { member.waits ? .wait : .fail }

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
    func keep(first length: Int) {
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

    func noteAdopted(_ tokens: Int) {
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
}
