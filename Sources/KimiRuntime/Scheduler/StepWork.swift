import Glibc
import KimiCore
import KimiModel

/// What a session wants of a step: some more of its tokens, and the logits after them. A session has one, again and again.
package final class StepWork: @unchecked Sendable {
    // Safe because its session fills it in before it is handed to the loop and reads it once it is done; in between only the loop
    // touches it, with its lock held or while the step runs.

    /// What a step does with a session's tokens.
    package enum Kind: Sendable {
        /// A part of a prompt.
        case prompt
        /// One token that was generated.
        case decode
    }

    package enum State: Sendable { case idle, waiting, running, done }

    package var kind = Kind.prompt
    /// Higher ones go first.
    package let priority: Int
    /// [rows]: unowned, as all below; the session keeps them until the work is done.
    package var ids = UnsafeBufferPointer<Int32>(start: nil, count: 0)
    var media: [MediaSpan] = []
    /// Whether its rows are to be exact, however many they are: again what they were.
    package var isExact = false
    var sequence: TokenSequence?
    /// Room for the logits of the last `logitsRows` rows.
    var logits: UnsafeMutablePointer<Float>?
    var logitsRows = 0
    let cancellation: Cancellation

    // What came of it.
    var bytesRead = 0
    var precision = Precision.exact
    var failure: KimiError?

    // The loop's own.
    package var state = State.idle
    /// Its turn among all that ask.
    package var ticket: UInt64 = 0
    /// Passes that others had since it asked.
    package var passed = 0
    /// Whether this thread is to lead now.
    var isAppointed = false
    /// Whether the next step waits a moment for it to come back.
    var isExpected = false
    /// Whether it came back soon when it did last.
    var isPunctual = true
    var doneAt = 0

    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    package init(cancellation: Cancellation, priority: Int = 0) {
        self.cancellation = cancellation
        self.priority = priority
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    package var rows: Int { ids.count }

    /// Has its thread look at the state.
    func wake() { sem_post(semaphore) }

    /// Waits to be woken, but no longer than so many nanoseconds, less than a second. (A clock that is set back makes it longer, which delays
    /// only how soon a wish to cancel is seen.)
    func wait(nanoseconds: Int) {
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_nsec += nanoseconds
        if until.tv_nsec >= 1_000_000_000 { (until.tv_sec, until.tv_nsec) = (until.tv_sec + 1, until.tv_nsec - 1_000_000_000) }
        while sem_timedwait(semaphore, &until) != 0 && errno == EINTR {}
    }
}
