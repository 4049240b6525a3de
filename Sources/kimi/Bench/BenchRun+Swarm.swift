import ArgumentParser
import KimiBench
import KimiCore
import KimiRuntime
import KimiTopology

extension BenchRun {
    // MARK: Swarms

    func swarm() throws -> any BenchReport {
        let folder = command.folder ?? ""
        var options = command.machine.modelOptions
        // A pass has room for a token of every agent.
        options.chunkSize = max(options.chunkSize, command.agents + 1)
        let model = try MachineOptions.open(folder, options, interrupt)
        let facts = MachineFacts(try Topology.current())
        let work = SwarmWork(model: model, waitMilliseconds: Int((command.wait * 1000).rounded()))
        // Also while a tool takes its time.
        interrupt.onRequest { [cancellation] in
            cancellation.end()
            work.stop()
        }
        let words = SwarmWords(model.tokenizer)
        let shapes = command.plans.isEmpty ? SwarmPlan.Shape.allCases : command.plans.flatMap(\.shapes)
        let bar = ProgressBar("measuring", unit: .share)
        defer { bar.finish() }
        // One after the other takes longer, as long as it is: the bar counts tasks.
        let total = shapes.count * command.repeats * command.agents * 2
        var done = 0
        func advance(_ endsTask: Bool) throws {
            if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
            guard endsTask else { return }
            done += 1
            bar.update(min(done, total), of: total)
        }
        // What all runs have in common is at hand for all alike: weights in memory, the declarations of tools evaluated.
        var runs = 0
        func plan(_ shape: SwarmPlan.Shape, agents: Int, tokens: Int) -> SwarmPlan {
            runs += 1
            return SwarmPlan(shape, agents: agents, tokens: tokens, label: "\(runs).", words: words)
        }
        func wholePlan(_ shape: SwarmPlan.Shape) -> SwarmPlan { plan(shape, agents: command.agents, tokens: command.tokens) }
        for shape in shapes {
            let small = plan(shape, agents: min(4, command.agents), tokens: SwarmPlan.tokenRange.lowerBound)
            _ = try SwarmWork(model: model, waitMilliseconds: 0).run(small, parallel: nil) { _ in
                if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
            }
        }
        let results = try shapes.map { shape in
            var together: [SwarmWork.Sample] = []
            var alone: [SwarmWork.Sample] = []
            for _ in 0..<command.repeats {
                together.append(try work.run(wholePlan(shape), parallel: nil, advance: advance))
                alone.append(try work.run(wholePlan(shape), parallel: 1, advance: advance))
            }
            return SwarmResult(plan: wholePlan(shape), together: together, alone: alone)
        }
        bar.finish()
        return SwarmReport(model: model, facts: facts, tokens: command.tokens, wait: command.wait, results: results)
    }
}
