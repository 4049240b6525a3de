import KimiAgent
import KimiCore

/// What a swarm did, as tables.
struct SwarmSummary {
    let account: SwarmAccount

    /// Agents that the table names; a run of hundreds would push everything else off the screen.
    private static let mostRows = 40

    func print(to terminal: Terminal) {
        agents.print(to: terminal)
        figures.print(to: terminal)
    }

    private var agents: Table {
        var table = Table(["agent", "tasks", "ended", "steps", "prompt", "at hand", "generated", "busy"], right: [1, 3, 4, 5, 6, 7])
        let tasks = Dictionary(grouping: account.tasks, by: \.agent)
        for (number, agent) in account.agents.enumerated().prefix(Self.mostRows) {
            let own = tasks[number] ?? []
            table.row([
                VisibleText.line(agent.name), number == 0 ? "" : Units.count(own.count),
                number == 0 ? account.finish?.word ?? "" : Self.outcomes(own), Units.count(agent.steps), Units.count(agent.promptTokens),
                Units.count(agent.cachedTokens), Units.count(agent.generatedTokens),
                Units.elapsed(Double(account.busyMicroseconds(number)) * 1e-6),
            ])
        }
        let more = account.agents.count - Self.mostRows
        if more > 0 { table.row("and \(more) more", "", "", "", "", "", "", "") }
        return table
    }

    /// "finished", or how many of its tasks ended how.
    private static func outcomes(_ tasks: [SwarmAccount.Task]) -> String {
        let names = tasks.map { $0.outcome?.name ?? "running" }
        let counted = Dictionary(grouping: names) { $0 }.mapValues(\.count).sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        if let only = counted.first, counted.count == 1 { return only.key }
        return counted.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    }

    private var figures: Table {
        var table = Table(["", ""], right: [1])
        table.row("agents created, of at most", "\(account.agents.count - 1) of \(account.agentLimit)")
        table.row("tasks finished", "\(account.finishedTasks) of \(account.tasks.count)")
        table.row("critical steps", Units.count(account.criticalSteps))
        table.row("steps of all agents", Units.count(account.totalSteps))
        table.row("prompt tokens, of them at hand", "\(Units.count(account.promptTokens)), \(Units.count(account.cachedTokens))")
        table.row("generated tokens", Units.count(account.generatedTokens))
        table.row("wall-clock", Units.elapsed(Double(account.microseconds) * 1e-6))
        table.row("what all agents did, one after another", Units.elapsed(Double(account.serialMicroseconds) * 1e-6))
        table.row("speed-up by that", Units.decimal(account.speedup, 2))
        return table
    }
}
