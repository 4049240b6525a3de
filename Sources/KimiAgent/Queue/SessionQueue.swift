import Glibc
import KimiChat
import KimiCore
import KimiRuntime

/// Generations and requests of many sessions as one stream of events, for a host that polls: it starts them, and takes what comes.
///
/// Each runs on a thread of the queue's own, callbacks of tools included. The queue is bounded: a session whose event finds no room waits
/// until the host has taken some, so nothing is lost and nothing piles up. Any thread.
package final class SessionQueue: Sendable {
    /// What came of one of them.
    package struct Entry: Sendable {
        /// The number under which the host started it.
        package let tag: UInt64
        package let content: Content
        /// Whether it is the last of this request.
        package let isLast: Bool
    }

    package enum Content: Sendable {
        case generation(GenerationEvent, maxTokens: Int?)
        case chat(ChatEvent)
        /// It failed, and is over.
        case failure(KimiError)
    }

    package static let capacityRange = 1...1_000_000

    private let core: QueueCore

    /// - Parameter capacity: events that may wait for the host before sessions do.
    /// - Throws: `invalidArgument`; `outOfMemory` if the system gives no descriptor.
    package init(capacity: Int = 1024) throws(KimiError) {
        guard Self.capacityRange.contains(capacity) else {
            throw KimiError(.invalidArgument, "capacity is \(capacity); it must be 1 to 1000000, or 0 for 1024", subject: "capacity")
        }
        core = try QueueCore(capacity: capacity)
    }

    deinit { close() }

    /// Starts a generation. Its session is reserved for it until its last event was put in the queue.
    ///
    /// - Parameter tag: comes back with each of its events; that it is used once only is the host's care.
    /// - Throws: as `Generation`; `invalidHandle` after `close`.
    package func generate(_ session: Session, prompt: [Int32], options: GenerationOptions, tag: UInt64) throws(KimiError) {
        let generation = try Generation(session: session, prompt: prompt, options: options)
        try core.start(.generation(generation, maxTokens: options.maxTokens), tag)
    }

    /// Starts a request; calls of tools without a callback wait for `submit`.
    ///
    /// - Throws: as `ChatRun`; `invalidHandle` after `close`.
    package func send(_ chat: ChatSession, request: ChatRequest, options: ChatOptions, tag: UInt64) throws(KimiError) {
        try core.start(.chat(try ChatRun(chat, request: request, options: options, isPolled: true)), tag)
    }

    /// The next event of any session, in the order in which they happened.
    ///
    /// - Parameter milliseconds: how long to wait for one; below 0: as long as something runs.
    /// - Returns: nil if none came in time, or nothing runs.
    /// - Throws: `invalidHandle` after `close`.
    package func next(milliseconds: Int) throws(KimiError) -> Entry? { try core.take(milliseconds: milliseconds) }

    /// The answer to a call that a request reported as needing one.
    ///
    /// - Throws: `invalidArgument` for a tag under which no request runs, else what `ChatRun.submit` throws.
    package func submit(_ tag: UInt64, _ callID: String, _ answer: ToolAnswer) throws(KimiError) {
        try core.submit(tag, callID, answer)
    }

    /// Readable, for `poll` and its like, while an event waits. The queue's; nobody else reads or closes it.
    package var descriptor: Int32 { core.descriptor }

    /// What is running.
    package var running: Int { core.running }

    /// Gives everything up: when this returns nothing computes any more, and all sessions are free. Events that nobody took are gone.
    /// From a callback of one of its own threads, that one is not waited for.
    package func close() { core.close() }
}
