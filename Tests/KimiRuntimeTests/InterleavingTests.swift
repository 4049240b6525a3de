import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// Many sessions in any order, with too little memory for all of them.
@Suite("Interleavings")
struct InterleavingTests {
    /// Runs the scripts, each step of each on whichever thread is free: all sessions are open all the time.
    static func run(_ sessions: [ScriptedSession], threads: Int, seed: UInt64) throws {
        let waiting = Shared((sessions: sessions, random: SplitMix(seed)))
        let workers = (0..<threads).map { _ in
            Worker {
                while let session = waiting.change({ waiting -> ScriptedSession? in
                    guard let index = waiting.sessions.indices.randomElement(using: &waiting.random) else { return nil }
                    waiting.sessions.swapAt(index, waiting.sessions.count - 1)
                    return waiting.sessions.removeLast()
                }) {
                    try session.step()
                    if !session.isDone { waiting.change { $0.sessions.append(session) } }
                }
            }
        }
        for worker in workers { try worker.wait() }
    }

    @Test("1,000 sessions with forks, cuts, cancels and evictions have the tokens of a lone run", arguments: [1, 2])
    func thousand(seed: UInt64) throws {
        let count = 500
        let scripts = (0..<count).map { SessionScript(seed: seed << 32 | UInt64($0)) }
        let model = try PreemptionTests.model(blocks: 300, sessions: count)
        let sessions = try scripts.map { try ScriptedSession($0, on: model) }
        try Self.run(sessions, threads: 24, seed: seed)
        let lone = try Tiny.open { ($0.exact, $0.chunkSize) = (true, 64) }
        var different: [Int] = []
        for (index, session) in sessions.enumerated() {
            let replay = try ScriptedSession(scripts[index], on: lone, cancelled: session.cancelled)
            while !replay.isDone { try replay.step() }
            if replay.trace != session.trace { different.append(index) }
        }
        #expect(different == [])
        let counts = try sessions.flatMap { try $0.counts }
        #expect(counts.contains { $0.preemptions > 0 } && counts.contains { $0.restoredTokens > 0 })
        #expect(counts.contains { $0.reusedTokens > 0 })
        #expect((model.prefixes?.report.evictions ?? 0) > 0)
    }
}
