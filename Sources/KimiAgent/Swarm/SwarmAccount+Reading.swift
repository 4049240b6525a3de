import KimiCore

extension SwarmAccount {
    /// Reads what rewards need of an account's JSON: steps of agents and tasks, outcomes, stages. The rest, the timeline too, is left
    /// out.
    ///
    /// - Throws: `invalidArgument` for a text that is no account, with the path of what is wrong.
    package init(json bytes: UnsafeRawBufferPointer) throws(KimiError) {
        let json: JSON
        do { json = try JSON.parse(bytes, file: "account") } catch {
            throw KimiError(.invalidArgument, "the account is \(error.message)", subject: "account")
        }
        guard json.objectValue != nil else { throw Self.refused("the account", json, "an object") }
        agentLimit = try Self.integer(json, "agent_limit", "", SwarmOptions.agentRange)
        guard let agents = json["agents"]?.arrayValue, !agents.isEmpty else {
            throw Self.refused("agents", json["agents"], "a list with the main agent at least")
        }
        self.agents = []
        for (number, agent) in agents.enumerated() {
            var counts = Agent(agent["name"]?.stringValue ?? "")
            counts.steps = try Self.integer(agent, "steps", "agents[\(number)].", Self.countRange)
            self.agents.append(counts)
        }
        guard let tasks = json["tasks"]?.arrayValue else { throw Self.refused("tasks", json["tasks"], "a list") }
        for (index, task) in tasks.enumerated() {
            let path = "tasks[\(index)]."
            // The main agent has no tasks.
            guard agents.count > 1 else { throw Self.refused("\(path)agent", task["agent"], "that of one of the agents") }
            var read = Task(
                agent: try Self.integer(task, "agent", path, 1...(agents.count - 1)),
                number: try Self.integer(task, "task", path, Self.countRange),
                stage: try Self.integer(task, "stage", path, Self.countRange))
            read.steps = try Self.integer(task, "steps", path, Self.countRange)
            if let outcome = task["outcome"] {
                guard let named = SwarmOutcome.allCases.first(where: { $0.name == outcome.stringValue }) else {
                    throw Self.refused("\(path)outcome", outcome, "null or the name of an outcome")
                }
                read.outcome = named
            }
            self.tasks.append(read)
        }
    }

    /// Sums of these cannot overflow: a text has fewer than 2^30 of them.
    private static let countRange = 0...Int(Int32.max)

    private static func integer(_ object: JSON, _ key: String, _ path: String, _ range: ClosedRange<Int>) throws(KimiError) -> Int {
        guard let value = object[key]?.intValue, range.contains(value) else {
            throw refused(path + key, object[key], "\(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private static func refused(_ path: String, _ found: JSON?, _ right: String) -> KimiError {
        let found = found?.intValue.map { "\($0)" } ?? found?.kind ?? "missing"
        return KimiError(.invalidArgument, "\(path) is \(found); it must be \(right)", subject: "account")
    }
}
