import Glibc
import KimiCore

/// How much each expert has been used lately, which is what it is worth to keep it.
///
/// A use adds 1 to two counts; one halves with every 64 tokens, the other with every 4, and that one counts four times. The first
/// learns which experts the text at hand takes, and forgets them when it turns to something else; the second keeps what a few
/// tokens share. Counts go on for experts that are not in memory. LRFU (Lee et al., 2001) has one such count; of any half-life it does
/// worse on some kind of text.
///
/// Chosen by replaying traces of many kinds with `kimi bench --slots`; PLACEMENT.md has the table. Allocates nothing after init.
/// One thread at a time.
package struct ExpertUses: ~Copyable {
    private struct Count {
        var long = 0.0
        var short = 0.0
        /// When the two were right.
        var time = 0.0
    }

    private let counts: UnsafeMutablePointer<Count>
    private let keyCount: Int
    /// In tokens.
    private var now = 0.0
    /// What a row of the step adds to each count.
    private var longShare = 1.0
    private var shortShare = 1.0

    private static let longHalfLife = 64.0
    private static let shortHalfLife = 4.0
    private static let shortWeight = 4.0

    package init(keys: Int) {
        keyCount = keys
        counts = .allocate(capacity: max(keys, 1))
        counts.initialize(repeating: Count(), count: max(keys, 1))
    }

    deinit { counts.deallocate() }

    /// Another step begins, which brings its sequences at most so many tokens forward.
    package mutating func advance(tokens: Int) {
        let tokens = Double(max(tokens, 1))
        now += tokens
        longShare = Self.share(tokens, Self.longHalfLife)
        shortShare = Self.share(tokens, Self.shortHalfLife)
    }

    /// What one of the rows of a step adds: 1 for one token; in a chunk of a prompt what is left of 1 on average, the rows being
    /// spread evenly over its tokens.
    private static func share(_ tokens: Double, _ halfLife: Double) -> Double {
        (1 - exp2(-tokens / halfLife)) / (1 - exp2(-1 / halfLife)) / tokens
    }

    /// Counts the uses of an expert by so many rows of the step.
    package func add(_ key: Int, rows: Int) {
        guard key >= 0, key < keyCount else { return }
        let age = now - counts[key].time
        counts[key].long = counts[key].long * exp2(-age / Self.longHalfLife) + Double(rows) * longShare
        counts[key].short = counts[key].short * exp2(-age / Self.shortHalfLife) + Double(rows) * shortShare
        counts[key].time = now
    }

    /// Begins as if the expert had been used with this probability by every token so far.
    package func expect(_ key: Int, probability: Double) {
        guard key >= 0, key < keyCount else { return }
        counts[key] = Count(long: probability / (1 - exp2(-1 / Self.longHalfLife)), short: 0, time: now)
    }

    /// What the expert is worth now. Until it is used again this only falls.
    package func worth(_ key: Int) -> Double {
        guard key >= 0, key < keyCount else { return 0 }
        let age = now - counts[key].time
        let long = counts[key].long * exp2(-age / Self.longHalfLife)
        // After so long the short count is nothing beside the long one.
        guard age < 16 * Self.shortHalfLife else { return long }
        return long + Self.shortWeight * counts[key].short * exp2(-age / Self.shortHalfLife)
    }
}
