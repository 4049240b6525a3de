import KimiCore
import KimiModel

// Giving cache up for others, waiting for theirs, and getting it back; the order is MemoryLine's.
extension Session {
    /// Says how much cache this session holds, for those that look for some.
    func noteBlocks() { member.blocks.store(sequence.heldBlocks, ordering: .relaxed) }

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
        guard sequence.letGo(to: model.prefixes) else { return false }
        statistics.preemptions += 1
        noteBlocks()
        model.line.noteFreed()
        return true
    }

    /// Runs `body` with all latents in the cache; where there is no memory for it, waits for some if the session does, and runs it
    /// again. Within a call.
    func withMemory<T>(_ body: () throws(KimiError) -> T) throws(KimiError) -> T { try retrying(latents: true, body) }

    /// The same for a `body` that takes memory that is not the cache's and needs no latents.
    func withOtherMemory<T>(_ body: () throws(KimiError) -> T) throws(KimiError) -> T { try retrying(latents: false, body) }

    private func retrying<T>(latents: Bool, _ body: () throws(KimiError) -> T) throws(KimiError) -> T {
        defer { model.line.getOn(member) }
        while true {
            let epoch = model.line.epoch
            try giveWay()
            do throws(KimiError) {
                if latents && sequence.cached < sequence.count {
                    try restorePart()
                    continue
                }
                return try body()
            } catch {
                guard member.waits, error.status == .outOfMemory else { throw error }
                noteBlocks()
                try model.line.wait(member, since: epoch, refusal: error)
                try cancellation.check()
            }
        }
    }

    /// Lets go of the cache if another has asked for it, and waits until that one has got on. Whoever calls it tells the line afterwards
    /// that this session has.
    private func giveWay() throws(KimiError) {
        guard member.isAsked.exchange(false, ordering: .relaxed), letGo() else { return }
        while model.line.giveWay(member) { try cancellation.check() }
    }

    /// For one that waits for something else than memory: another may be waiting for what this one holds. Within a call.
    func heedAsk() throws(KimiError) { if member.isAsked.load(ordering: .relaxed) { try restore() } }

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
}
