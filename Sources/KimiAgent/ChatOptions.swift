import KimiChat
import KimiRuntime

/// What a host asks of a request beside its JSON; see `kimi_chat_options` in kimi.h. nil: what the request says, else the mode's.
package struct ChatOptions: Sendable {
    package var mode: ChatMode?
    package var maxTokens: Int?
    package var reasoningBudget: Int?
    package var seed: UInt64?
    package var temperature: Float?
    package var topP: Float?
    /// Whether calls and answers are held to their schemas.
    package var constrain = true
    package var stepLimit: Int?
    /// Whether the messages follow what was said before.
    package var append = false
    package var parallelCalls = 1
    package var contextPolicy = ContextPolicy.stop

    /// Whether media of the request may be paths and `file:` URLs.
    package var allowsFiles = false
    /// Finds a picture or clip that the host holds under a URL of its own.
    package var heldMedia: (@Sendable (String) -> MediaReference.Origin?)?

    /// What the model has to answer in a step, by the step's number; nil from it leaves the step to the model. For tests and
    /// measurements.
    package var script: (@Sendable (Int) -> ScriptedAnswer?)?
    /// What a swarm lends the request of one of its agents.
    var member: SwarmMember?

    package init() {}

    package static let stepRange = 1...10_000
    package static let parallelRange = 1...64
}

/// What to do when a step does not fit into the context.
package enum ContextPolicy: Sendable {
    case stop
    /// Notes take the place of the oldest tool results.
    case dropResults
    /// The host is asked with the tokens needed and the limit; true: drop results.
    case ask(@Sendable (_ needed: Int, _ limit: Int) -> Bool)
}
