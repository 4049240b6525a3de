import KimiCore

/// One message of a conversation, as OpenAI's interface has them.
package struct ChatMessage: Sendable, Equatable {
    package enum Role: String, CaseIterable, Sendable {
        case system, developer, user, assistant, tool
        /// A declaration of tools that the host wrote itself; the reference prints such a message like a system's.
        case toolDeclare = "tool_declare"
    }

    package enum Content: Sendable, Equatable {
        /// Null, or not there.
        case none
        case text(String)
        case parts([Part])
    }

    package enum Part: Sendable, Equatable {
        case text(String)
        /// A picture or a clip.
        case media(MediaPart)
    }

    /// The thoughts of an assistant's message.
    package enum Reasoning: Sendable, Equatable {
        /// Not given, which is printed as an empty thought.
        case absent
        /// Given as null. The published template prints Python's name for it, "None", and the model was trained with that.
        case null
        case text(String)
    }

    /// A tool call of an assistant.
    package struct ToolCall: Sendable, Equatable {
        /// The host's id in whatever form, or nil in the old form of calls, which has none.
        package var id: String?
        package var name: String
        /// As the model wrote them: JSON, if the model wrote valid JSON.
        package var arguments: String

        package init(id: String?, name: String, arguments: String) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    package var role: Role
    /// Takes the role's place in the head of the message if it is not empty.
    package var name: String?
    package var content: Content
    package var reasoning = Reasoning.absent
    package var toolCalls: [ToolCall] = []
    /// Whose result this is, for a tool's message: the host's id.
    package var toolCallID: String?
    /// The function whose result this is, in the old form (`role: "function"`), which has no id.
    package var functionName: String?

    package init(_ role: Role, _ content: Content) {
        self.role = role
        self.content = content
    }

    /// A message of plain text.
    package init(_ role: Role, text: String) { self.init(role, .text(text)) }

    /// Its pictures and clips, in their order.
    package var media: [MediaPart] {
        guard case .parts(let parts) = content else { return [] }
        return parts.compactMap { if case .media(let part) = $0 { part } else { nil } }
    }

    /// The result of a call, for the host's id.
    package static func result(of id: String, _ text: String) -> ChatMessage { result(of: id, .text(text)) }

    package static func result(of id: String, _ content: Content) -> ChatMessage {
        var message = ChatMessage(.tool, content)
        message.toolCallID = id
        return message
    }
}
