import Glibc
import KimiCore
import KimiModel
import Synchronization

/// Features of the pictures that a model has seen lately, by the digest of what they show: a picture that comes again, in another
/// conversation or a cache that was dropped, is not encoded again.
///
/// The least recently used give way where the bound is passed, and all that nobody uses where the model's budget runs short. Two
/// that want the same picture at once have it encoded once. Any thread.
package final class FeatureCache: Sendable {
    package struct Report: Sendable {
        /// Pieces that are kept, and their bytes.
        package var count = 0
        package var bytes = 0
        /// Pieces that were asked for and there, and that had to be encoded, since the model was opened.
        package var hits = 0
        package var encoded = 0
    }

    fileprivate struct Entry {
        var features: MediaFeatures
        var lastUse: UInt64
    }

    fileprivate struct State {
        var entries: [MediaDigest: Entry] = [:]
        /// What somebody is encoding at this moment.
        var underWay: Set<MediaDigest> = []
        var clock: UInt64 = 0
        var report = Report()
    }

    private let state = Mutex(State())
    /// The most bytes to keep; 0: nothing is kept.
    package let capacity: Int

    /// How long somebody who waits for another's encoding sleeps, in microseconds. That takes a hundred times as long, or more.
    private static let patience: UInt32 = 2_000

    package init(capacity: Int, budget: MemoryBudget) {
        self.capacity = max(0, capacity)
        budget.onShortage { [weak self] _ in self?.giveUpUnused() }
    }

    package var report: Report { state.withLock { $0.report } }

    /// The features of `pieces`, in their order, and for each whether it was there.
    ///
    /// - Parameters:
    ///   - cancellation: looked at while another thread encodes what is wanted here.
    ///   - encode: makes those that are missing; is given no piece twice.
    /// - Throws: `cancelled`, or what `encode` throws; what others wait for is then theirs to encode.
    package func features(
        of pieces: [MediaPiece], _ cancellation: Cancellation,
        encode: ([MediaPiece]) throws(KimiError) -> [MediaFeatures]
    ) throws(KimiError) -> [(features: MediaFeatures, wasThere: Bool)] {
        var found: [MediaDigest: (features: MediaFeatures, wasThere: Bool)] = [:]
        while true {
            var (mine, waits) = ([MediaPiece](), false)
            state.withLock { state in
                for piece in pieces where found[piece.digest] == nil {
                    if let features = state.use(piece.digest) {
                        found[piece.digest] = (features, true)
                    } else if state.underWay.insert(piece.digest).inserted {
                        mine.append(piece)
                    } else if !mine.contains(where: { $0.digest == piece.digest }) {
                        waits = true
                    }
                }
            }
            if !mine.isEmpty {
                for features in try make(mine, encode) { found[features.digest] = (features, false) }
            }
            guard waits else { break }
            try cancellation.check()
            usleep(Self.patience)
        }
        var result: [(features: MediaFeatures, wasThere: Bool)] = []
        for piece in pieces {
            guard let one = found[piece.digest] else { throw KimiError(.internal, "a picture without features") }
            result.append(one)
            // A second time in one list it is there.
            found[piece.digest]?.wasThere = true
        }
        return result
    }

    /// Encodes what this thread has put under way.
    private func make(
        _ pieces: [MediaPiece], _ encode: ([MediaPiece]) throws(KimiError) -> [MediaFeatures]
    ) throws(KimiError) -> [MediaFeatures] {
        let made: [MediaFeatures]
        do throws(KimiError) {
            made = try encode(pieces)
            for (index, piece) in pieces.enumerated() {
                guard index < made.count, made[index].digest == piece.digest, made[index].tokens == piece.tokens else {
                    throw KimiError(.internal, "features of another picture than was encoded")
                }
            }
        } catch {
            state.withLock { state in for piece in pieces { state.underWay.remove(piece.digest) } }
            throw error
        }
        // They are freed outside the lock.
        let dropped = state.withLock { state in
            for piece in pieces { state.underWay.remove(piece.digest) }
            state.report.encoded += pieces.count
            return made.flatMap { state.insert($0, capacity) }
        }
        withExtendedLifetime(dropped) {}
        return made
    }

    /// Lets go what nobody else holds, for the memory.
    private func giveUpUnused() {
        let dropped = state.withLock { state in
            var dropped: [Entry] = []
            // A list of its own: the keys would share the dictionary, and each of its values have a second owner.
            for digest in Array(state.entries.keys) {
                guard var entry = state.entries.removeValue(forKey: digest) else { continue }
                if isKnownUniquelyReferenced(&entry.features) { dropped.append(entry) } else { state.entries[digest] = entry }
            }
            state.count()
            return dropped
        }
        withExtendedLifetime(dropped) {}
    }
}

extension FeatureCache.State {
    fileprivate mutating func use(_ digest: MediaDigest) -> MediaFeatures? {
        guard let entry = entries[digest] else { return nil }
        clock += 1
        entries[digest]?.lastUse = clock
        report.hits += 1
        return entry.features
    }

    /// - Returns: those that gave way.
    fileprivate mutating func insert(_ features: MediaFeatures, _ capacity: Int) -> [FeatureCache.Entry] {
        guard features.byteCount <= capacity else { return [] }
        clock += 1
        entries[features.digest] = .init(features: features, lastUse: clock)
        count()
        var dropped: [FeatureCache.Entry] = []
        while report.bytes > capacity, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse })?.key {
            if let entry = entries.removeValue(forKey: oldest) { dropped.append(entry) }
            count()
        }
        return dropped
    }

    fileprivate mutating func count() {
        report.count = entries.count
        report.bytes = entries.values.reduce(0) { $0 + $1.features.byteCount }
    }
}
