import CKimiSystem
import Glibc
import KimiCore
import KimiRuntime

/// What the threads of a queue share; they hold it, and it nothing of theirs once they are over.
final class QueueCore: @unchecked Sendable {
    // Safe because all that is mutable is touched with the monitor's lock held.
    private let monitor = Monitor()
    private let hasEntries = Monitor.Condition()
    private let hasRoom = Monitor.Condition()
    /// A request has ended, or a call has its result.
    private let changed = Monitor.Condition()
    private let capacity: Int
    private var entries: [SessionQueue.Entry] = []
    /// Of those in `entries`, how many were taken.
    private var taken = 0
    private var requests: [Request] = []
    private var isClosed = false
    /// Readable while there are entries.
    let descriptor: Int32

    enum Work {
        case generation(Generation, maxTokens: Int?)
        case chat(ChatRun)
    }

    final class Request: @unchecked Sendable {
        // Safe because only its own thread drives it, and giving up and submitting are for any.
        let tag: UInt64
        let work: Work
        /// Set by its thread before anything runs.
        var thread: pthread_t?

        init(_ work: Work, _ tag: UInt64) { (self.work, self.tag) = (work, tag) }

        func abandon() {
            switch work {
            case .generation(let generation, _): generation.abandon()
            case .chat(let run): run.abandon()
            }
        }
    }

    /// How long a request whose calls have no results sleeps before it looks at its session's cancellation, in nanoseconds.
    private static let patience = 50_000_000

    init(capacity: Int) throws(KimiError) {
        self.capacity = capacity
        descriptor = cks_event_open()
        guard descriptor >= 0 else {
            throw KimiError(.outOfMemory, "the system gave no descriptor for the queue (error \(-descriptor))")
        }
    }

    deinit { if descriptor >= 0 { cks_event_close(descriptor) } }

    var running: Int { monitor.locked { requests.count } }

    // MARK: The host's side

    func start(_ work: Work, _ tag: UInt64) throws(KimiError) {
        let request = Request(work, tag)
        let isOpen = monitor.locked {
            if !isClosed { requests.append(request) }
            return !isClosed
        }
        guard isOpen else {
            request.abandon()
            throw KimiError(.invalidHandle, "the queue was closed")
        }
        if OwnThread.start("kimi-queue", { [self] in drive(request) }) { return }
        monitor.locked { remove(request) }
        request.abandon()
        throw KimiError(.outOfMemory, "the system gave no thread for the request")
    }

    func take(milliseconds: Int) throws(KimiError) -> SessionQueue.Entry? {
        let end = milliseconds < 0 ? nil : monotonicNanoseconds() + min(milliseconds, 86_400_000) * 1_000_000
        return try monitor.locked { () throws(KimiError) in
            while true {
                if isClosed { throw KimiError(.invalidHandle, "the queue was closed") }
                if taken < entries.count { return pop() }
                if end == nil && requests.isEmpty { return nil }
                if let end, monotonicNanoseconds() >= end { return nil }
                monitor.wait(hasEntries, until: end)
            }
        }
    }

    private func pop() -> SessionQueue.Entry {
        let entry = entries[taken]
        taken += 1
        if taken == entries.count {
            (entries, taken) = ([], 0)
            cks_event_clear(descriptor)
        } else if taken >= 64, taken * 2 >= entries.count {
            entries.removeFirst(taken)
            taken = 0
        }
        hasRoom.signal()
        return entry
    }

    func submit(_ tag: UInt64, _ callID: String, _ answer: ToolAnswer) throws(KimiError) {
        let run = monitor.locked { () -> ChatRun? in
            for request in requests where request.tag == tag { if case .chat(let run) = request.work { return run } }
            return nil
        }
        guard let run else {
            throw KimiError(.invalidArgument, "no request with tag \(tag) is running", subject: "tag")
        }
        try run.submit(callID, answer)
        monitor.locked { changed.broadcast() }
    }

    func close() {
        let open = monitor.locked {
            isClosed = true
            (entries, taken) = ([], 0)
            hasRoom.broadcast()
            hasEntries.broadcast()
            changed.broadcast()
            return requests
        }
        for request in open { request.abandon() }
        let own = pthread_self()
        monitor.locked {
            while requests.contains(where: { request in request.thread.map { pthread_equal($0, own) == 0 } ?? true }) {
                monitor.wait(changed)
            }
        }
    }

    // MARK: A request's thread

    private func drive(_ request: Request) {
        monitor.locked { request.thread = pthread_self() }
        while let entry = next(of: request) { if !put(entry) || entry.isLast { break } }
        request.abandon()
        monitor.locked {
            remove(request)
            // Who waits for the last one's events waits for nothing now.
            hasEntries.broadcast()
        }
    }

    private func remove(_ request: Request) {
        requests.removeAll { $0 === request }
        changed.broadcast()
    }

    /// Computes until there is something to report; nil: the queue was closed meanwhile.
    private func next(of request: Request) -> SessionQueue.Entry? {
        while true {
            do throws(KimiError) {
                switch request.work {
                case .generation(let generation, let maxTokens):
                    let event = try generation.next()
                    var isLast = false
                    if case .finish = event { isLast = true }
                    return .init(tag: request.tag, content: .generation(event, maxTokens: maxTokens), isLast: isLast)
                case .chat(let run):
                    let event = try run.next()
                    return .init(tag: request.tag, content: .chat(event), isLast: event.kind == .finish)
                }
            } catch {
                let isOver = monitor.locked {
                    guard !isClosed, error.subject == "call_id" else { return true }
                    monitor.wait(changed, until: monotonicNanoseconds() + Self.patience)
                    return isClosed
                }
                guard isOver else { continue }
                // Whoever reads that it is over finds its session free.
                request.abandon()
                return .init(tag: request.tag, content: .failure(error), isLast: true)
            }
        }
    }

    /// Waits for room; false if the queue was closed.
    private func put(_ entry: SessionQueue.Entry) -> Bool {
        monitor.locked {
            while !isClosed, entries.count - taken >= capacity { monitor.wait(hasRoom) }
            guard !isClosed else { return false }
            if entries.isEmpty { cks_event_set(descriptor) }
            entries.append(entry)
            hasEntries.signal()
            return true
        }
    }
}
