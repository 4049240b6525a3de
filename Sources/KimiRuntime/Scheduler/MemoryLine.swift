import Glibc
import KimiCore
import Synchronization

/// Where sessions wait that found no memory for their next tokens, and who gives up its cache for them.
///
/// Of those that were made to wait (`Session.Shortage.wait`), one that needs memory has those let go of their caches that do not
/// compute at the moment, the longest idle first; then it asks the latest comer of those that compute, which lets go between two of its
/// steps and goes on when there is room again; else it waits. So the one that came first always gets on. Other sessions keep what
/// they have, but while they compute, they may come to their end. Any thread.
final class MemoryLine: @unchecked Sendable {
    // Safe because `members` is only touched with the mutex locked; both live at fixed addresses as long as this.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let freed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var members: [Member] = []
    private let lastTicket = Atomic<UInt64>(0)
    private let waiting = Atomic<Int>(0)
    private let frees = Atomic<Int>(0)

    /// A session as the line sees it.
    final class Member: Sendable {
        let priority: Int
        /// Whether it waits, and gives up its cache.
        let waits: Bool
        /// When its call, or its generation, began.
        let ticket = Atomic<UInt64>(0)
        /// Blocks of cache that it holds.
        let blocks = Atomic<Int>(0)
        /// Whether it is to let go of them.
        let isAsked = Atomic<Bool>(false)
        /// Whether it found no memory, and has not got on since.
        fileprivate let isInLine = Atomic<Bool>(false)
        /// Whether it sleeps in the line at this moment, or is about to: it takes nothing until it has looked again.
        fileprivate let isWaiting = Atomic<Bool>(false)
        fileprivate let session = Mutex<Weak>(Weak())

        fileprivate struct Weak: @unchecked Sendable { weak var session: Session? }

        init(priority: Int, waits: Bool) { (self.priority, self.waits) = (priority, waits) }

        /// Whether it has memory, or may be taking some.
        fileprivate var mayHold: Bool {
            blocks.load(ordering: .sequentiallyConsistent) > 0 || !isWaiting.load(ordering: .sequentiallyConsistent)
        }

        /// Whether it may have another's memory.
        fileprivate func goes(before other: Member) -> Bool {
            if priority != other.priority { return priority > other.priority }
            return ticket.load(ordering: .relaxed) < other.ticket.load(ordering: .relaxed)
        }
    }

    /// How long a waiting session sleeps before it looks again, and at its cancellation, in nanoseconds.
    private static let patience = 50_000_000

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(freed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(freed)
        pthread_mutex_destroy(mutex)
        freed.deallocate()
        mutex.deallocate()
    }

    private func locked<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    func join(_ member: Member, _ session: Session) {
        member.session.withLock { $0.session = session }
        locked { members.append(member) }
    }

    func leave(_ member: Member) {
        locked { members.removeAll { $0 === member } }
        noteFreed()
    }

    /// Puts a session behind all that compute now: its call begins.
    func renew(_ member: Member) {
        member.ticket.store(lastTicket.wrappingAdd(1, ordering: .relaxed).newValue, ordering: .relaxed)
    }

    /// How often memory was given back so far.
    var epoch: Int { frees.load(ordering: .sequentiallyConsistent) }

    /// Somebody has given memory back.
    func noteFreed() {
        frees.wrappingAdd(1, ordering: .sequentiallyConsistent)
        guard waiting.load(ordering: .sequentiallyConsistent) > 0 else { return }
        locked { _ = pthread_cond_broadcast(freed) }
    }

    /// Sees to it that there is more memory for a member, or waits until there may be.
    ///
    /// - Parameters:
    ///   - epoch: as it was before there was no memory.
    ///   - refusal: thrown where nobody has memory that could become free.
    func wait(_ own: Member, since epoch: Int, refusal: KimiError) throws(KimiError) {
        own.isInLine.store(true, ordering: .sequentiallyConsistent)
        own.isWaiting.store(true, ordering: .sequentiallyConsistent)
        defer { own.isWaiting.store(false, ordering: .sequentiallyConsistent) }
        // What is held strongly here is let go without the lock: it may be the last reference.
        let others = locked { members }.compactMap { member -> (member: Member, session: Session)? in
            guard member !== own, member.mayHold else { return nil }
            return member.session.withLock { $0.session }.map { (member, $0) }
        }
        var computing: [Member] = []
        for (member, session) in others.sorted(by: { Self.isIdler($0.member, $1.member) }) {
            guard member.waits else {
                if session.isComputing { computing.append(member) }
                continue
            }
            switch session.letGoIfIdle() {
            case true: return
            case false: continue
            case nil: computing.append(member)
            }
        }
        // What was given back meanwhile may be enough.
        guard self.epoch == epoch else { return }
        guard !computing.isEmpty else { throw refusal }
        let juniors = computing.filter { $0.waits && own.goes(before: $0) && !$0.isAsked.load(ordering: .relaxed) }
        if let last = juniors.min(by: { $1.goes(before: $0) }) {
            last.isAsked.store(true, ordering: .relaxed)
            // It may sleep in the line itself, with what it has.
            locked { _ = pthread_cond_broadcast(freed) }
        }
        sleep()
    }

    /// A member has what it needs, or gives up.
    func getOn(_ own: Member) {
        guard own.isInLine.exchange(false, ordering: .sequentiallyConsistent) else { return }
        noteFreed()
    }

    /// For one that has let go of its cache because it was asked to: waits until those before it have got on. Were it to look for memory
    /// at once, it would find what it has just given up, and be asked again, and all would compute the same for ever.
    ///
    /// - Returns: whether there was somebody to wait for; look again then, and at the cancellation.
    func giveWay(_ own: Member) -> Bool {
        own.isInLine.store(true, ordering: .sequentiallyConsistent)
        own.isWaiting.store(true, ordering: .sequentiallyConsistent)
        defer { own.isWaiting.store(false, ordering: .sequentiallyConsistent) }
        let isSecond = locked {
            members.contains { $0 !== own && $0.isInLine.load(ordering: .sequentiallyConsistent) && $0.goes(before: own) }
        }
        if isSecond { sleep() }
        return isSecond
    }

    /// Of two that do not compute: lower priority, and then the one that did last less recently.
    private static func isIdler(_ a: Member, _ b: Member) -> Bool {
        if a.priority != b.priority { return a.priority < b.priority }
        return a.ticket.load(ordering: .relaxed) < b.ticket.load(ordering: .relaxed)
    }

    private func sleep() {
        waiting.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { waiting.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        let nanoseconds = until.tv_nsec + Self.patience
        (until.tv_sec, until.tv_nsec) = (until.tv_sec + nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
        locked { _ = pthread_cond_timedwait(freed, mutex, &until) }
    }
}
