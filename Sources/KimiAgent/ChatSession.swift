import KimiChat
import KimiCore
import KimiRuntime
import Synchronization

/// A session with its conversation: messages so far, tools of the host. Any thread; what changes it is a turn that has finished.
package final class ChatSession: Sendable {
    package let session: Session
    package let tools: ToolTable
    private let messages: Mutex<[ChatMessage]>

    package init(_ session: Session) {
        self.session = session
        tools = ToolTable()
        messages = Mutex([])
    }

    private init(_ session: Session, copying other: ChatSession) {
        self.session = session
        tools = ToolTable(copying: other.tools)
        let past = other.past
        messages = Mutex(past)
    }

    /// A second session with the same past, tokens and messages; each goes on alone.
    package func fork() throws(KimiError) -> ChatSession { ChatSession(try session.fork(), copying: self) }

    /// What was said so far.
    package var past: [ChatMessage] { messages.withLock { $0 } }

    func replace(messages new: [ChatMessage]) { messages.withLock { $0 = new } }

    /// The conversation as a JSON array of OpenAI messages.
    package func messagesJSON() throws(KimiError) -> String {
        var json = JSONWriter()
        json.array { json in for message in self.past { message.write(to: &json) } }
        return json.text
    }

    /// The last assistant message as OpenAI JSON.
    ///
    /// - Throws: `invalidArgument` if no turn has finished on this session.
    package func lastTurnJSON() throws(KimiError) -> String {
        guard let last = past.last(where: { $0.role == .assistant }) else {
            throw KimiError(
                .invalidArgument, "there is no assistant message yet: no request has finished on this session", subject: "session")
        }
        var json = JSONWriter()
        last.write(to: &json)
        return json.text
    }
}
