/// The parser as a table: where it is, what kind of token comes, what that does and where it leads.
///
/// It is driven by ids alone. Text that spells a marker is text, whatever it says; a marker is a marker wherever it comes.
enum OutputTable {
    enum State: Int, CaseIterable {
        case reasoning
        /// Content, and nothing came yet: K2 Thinking opens its thought itself.
        case opening
        case content
        /// Between calls, or behind the last of them: what is said there belongs to nothing, as published parsers have it.
        case section
        /// The id of a call.
        case header
        case arguments
        case ended
    }

    enum Kind: Int, CaseIterable {
        case text
        case think
        case endThink
        case sectionBegin
        case sectionEnd
        case callBegin
        case argumentBegin
        case callEnd
        case endOfTurn
        /// A special token that has no place in an answer.
        case other
    }

    enum Action {
        /// Text of the state's own channel: reasoning, content, a call's id or its arguments.
        case take
        /// The token's name is text of the channel: a thought is not open here, so nothing is closed.
        case takeName
        case drop
        /// The channel ends; what a decoder still holds is given out.
        case leave
        /// The id is complete.
        case open
        /// The arguments are complete.
        case close
        /// The call is complete, and has no arguments.
        case openAndClose
        /// The call ends before it has arguments.
        case reject
    }

    typealias Entry = (action: Action, next: State)

    static func entry(_ state: State, _ kind: Kind) -> Entry {
        switch (state, kind) {
        case (.ended, _): (.drop, .ended)
        case (.reasoning, .text), (.content, .text), (.header, .text), (.arguments, .text): (.take, state)
        case (.section, .text): (.drop, .section)

        case (.opening, .think): (.leave, .reasoning)
        case (.opening, .other), (.opening, .argumentBegin), (.opening, .callEnd), (.opening, .sectionEnd): (.drop, .opening)
        case (.opening, _): entry(.content, kind)

        case (.reasoning, .endThink): (.leave, .content)
        case (.content, .endThink), (.content, .think), (.arguments, .endThink), (.arguments, .think): (.takeName, state)

        // A section closes an open thought. One that begins within a call begins nothing: the call goes on.
        case (.reasoning, .sectionBegin), (.content, .sectionBegin): (.leave, .section)
        // A call may come without its section.
        case (.reasoning, .callBegin), (.content, .callBegin), (.section, .callBegin): (.leave, .header)
        case (.header, .callBegin): (.reject, .header)
        case (.header, .argumentBegin): (.open, .arguments)
        case (.header, .callEnd): (.openAndClose, .section)
        case (.header, .sectionEnd): (.reject, .section)
        case (.arguments, .callEnd): (.close, .section)
        // The call's own end is missing, but it can only have ended.
        case (.arguments, .callBegin): (.close, .header)
        case (.arguments, .sectionEnd): (.close, .section)

        case (.header, .endOfTurn), (.arguments, .endOfTurn): (.reject, .ended)
        case (_, .endOfTurn): (.leave, .ended)
        case (.arguments, .other), (.arguments, .sectionBegin), (.arguments, .argumentBegin): (.takeName, .arguments)
        default: (.drop, state)
        }
    }
}
