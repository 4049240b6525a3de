import Glibc
import KimiCore

/// What came of saying that one is to evaluate some blocks.
package enum PrefixClaim {
    /// There is nothing that others could take over.
    case nothing
    /// To be released once the blocks are offered to the tree.
    case own(UInt64)
    /// Somebody else was evaluating them until now, or still is.
    case others
}

/// Who evaluates which blocks at this moment, so that of many who want the same one does, and the others take over what it made.
///
/// A claim lasts for one step of a prompt. Any thread.
package final class PrefixClaims: @unchecked Sendable {
    // Safe because `claims` is only touched with the mutex locked; both live at fixed addresses as long as this.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let released = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var claims: [Claim] = []
    private var lastNumber: UInt64 = 0

    private struct Claim {
        let number: UInt64
        let place: ObjectIdentifier
        let contents: [PrefixContent]
    }

    /// How long somebody who waits sleeps before looking at the wish to cancel, in nanoseconds.
    private static let patience = 50_000_000

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(released, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(released)
        pthread_mutex_destroy(mutex)
        released.deallocate()
        mutex.deallocate()
    }

    /// How many there are at this moment.
    package var count: Int {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return claims.count
    }

    /// Notes that the caller evaluates these blocks after `place`.
    ///
    /// If somebody evaluates half of them or more at this moment, waits until that is done, but no longer than a moment.
    func claim(_ contents: [PrefixContent], after place: PrefixNode) -> PrefixClaim {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        guard let other = rival(contents, ObjectIdentifier(place)) else {
            lastNumber += 1
            claims.append(Claim(number: lastNumber, place: ObjectIdentifier(place), contents: contents))
            return .own(lastNumber)
        }
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        let nanoseconds = until.tv_nsec + Self.patience
        (until.tv_sec, until.tv_nsec) = (until.tv_sec + nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
        while claims.contains(where: { $0.number == other }), pthread_cond_timedwait(released, mutex, &until) == 0 {}
        return .others
    }

    package func release(_ number: UInt64) {
        pthread_mutex_lock(mutex)
        claims.removeAll { $0.number == number }
        pthread_cond_broadcast(released)
        pthread_mutex_unlock(mutex)
    }

    private func rival(_ contents: [PrefixContent], _ place: ObjectIdentifier) -> UInt64? {
        claims.first { claim in
            claim.place == place && 2 * zip(claim.contents, contents).prefix { $0 == $1 }.count >= contents.count
        }?.number
    }
}
