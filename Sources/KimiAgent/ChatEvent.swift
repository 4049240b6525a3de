import KimiRuntime

/// What a turn reports; see `kimi_chat_event` in kimi.h.
package struct ChatEvent: Sendable {
    package enum Kind: Int32, Sendable {
        case start = 1
        case prompt = 2
        case reasoning = 3
        case content = 4
        case callBegin = 5
        case callArguments = 6
        case callEnd = 7
        case callRejected = 8
        case resultNeeded = 9
        case result = 10
        case notice = 11
        case finish = 12
        case media = 13
    }

    package enum Notice: Int32, Sendable {
        case ignoredField = 1
        case schema = 2
        case reasoningBudget = 3
        case context = 4
        case resultsDropped = 5
        case mode = 6
        case unanswered = 7
    }

    package enum Finish: Int32, Sendable {
        case stop = 1
        case length = 2
        case context = 3
        case cancelled = 4
        case toolCalls = 5
        case steps = 6
    }

    package var kind: Kind
    package var step: Int
    /// The number of the call in the request, or nil if the event is of no call.
    package var call: Int?
    package var text = ""
    package var callID = ""
    package var name = ""
    package var code: Int32 = 0
    package var finish: Finish?
    package var done = 0
    package var total = 0
    package var usage = ChatUsage()

    init(_ kind: Kind, step: Int) { (self.kind, self.step) = (kind, step) }

    init(notice: Notice, step: Int = 0, _ text: String) {
        self.init(.notice, step: step)
        (code, self.text) = (notice.rawValue, text)
    }
}

/// Tokens of all steps of a request.
package struct ChatUsage: Sendable, Equatable {
    package var prompt = 0
    /// Of the prompts, those that the session's cache held.
    package var cached = 0
    /// Reasoning, answers and calls.
    package var generated = 0
    package var reasoning = 0
    /// Of the prompts, those of pictures and clips.
    package var media = 0
}
