import KimiAgent
import KimiCore

/// What each agent of a swarm does at the moment, from its events.
struct SwarmBoard {
    /// What an agent is at.
    enum State: Equatable {
        /// It has nothing to do, or waits for its turn.
        case waiting
        case prompt, thinking, answering
        /// It writes a call of this tool.
        case calling(String)
        /// These tools run, or their answers are waited for.
        case tool(String)
        /// The main agent waits for so many tasks.
        case tasks(Int)
        case memory
        case done
        /// The word for how its last task ended, if that was not well.
        case failed(String)

        /// Whether it has something in hand.
        var isAtWork: Bool {
            switch self {
            case .waiting, .done, .failed: false
            default: true
            }
        }

        var words: String {
            switch self {
            case .waiting: "waiting"
            case .prompt: "prompt"
            case .thinking: "thinking"
            case .answering: "answering"
            case .calling(let name): "calling \(name)"
            case .tool(let name): "tool \(name)"
            case .tasks(let count): "waits for \(count) task\(count == 1 ? "" : "s")"
            case .memory: "waits for memory"
            case .done: "done"
            case .failed(let outcome): "failed: \(outcome)"
            }
        }
    }

    struct Row {
        let number: Int
        let name: String
        var state = State.waiting
        /// Calls of its step that have no answer yet, by their names.
        fileprivate var calls: [String] = []
        /// When its task began, and the seconds of those that are over.
        fileprivate var begin: Double?
        fileprivate var spent = 0.0

        /// Seconds in which it had a task in hand.
        func seconds(_ now: Double) -> Double { spent + (begin.map { now - $0 } ?? 0) }
    }

    /// The main agent first.
    private(set) var rows: [Row]
    /// Tasks that were assigned and are not over.
    private var openTasks = 0

    init(now: Double) {
        var main = Row(number: 0, name: "main", state: .prompt)
        main.begin = now
        rows = [main]
    }

    mutating func note(_ event: SwarmEvent, _ now: Double) {
        if case .created = event.kind {
            if event.agent == rows.count { rows.append(Row(number: event.agent, name: event.name)) }
            return
        }
        guard rows.indices.contains(event.agent) else { return }
        switch event.kind {
        case .created, .budget: break
        case .taskBegan:
            rows[event.agent].begin = now
            rows[event.agent].state = .prompt
        case .taskEnded(let outcome, _, _):
            let begin = rows[event.agent].begin ?? now
            rows[event.agent].spent += now - begin
            rows[event.agent].begin = nil
            rows[event.agent].state = outcome == .finished ? .done : .failed(outcome.name)
            openTasks = max(0, openTasks - 1)
            if openTasks > 0, case .tasks = rows[0].state { rows[0].state = .tasks(openTasks) }
        case .memory: rows[event.agent].state = .memory
        case .finish: end(now)
        case .chat(let part): note(part, of: event.agent)
        }
    }

    private mutating func note(_ event: ChatEvent, of agent: Int) {
        switch event.kind {
        case .start:
            rows[agent].calls = []
            rows[agent].state = .prompt
        case .reasoning: rows[agent].state = .thinking
        case .content: rows[agent].state = .answering
        case .callBegin: rows[agent].state = .calling(event.name)
        case .callEnd:
            rows[agent].calls.append(event.name)
            if agent == 0, event.name == "assign_task" { openTasks += 1 }
            rows[agent].state = waitState(of: agent)
        case .result:
            if let index = rows[agent].calls.firstIndex(of: event.name) { rows[agent].calls.remove(at: index) }
            // A result without a task behind it was a refusal; those of a step come together, once all are there.
            if agent == 0 { openTasks = 0 }
            rows[agent].state = rows[agent].calls.isEmpty ? .prompt : waitState(of: agent)
        case .finish where agent == 0: rows[agent].state = event.finish == .stop ? .done : .failed(event.finish?.word ?? "")
        default: break
        }
    }

    private func waitState(of agent: Int) -> State {
        if agent == 0, openTasks > 0 { return .tasks(openTasks) }
        return .tool(rows[agent].calls.last ?? "")
    }

    private mutating func end(_ now: Double) {
        for index in rows.indices {
            guard let begin = rows[index].begin else { continue }
            rows[index].spent += now - begin
            rows[index].begin = nil
        }
    }

    /// Those that work first, then those that wait, then those that are done; the main agent before all.
    var inOrder: [Row] {
        func place(_ row: Row) -> Int {
            if row.number == 0 { return 0 }
            if row.state.isAtWork { return 1 }
            return row.state == .waiting ? 2 : 3
        }
        return rows.sorted { (place($0), $0.number) < (place($1), $1.number) }
    }

    /// How many sub-agents work, wait and are done.
    var numbers: (working: Int, waiting: Int, done: Int) {
        rows.dropFirst().reduce(into: (0, 0, 0)) { sum, row in
            if row.state.isAtWork { sum.0 += 1 } else if row.state == .waiting { sum.1 += 1 } else { sum.2 += 1 }
        }
    }
}
