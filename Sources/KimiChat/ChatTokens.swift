import KimiCore
import KimiTokenizer

/// The ids of the markers that prompts and outputs are made of, by the names in the checkpoint's tokenizer.
///
/// A checkpoint need not have all of them: K2-Instruct has no thoughts, a text model no media. A missing one is nil here, and an
/// error only where it is needed.
package struct ChatTokens: Equatable, Sendable {
    // The frame of a message.
    package let imEnd, imUser, imAssistant, imSystem, imMiddle: Int32?
    // Thoughts.
    package let think, endThink: Int32?
    // Tool calls.
    package let toolCallsBegin, toolCallsEnd, toolCallBegin, toolCallArgumentBegin, toolCallEnd: Int32?
    // Pictures and clips.
    package let mediaBegin, mediaContent, mediaEnd, mediaPad: Int32?
    // Ends of text that are no end of a message.
    package let endOfText, endOfTurn: Int32?

    package init(_ tokenizer: Tokenizer) { self.init(names: tokenizer.specialIDs) }

    /// - Parameter names: the ids of special tokens by name.
    package init(names: [String: Int32]) {
        imEnd = names[Name.imEnd]
        imUser = names[Name.imUser]
        imAssistant = names[Name.imAssistant]
        imSystem = names[Name.imSystem]
        imMiddle = names[Name.imMiddle]
        think = names[Name.think]
        endThink = names[Name.endThink]
        toolCallsBegin = names[Name.toolCallsBegin]
        toolCallsEnd = names[Name.toolCallsEnd]
        toolCallBegin = names[Name.toolCallBegin]
        toolCallArgumentBegin = names[Name.toolCallArgumentBegin]
        toolCallEnd = names[Name.toolCallEnd]
        mediaBegin = names[Name.mediaBegin]
        mediaContent = names[Name.mediaContent]
        mediaEnd = names[Name.mediaEnd]
        mediaPad = names[Name.mediaPad]
        endOfText = names["[EOS]"]
        endOfTurn = names["[EOT]"]
    }

    /// The markers' names, as the template writes them.
    package enum Name {
        package static let imEnd = "<|im_end|>"
        package static let imUser = "<|im_user|>"
        package static let imAssistant = "<|im_assistant|>"
        package static let imSystem = "<|im_system|>"
        package static let imMiddle = "<|im_middle|>"
        package static let think = "<think>"
        package static let endThink = "</think>"
        package static let toolCallsBegin = "<|tool_calls_section_begin|>"
        package static let toolCallsEnd = "<|tool_calls_section_end|>"
        package static let toolCallBegin = "<|tool_call_begin|>"
        package static let toolCallArgumentBegin = "<|tool_call_argument_begin|>"
        package static let toolCallEnd = "<|tool_call_end|>"
        package static let mediaBegin = "<|media_begin|>"
        package static let mediaContent = "<|media_content|>"
        package static let mediaEnd = "<|media_end|>"
        package static let mediaPad = "<|media_pad|>"
    }

    /// The id, or the error that says which token the checkpoint lacks.
    ///
    /// - Throws: `unsupported`.
    package static func require(_ id: Int32?, _ name: String) throws(KimiError) -> Int32 {
        guard let id else {
            throw KimiError(
                .unsupported, "the checkpoint's tokenizer has no special token \(name); a conversation cannot be written without it",
                subject: name)
        }
        return id
    }
}
