import KimiCore
import KimiModel

// Tokens through the model, step by step.
extension Session {
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
                    try heedAsk()
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
            if own != nil, chunk.count > 1, let tree = model.prefixes { sequence.offerPart(to: tree) }
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
        if model.text.rounds(work.precision) { statistics.fastRows += ids.count } else { statistics.exactRows += ids.count }
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
