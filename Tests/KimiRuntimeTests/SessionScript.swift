import Foundation
import KimiCore
import KimiRuntime
import KimiTestSupport

/// What a session does in its life, drawn from a seed; and what came of it, to be compared with the same done alone.
struct SessionScript {
    enum Step {
        case evaluate([Int32])
        case generate([Int32], count: Int, seed: UInt64?)
        /// A generation without an end, cancelled from another thread after so many microseconds, and then cut off.
        case cancel([Int32], after: UInt32)
        /// Cuts to this part of what the session holds.
        case truncate(Double)
        /// Goes on in a fork; the session forked from stays as it is until all are done.
        case fork
    }

    let priority: Int
    let steps: [Step]

    /// Prompts begin with one of a few texts, so that sessions meet in the prefix tree, within blocks and at their ends.
    init(seed: UInt64) {
        var random = SplitMix(seed)
        func text() -> [Int32] {
            let length = Int.random(in: 1...40, using: &random), first = Int.random(in: 2000..<5000, using: &random)
            return Tiny.ids(first, to: first + length)
        }
        priority = Int.random(in: -1...1, using: &random)
        let first = 200 * Int.random(in: 0..<6, using: &random)
        var steps: [Step] = [.evaluate(Tiny.ids(first, to: first + Int.random(in: 20...150, using: &random)) + text())]
        for _ in 0..<Int.random(in: 2...5, using: &random) {
            let step: Step =
                switch Int.random(in: 0..<10, using: &random) {
                case 0...1: .evaluate(text())
                case 2: .generate([], count: Int.random(in: 1...16, using: &random), seed: nil)
                case 3...5:
                    .generate(
                        text(), count: Int.random(in: 1...16, using: &random),
                        seed: Bool.random(using: &random) ? random.next() : nil)
                case 6: .cancel(text(), after: .random(in: 0...20_000, using: &random))
                case 7: .truncate(.random(in: 0...1, using: &random))
                default: .fork
                }
            steps.append(step)
        }
        steps.append(.generate(text(), count: 4, seed: nil))
        self.steps = steps
    }
}

/// A session that goes through its script one step at a time.
final class ScriptedSession: @unchecked Sendable {
    /// Of each step the tokens it made, and the bits of the logits it ended with.
    struct Trace: Equatable {
        var made: [[Int32]] = []
        var logits: [UInt64] = []
        var ids: [Int32] = []
    }

    private let script: SessionScript
    private var session: Session
    private var forkedFrom: [Session] = []
    private var next = 0
    private(set) var trace = Trace()
    /// Of each step that was cancelled the tokens that the session held more by then.
    private(set) var cancelled: [[Int32]]

    /// - Parameter cancelled: of another run of the same script: how far its cancelled steps are to go.
    init(_ script: SessionScript, on model: Model, cancelled: [[Int32]]? = nil) throws {
        self.script = script
        self.cancelled = cancelled ?? []
        isReplay = cancelled != nil
        session = try Session(model: model, priority: script.priority, onShortage: .wait)
    }

    private let isReplay: Bool
    private var replayed = 0

    var isDone: Bool { next == script.steps.count }
    var counts: [Session.Statistics] { get throws { try (forkedFrom + [session]).map { try $0.snapshot().counts } } }

    /// One thread at a time.
    func step() throws {
        switch script.steps[next] {
        case .evaluate(let ids): trace.logits.append(Self.digest(try session.evaluate(ids)))
        case .generate(let prompt, let count, let seed):
            let prompt = prompt.isEmpty && session.position == 0 ? [Tiny.ids[0]] : prompt
            trace.made.append(try generate(prompt, count, seed: seed))
        case .cancel(let prompt, let delay): try isReplay ? replayCancelled(prompt) : cancel(prompt, after: delay)
        case .truncate(let part): try session.truncate(to: Int(part * Double(session.position)))
        case .fork:
            forkedFrom.append(session)
            session = try session.fork()
        }
        next += 1
        if isDone { trace.ids = try session.ids() }
    }

    private func generate(_ prompt: [Int32], _ count: Int, seed: UInt64? = nil) throws -> [Int32] {
        try session.events(prompt) { options in
            (options.ignoreEnd, options.maxTokens, options.greedy) = (true, count, seed == nil)
            if let seed { options.seed = seed }
        }.ids
    }

    private func cancel(_ prompt: [Int32], after microseconds: UInt32) throws {
        let before = session.position, session = session
        let isOver = Shared(false)
        let canceller = Worker {
            usleep(microseconds)
            while !isOver.value {
                session.cancellation.request()
                usleep(200)
            }
        }
        let failed = failure { _ = try generate(prompt, 1_000_000) }
        isOver.value = true
        try canceller.wait()
        guard failed?.status == .cancelled else {
            throw failed ?? KimiError(.internal, "a generation without an end ended")
        }
        cancelled.append(Array(try session.ids()[before...]))
        try session.truncate(to: before)
    }

    /// A replay makes as many tokens as the cancelled run did; they have to be the same.
    private func replayCancelled(_ prompt: [Int32]) throws {
        let before = session.position, expected = cancelled[replayed]
        replayed += 1
        if expected.count > prompt.count { _ = try generate(prompt, expected.count - prompt.count) } else {
            if !expected.isEmpty { try session.evaluate(Array(prompt.prefix(expected.count))) }
        }
        guard Array(try session.ids()[before...]) == expected else {
            throw KimiError(.internal, "step \(next): a cancelled generation had made other tokens than one alone does")
        }
        try session.truncate(to: before)
    }

    private static func digest(_ logits: [Float]) -> UInt64 {
        logits.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1.bitPattern)) &* 1_099_511_628_211 }
    }
}
