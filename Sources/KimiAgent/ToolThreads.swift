import Glibc
import KimiCore
import KimiModel
import Synchronization

/// Runs the calls of one step: on the calling thread, or on threads of the library's where a tool has a time limit or allows them.
package enum ToolThreads {
    package typealias Call = (request: ToolCallRequest, tool: HostTool)

    /// The answers in the order of the calls.
    ///
    /// A call whose time is up is answered as timed out, and its thread is left to itself: it holds what it needs, and what it says
    /// later is dropped.
    ///
    /// - Parameters:
    ///   - parallel: how many may run at the same time.
    ///   - cancellation: looked at every few milliseconds while waiting; a callback on the calling thread is waited for.
    /// - Throws: `cancelled`.
    package static func run(_ calls: [Call], parallel: Int, cancellation: Cancellation) throws(KimiError) -> [ToolAnswer] {
        var answers = [ToolAnswer?](repeating: nil, count: calls.count)
        var running: [Running] = []
        // Those that wait for a slot need not any more.
        defer { for one in running { one.giveUp() } }
        for (index, call) in calls.enumerated() {
            try cancellation.check()
            guard let body = call.tool.run else { continue }
            guard call.tool.hasOwnThread else {
                answers[index] = body(call.request)
                continue
            }
            // One that wants a thread for its time limit alone runs by itself.
            let room = call.tool.anyThread ? max(parallel, 1) : 1
            while running.count >= room { try collect(&running, into: &answers, cancellation) }
            running.append(Running(index: index, call: call, body: body))
            if !call.tool.anyThread { while !running.isEmpty { try collect(&running, into: &answers, cancellation) } }
        }
        while !running.isEmpty { try collect(&running, into: &answers, cancellation) }
        return answers.map { $0 ?? ToolAnswer(.failed, "the tool has no callback") }
    }

    /// Takes the answers that are there, or whose time is up; waits a moment if there are none.
    private static func collect(
        _ running: inout [Running], into answers: inout [ToolAnswer?], _ cancellation: Cancellation
    ) throws(KimiError) {
        try cancellation.check()
        var left: [Running] = []
        for one in running {
            guard let answer = one.answer else {
                left.append(one)
                continue
            }
            answers[one.index] = answer
            one.giveUp()
        }
        let isSame = left.count == running.count
        running = left
        if isSame, let first = left.first { first.wait(milliseconds: 5) }
    }
}

/// A call on a thread of its own.
private final class Running: Sendable {
    let index: Int
    private let deadline: ContinuousClock.Instant?
    private let box: AnswerBox

    init(index: Int, call: ToolThreads.Call, body: @escaping @Sendable (ToolCallRequest) -> ToolAnswer) {
        self.index = index
        deadline = call.tool.timeoutMilliseconds.map { .now + .milliseconds($0) }
        box = AnswerBox()
        let work = Work(box: box, slots: call.tool.slots, request: call.request, body: body)
        var thread = pthread_t()
        let context = Unmanaged.passRetained(work)
        let failure = pthread_create(&thread, nil, { context in
            guard let context else { return nil }
            let work = Unmanaged<Work>.fromOpaque(context).takeRetainedValue()
            if let answer = work.slots.hold(unless: { work.box.isGivenUp }, { work.body(work.request) }) { work.box.set(answer) }
            return nil
        }, context.toOpaque())
        if failure == 0 {
            pthread_detach(thread)
        } else {
            context.release()
            box.set(ToolAnswer(.failed, "the system gave no thread for the tool"))
        }
    }

    /// What the tool said, or that its time is up.
    var answer: ToolAnswer? {
        if let answer = box.value { return answer }
        if let deadline, .now >= deadline { return ToolAnswer(.timedOut, "") }
        return nil
    }

    func wait(milliseconds: Int) { box.wait(milliseconds: milliseconds) }

    /// Nobody waits for the answer any more.
    func giveUp() { box.giveUp() }
}

/// What a tool's thread needs; it alone keeps it alive once nobody waits any more.
private final class Work: Sendable {
    let box: AnswerBox
    let slots: [ToolSlots]
    let request: ToolCallRequest
    let body: @Sendable (ToolCallRequest) -> ToolAnswer

    init(
        box: AnswerBox, slots: [ToolSlots], request: ToolCallRequest, body: @escaping @Sendable (ToolCallRequest) -> ToolAnswer
    ) {
        self.box = box
        self.slots = slots
        self.request = request
        self.body = body
    }
}

/// An answer that one thread leaves and another waits for.
private final class AnswerBox: @unchecked Sendable {
    // Safe because `stored` is only touched with the mutex locked; both live at fixed addresses until nobody refers to the box.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var stored: ToolAnswer?
    private let givenUp = Atomic<Bool>(false)

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    var isGivenUp: Bool { givenUp.load(ordering: .relaxed) }

    func giveUp() { givenUp.store(true, ordering: .relaxed) }

    var value: ToolAnswer? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return stored
    }

    func set(_ answer: ToolAnswer) {
        pthread_mutex_lock(mutex)
        stored = answer
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Waits until there is an answer, but no longer than given (less than a second).
    func wait(milliseconds: Int) {
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_nsec += milliseconds * 1_000_000
        if until.tv_nsec >= 1_000_000_000 { (until.tv_sec, until.tv_nsec) = (until.tv_sec + 1, until.tv_nsec - 1_000_000_000) }
        pthread_mutex_lock(mutex)
        if stored == nil { pthread_cond_timedwait(condition, mutex, &until) }
        pthread_mutex_unlock(mutex)
    }
}
