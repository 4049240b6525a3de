import KimiChat
import KimiCore

/// What a model has to answer in a step, token by token, whatever its weights would choose: for tests and measurements without
/// trained weights. Everything is evaluated as ever; only the choice of each token is taken from it.
package struct ScriptedAnswer: Sendable, Equatable {
    package struct Call: Sendable, Equatable {
        package let name: String
        /// A JSON object.
        package let arguments: String

        package init(_ name: String, _ arguments: String) { (self.name, self.arguments) = (name, arguments) }
    }

    /// Left out where the mode has no thought.
    package var reasoning = ""
    package var content = ""
    package var calls: [Call] = []
    /// Whether all of it is evaluated at once, as a prompt is, in place of token by token: for answers whose time is not the question.
    package var isGiven = false

    package init(_ content: String = "", reasoning: String = "", calls: [Call] = []) {
        (self.content, self.reasoning, self.calls) = (content, reasoning, calls)
    }

    /// The tokens of the answer, the end of the message included.
    ///
    /// - Parameters:
    ///   - startsInReasoning: whether the prompt has opened a thought.
    ///   - opensThought: whether the model opens it.
    ///   - firstCall: the index of the answer's first call in the conversation.
    /// - Throws: `unsupported` for a checkpoint without the tokens that it takes.
    func ids(_ format: ChatFormat, startsInReasoning: Bool, opensThought: Bool, firstCall: Int) throws(KimiError) -> [Int32] {
        let (tokens, tokenizer) = (format.tokens, format.tokenizer)
        var ids: [Int32] = []
        if opensThought && !startsInReasoning { ids.append(try tokens.require(.think)) }
        if opensThought || startsInReasoning {
            ids += try tokenizer.encode(reasoning, special: false)
            ids.append(try tokens.require(.endThink))
        }
        ids += try tokenizer.encode(content, special: false)
        if !calls.isEmpty {
            ids.append(try tokens.require(.toolCallsBegin))
            for (index, call) in calls.enumerated() {
                ids.append(try tokens.require(.toolCallBegin))
                ids += try tokenizer.encode(ToolCallIDs.canonical(call.name, firstCall &+ index), special: false)
                ids.append(try tokens.require(.toolCallArgumentBegin))
                ids += try tokenizer.encode(call.arguments, special: false)
                ids.append(try tokens.require(.toolCallEnd))
            }
            ids.append(try tokens.require(.toolCallsEnd))
        }
        ids.append(try tokens.require(.imEnd))
        return ids
    }
}
