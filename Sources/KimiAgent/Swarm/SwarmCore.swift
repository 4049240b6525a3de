import KimiChat
import KimiCore
import KimiModel
import KimiRuntime

/// What the threads of a swarm share. It lives as long as one of them, or the host's `SwarmRun`, needs it.
///
/// One lock for all: whoever holds it only moves things from one list to another. Computing, tools and the host's code run without
/// it.
final class SwarmCore: @unchecked Sendable {
    // Safe because everything mutable is touched with `monitor` locked.
    let monitor = Monitor()
    let options: SwarmOptions
    let model: Model
    let seed: UInt64?
    /// The sub-agents' tools as the host declared them, and what bounds those that run on any thread, or alone.
    let agentTools: [HostTool]
    let isPolled: Bool
    /// What sub-agents do that find no memory: as the main agent.
    let onShortage: Session.Shortage
    private let allSlots: [ToolSlots]
    private let aloneSlots = [ToolSlots(1)]
    let total: TokenMeter.Total
    /// When the run began.
    let origin: Int

    /// What waits for the host: events, and what it has to run.
    enum Entry {
        case event(SwarmEvent)
        case errand(HostErrand)
    }
    private var queue = Fifo<Entry>()
    private let arrived = Monitor.Condition()
    private let room = Monitor.Condition()

    /// The main agent first.
    var agents: [SwarmAgent]
    /// Sub-agents with tasks that have no thread yet.
    var line: [SwarmAgent] = []
    /// Sub-agents with a thread; those with a task in hand; and those of them that wait for memory.
    var active = 0
    var working = 0
    var waitingForMemory = 0
    /// Tasks that are over.
    var ended = 0
    /// Threads of the swarm, and what is signalled when one ends.
    var threads = 0
    let threadEnded = Monitor.Condition()
    /// Wakes the clock.
    let clock = Monitor.Condition()
    let deadline: Int?
    var tasks: [SwarmAccount.Task] = []
    var saidAgentLimit = false

    var isAbandoned = false
    /// Whether the main agent's thread has nothing more to say.
    var isOver = false
    var finish: ChatEvent.Finish?
    var failure: KimiError?
    var endedAt: Int?
    /// Given again and again once all else was.
    var last: SwarmEvent?

    init(model: Model, main: ChatSession, agentTools: [HostTool], seed: UInt64?, options: SwarmOptions, isPolled: Bool) {
        onShortage = main.session.onShortage
        (self.model, self.agentTools, self.seed, self.options, self.isPolled) = (model, agentTools, seed, options, isPolled)
        allSlots = options.parallelTools.map { [ToolSlots($0)] } ?? []
        total = TokenMeter.Total(limit: options.allTokens)
        let now = monotonicNanoseconds()
        (origin, deadline) = (now, options.allMilliseconds.map { now + $0 * 1_000_000 })
        let agent = SwarmAgent(number: 0, name: SwarmTools.mainName, systemPrompt: "")
        agent.chat = main
        agent.task = SwarmTask(agent: agent, number: 0, prompt: "", meter: TokenMeter(limit: nil, total: total), index: 0)
        agents = [agent]
    }

    var main: SwarmAgent { agents[0] }

    /// Microseconds since the run began.
    func microseconds(_ nanoseconds: Int = monotonicNanoseconds()) -> Int { (nanoseconds - origin) / 1000 }

    // MARK: Events

    /// Hands the host an event; waits while its queue is full. On an agent's thread.
    ///
    /// - Parameter speaker: whose thread it is, if not the agent's own.
    func say(_ kind: SwarmEvent.Kind, _ agent: SwarmAgent, by speaker: SwarmAgent? = nil) {
        let task = monitor.locked { agent.task?.number ?? 0 }
        let event = SwarmEvent(kind: kind, agent: agent.number, parent: agent.parent, name: agent.name, task: task)
        put(.event(event), of: speaker ?? agent)
    }

    private func put(_ entry: Entry, of agent: SwarmAgent) {
        monitor.locked {
            if queue.count >= options.queueLimit && !isAbandoned {
                let before = agent.timeline.kind
                agent.timeline.turn(to: .wait, microseconds())
                while queue.count >= options.queueLimit && !isAbandoned { monitor.wait(room) }
                agent.timeline.turn(to: before, microseconds())
            }
            guard !isAbandoned else { return }
            queue.append(entry)
            arrived.signal()
        }
    }

    enum Taken {
        case entry(Entry)
        /// Nothing came in time.
        case nothing
        /// There are no more.
        case over
    }

    /// The next entry, waited for until a time of `monotonicNanoseconds` at most; nil: as long as it takes.
    func take(until: Int?) -> Taken {
        monitor.locked {
            while queue.isEmpty && !isOver && !isAbandoned {
                if let until, monotonicNanoseconds() >= until { return .nothing }
                monitor.wait(arrived, until: until)
            }
            guard !isAbandoned, let entry = queue.removeFirst() else { return .over }
            room.signal()
            return .entry(entry)
        }
    }

    /// The main agent's request is over, and with it the run, once the host has taken what is there.
    func close(_ last: SwarmEvent?, _ failure: KimiError?) {
        monitor.locked {
            (self.last, self.failure) = (last, failure)
            isOver = true
            arrived.broadcast()
            clock.broadcast()
        }
    }

    /// Nobody takes events any more. With the lock held.
    func openQueue() {
        isAbandoned = true
        queue = Fifo()
        room.broadcast()
        arrived.broadcast()
    }

    // MARK: The host's thread

    /// Has the host's thread run `body` between two events; waits until it did.
    ///
    /// - Returns: nil if the agent's task was stopped meanwhile; a body that runs already is then left to itself.
    func onHost<T: Sendable>(_ agent: SwarmAgent, _ body: @escaping @Sendable () -> T) -> T? {
        let result = ResultBox<T>()
        let errand = HostErrand(owner: agent) { result.value = body() }
        put(.errand(errand), of: agent)
        return monitor.locked {
            while errand.state != .done && !isAbandoned && !isStopped(agent) {
                monitor.wait(agent.changed, until: monotonicNanoseconds() + Self.patience)
            }
            guard errand.state == .done else {
                if errand.state == .waiting { errand.state = .withdrawn }
                return nil
            }
            return result.value
        }
    }

    /// On the host's thread.
    func run(_ errand: HostErrand) {
        let isWanted = monitor.locked {
            guard errand.state == .waiting, !isAbandoned else { return false }
            errand.state = .running
            return true
        }
        guard isWanted else { return }
        errand.body()
        monitor.locked {
            errand.state = .done
            errand.owner.changed.broadcast()
        }
    }

    /// How long a thread sleeps before it looks at wishes that nobody signals, such as that to cancel a session.
    static let patience = 20_000_000

    /// Whether an agent's task is to end. With the lock held.
    func isStopped(_ agent: SwarmAgent) -> Bool {
        agent.task?.stop != nil || agent.chat?.session.cancellation.isRequested ?? false
    }

    // MARK: Tools

    /// A host's tools for an agent: what belongs to the host's thread goes there; what may run anywhere, within the swarm's bounds.
    func tools(_ tools: [HostTool], for agent: SwarmAgent) -> [HostTool] {
        tools.map { tool in
            guard let callback = tool.run else { return tool }
            let (number, name) = (agent.number, agent.name)
            let run: @Sendable (ToolCallRequest) -> ToolAnswer = { request in
                var request = request
                (request.agent, request.agentName) = (number, name)
                return callback(request)
            }
            let slots = tool.slots + (tool.anyThread ? allSlots : tool.hasOwnThread ? aloneSlots : [])
            guard !tool.hasOwnThread else {
                return HostTool(
                    declaration: tool.declaration, timeoutMilliseconds: tool.timeoutMilliseconds, anyThread: tool.anyThread,
                    slots: slots, run: run)
            }
            return HostTool(declaration: tool.declaration, timeoutMilliseconds: nil, anyThread: false) { [self] request in
                onHost(agent) { run(request) } ?? ToolAnswer(.failed, "the task was stopped")
            }
        }
    }

    /// The host's policy for full contexts, asked on the host's thread.
    func policy(_ policy: ContextPolicy, for agent: SwarmAgent) -> ContextPolicy {
        guard case .ask(let ask) = policy else { return policy }
        return .ask { [self] needed, limit in onHost(agent) { ask(needed, limit) } ?? false }
    }
}

/// First in, first out.
private struct Fifo<Element> {
    private var elements: [Element?] = []
    private var head = 0

    var count: Int { elements.count - head }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ element: Element) { elements.append(element) }

    /// nil if there is none.
    mutating func removeFirst() -> Element? {
        guard head < elements.count else { return nil }
        let first = elements[head]
        elements[head] = nil
        head += 1
        if head >= 64, head * 2 >= elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return first
    }
}

/// Something that only the host's thread may run.
final class HostErrand: @unchecked Sendable {
    // Safe because `state` is touched with the swarm's lock held.
    enum State { case waiting, running, done, withdrawn }

    let owner: SwarmAgent
    let body: @Sendable () -> Void
    var state = State.waiting

    init(owner: SwarmAgent, _ body: @escaping @Sendable () -> Void) { (self.owner, self.body) = (owner, body) }
}

/// Where one thread leaves what another reads after it.
private final class ResultBox<T: Sendable>: @unchecked Sendable {
    // Safe because it is written before the errand is done and read afterwards, with a lock taken in between.
    var value: T?
}
