import KimiCore
import KimiTokenizer

/// A special token that prompts and outputs are made of, under its name in the tokenizer.
package enum Marker: String, CaseIterable, Sendable {
    // The frame of a message.
    case imEnd = "<|im_end|>"
    case imUser = "<|im_user|>"
    case imAssistant = "<|im_assistant|>"
    case imSystem = "<|im_system|>"
    case imMiddle = "<|im_middle|>"
    // Thoughts.
    case think = "<think>"
    case endThink = "</think>"
    // Tool calls.
    case toolCallsBegin = "<|tool_calls_section_begin|>"
    case toolCallsEnd = "<|tool_calls_section_end|>"
    case toolCallBegin = "<|tool_call_begin|>"
    case toolCallArgumentBegin = "<|tool_call_argument_begin|>"
    case toolCallEnd = "<|tool_call_end|>"
    // Pictures and clips.
    case mediaBegin = "<|media_begin|>"
    case mediaContent = "<|media_content|>"
    case mediaEnd = "<|media_end|>"
    case mediaPad = "<|media_pad|>"
    // Ends that are no end of a message.
    case endOfText = "[EOS]"
    case endOfTurn = "[EOT]"
}

/// The ids of the markers in one checkpoint.
///
/// A checkpoint need not have all of them: K2-Instruct has no thoughts, a text model no media. A missing one is an error only where
/// it is needed.
package struct ChatTokens: Equatable, Sendable {
    private let ids: [Marker: Int32]

    package init(_ tokenizer: Tokenizer) { self.init(names: tokenizer.specialIDs) }

    /// - Parameter names: the ids of special tokens by name.
    package init(names: [String: Int32]) {
        var ids: [Marker: Int32] = [:]
        for marker in Marker.allCases { ids[marker] = names[marker.rawValue] }
        self.ids = ids
    }

    /// The id of a marker, or nil if the checkpoint has none.
    package subscript(marker: Marker) -> Int32? { ids[marker] }

    /// The id of a marker that cannot be done without.
    ///
    /// - Throws: `unsupported`, naming the token.
    package func require(_ marker: Marker) throws(KimiError) -> Int32 {
        guard let id = ids[marker] else {
            throw KimiError(
                .unsupported, "the checkpoint's tokenizer has no special token \(marker.rawValue), which this conversation needs",
                subject: marker.rawValue)
        }
        return id
    }
}
