import KimiChat
import KimiCore

extension ChatRun {
    /// The whole prompt with notes in place of old results, if one of `needed` tokens leaves too little room for an answer of the
    /// usual length and the host's policy says so; nil: nothing was dropped.
    func shortened(needed: Int) throws(KimiError) -> RenderedPrompt? {
        let limit = chat.session.contextLimit
        guard needed >= limit - min(plan.generation.maxTokens ?? .max, limit / 8) else { return nil }
        let drops: Bool = switch options.contextPolicy {
        case .stop: false
        case .dropResults: true
        case .ask(let ask): ask(needed, limit)
        }
        guard drops else { return nil }
        // A quarter of the context is to be free afterwards, so that this does not come again at the next step.
        let target = limit - limit / 4
        let places = messages.indices.filter { messages[$0].droppedResult != nil }
        guard !places.isEmpty else { return nil }
        func rendered(dropping count: Int) throws(KimiError) -> (messages: [ChatMessage], prompt: RenderedPrompt) {
            var kept = messages
            for index in places.prefix(count) { kept[index] = messages[index].droppedResult ?? messages[index] }
            return (kept, try prompt(kept))
        }
        // The fewest that make enough room, by halves: rendering a long conversation takes its time.
        var most = try rendered(dropping: places.count)
        guard most.prompt.ids.count < limit else { return nil }
        var low = 0, high = places.count
        while high - low > 1 {
            let middle = (low + high) / 2
            let found = try rendered(dropping: middle)
            if found.prompt.ids.count <= target { (high, most) = (middle, found) } else { low = middle }
        }
        messages = most.messages
        notice(.resultsDropped, "notes took the place of \(high) old tool results: \(needed) tokens left too little room of \(limit)")
        return most.prompt
    }

    func notice(_ kind: ChatEvent.Notice, _ text: String) { report(ChatEvent(notice: kind, step: step, text)) }
}

extension ChatMessage {
    /// A tool result with a note in place of its content; nil if the note would be no shorter.
    fileprivate var droppedResult: ChatMessage? {
        let pictures = media.isEmpty ? "" : " and \(media.count) pictures or clips"
        let note = "[removed to save context: \(text.utf8.count) bytes\(pictures)]"
        guard role == .tool, note.utf8.count < text.utf8.count || !media.isEmpty else { return nil }
        var message = self
        message.content = .text(note)
        return message
    }
}
