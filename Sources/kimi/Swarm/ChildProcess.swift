@preconcurrency import Glibc
import KimiCore
import Synchronization

/// A program that is run to its end, with what it reads and prints.
enum ChildProcess {
    enum End { case exit(Int), signal(Int), time, stopped }

    struct Outcome {
        var end = End.exit(0)
        /// The beginning of its output, and whether there was more; the end of what it said on its error stream.
        var output: [UInt8] = []
        var isCut = false
        var errors: [UInt8] = []
    }

    /// The process groups of those that run; nil once no more may be started.
    private static let running = Mutex<Set<pid_t>?>([])

    /// Ends all that run, and those that would be started later: the program is about to end, and they are not to outlive it.
    static func endAll() {
        running.withLock { running in
            for child in running ?? [] { kill(-child, SIGKILL) }
            running = nil
        }
    }

    private static let mostOutput = 4 << 20
    private static let mostErrors = 2000
    /// Milliseconds between looks at `isStopped`.
    private static let patience: Int32 = 50

    /// Runs a command; it and what it has started end when its time is up or nobody wants it any more.
    ///
    /// - Parameter command: the program, looked for on the PATH, and its arguments; without NUL bytes.
    /// - Throws: if it cannot be started.
    static func run(_ command: [String], input: [UInt8], seconds: Double, isStopped: () -> Bool) throws(Failure) -> Outcome {
        // Sockets, not pipes: they can be made closed to other children at once, and written to without a signal if nobody reads.
        var ends: [(own: Int32, child: Int32)] = []
        defer { for end in ends where end.own >= 0 { close(end.own) } }
        for _ in 0..<3 {
            var pair: [Int32] = [-1, -1]
            let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            guard socketpair(AF_UNIX, kind, 0, &pair) == 0 else {
                for end in ends { close(end.child) }
                throw Failure("cannot make a pipe", errno: errno)
            }
            ends.append((pair[0], pair[1]))
        }
        let started = start(command, ends.map(\.child))
        for end in ends { close(end.child) }
        guard case .success(let child) = started else {
            if case .failure(let problem) = started { throw Failure("cannot run \(command.first ?? "")", errno: problem.number) }
            throw Failure("cannot run \(command.first ?? "")")
        }
        var outcome = Outcome()
        let deadline = monotonicSeconds() + seconds
        func end() -> End? { isStopped() ? .stopped : monotonicSeconds() >= deadline ? .time : nil }
        var early = talk(&ends, input, &outcome, unless: end)
        var status: Int32 = 0
        while early == nil, !reaped(child, &status) {
            usleep(2000)
            early = end()
        }
        if let early {
            // The whole group: a script's own children hold its output open.
            kill(-child, SIGKILL)
            while !reaped(child, &status) { usleep(1000) }
            outcome.end = early
        } else {
            outcome.end = status & 0x7F == 0 ? .exit(Int(status >> 8 & 0xFF)) : .signal(Int(status & 0x7F))
        }
        return outcome
    }

    /// Whether it has ended, with its status then.
    private static func reaped(_ child: pid_t, _ status: inout Int32) -> Bool {
        // With the lock held: once it is reaped its number may be another's.
        running.withLock { running in
            guard waitpid(child, &status, WNOHANG) != 0 else { return false }
            running?.remove(child)
            return true
        }
    }

    private struct Problem: Error { let number: Int32 }

    /// Starts it in a process group of its own, with the signals as they are for any program.
    private static func start(_ command: [String], _ descriptors: [Int32]) -> Result<pid_t, Problem> {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        for (number, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        return running.withLock { running in
            guard running != nil else { return .failure(Problem(number: ECANCELED)) }
            var child = pid_t()
            // Safe because the words live until the call returns, and end in nil.
            let error = posix_spawnp(&child, command.first ?? "", &actions, &attributes, &words, environ)
            guard error == 0 else { return .failure(Problem(number: error)) }
            running?.insert(child)
            return .success(child)
        }
    }

    /// Writes its input and reads what it prints until it has closed both streams.
    ///
    /// - Returns: why it must end before, or nil.
    private static func talk(
        _ ends: inout [(own: Int32, child: Int32)], _ input: [UInt8], _ outcome: inout Outcome, unless end: () -> End?
    ) -> End? {
        var written = 0
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while ends[1].own >= 0 || ends[2].own >= 0 {
            if let reason = end() { return reason }
            if written >= input.count { shut(&ends[0].own) }
            var waits = [
                pollfd(fd: ends[0].own, events: Int16(POLLOUT), revents: 0), pollfd(fd: ends[1].own, events: Int16(POLLIN), revents: 0),
                pollfd(fd: ends[2].own, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&waits, nfds_t(waits.count), patience) > 0 else { continue }
            if waits[0].revents != 0 {
                let count = input[written...].withUnsafeBytes {
                    send(ends[0].own, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                }
                // Who does not read all of it need not.
                if count > 0 { written += count } else if errno != EAGAIN && errno != EINTR { shut(&ends[0].own) }
            }
            for index in 1...2 where waits[index].revents != 0 {
                let count = buffer.withUnsafeMutableBytes { read(ends[index].own, $0.baseAddress, $0.count) }
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else {
                    shut(&ends[index].own)
                    continue
                }
                if index == 1 {
                    let room = mostOutput - outcome.output.count
                    outcome.output += buffer[..<min(count, room)]
                    outcome.isCut = outcome.isCut || count > room
                } else {
                    outcome.errors = Array((outcome.errors + buffer[..<count]).suffix(mostErrors))
                }
            }
        }
        return nil
    }

    private static func shut(_ descriptor: inout Int32) {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }
}
