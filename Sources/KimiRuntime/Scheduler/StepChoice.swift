import KimiModel

/// Which of the works that wait make the next pass through the model.
///
/// Generated tokens of all sessions go together, with as many rows of short prompts as cost nothing beside them; after each such pass
/// the prompts have one, of at most `mostRows` rows, so that a token waits for one chunk of prompts at most, and a prompt for one pass of
/// tokens. Among their like, works go by priority and then in the order of asking; one that others were preferred to
/// `mostPassed` times goes first. A work is never cut: how a prompt is cut is its session's choice, and with it its bits.
package struct StepChoice {
    /// The most rows of a pass.
    let mostRows: Int
    /// Rows from which on a pass of prompts is not exact; `Int.max` if there are none.
    let fastRows: Int
    /// Rows up to which memory, not arithmetic, takes the time.
    let cheapRows: Int
    /// Whether prompts are to have the next pass.
    private(set) var isPromptsTurn = false

    package static let mostPassed = 16

    package init(mostRows: Int, fastRows: Int, cheapRows: Int) {
        self.mostRows = mostRows
        self.fastRows = fastRows
        self.cheapRows = cheapRows
    }

    /// Moves the next works from `waiting` to `pass`, and counts a pass for those that stay behind.
    package mutating func choose(from waiting: inout [StepWork], into pass: inout [StepWork]) {
        pass.removeAll(keepingCapacity: true)
        waiting.sort { $0.goes(before: $1) }
        let firstPrompt = waiting.first { $0.kind == .prompt }
        let hasDecodes = waiting.contains { $0.kind == .decode }
        if hasDecodes && !(firstPrompt != nil && isPromptsTurn) {
            take(.decode, waiting, &pass, rows: mostRows, isFast: false)
            take(.prompt, waiting, &pass, rows: min(cheapRows, mostRows), isFast: false)
            isPromptsTurn = true
        } else if let firstPrompt {
            take(.prompt, waiting, &pass, rows: mostRows, isFast: isFast(firstPrompt))
            isPromptsTurn = false
        }
        waiting.removeAll { $0.state == .running }
        for work in waiting { work.passed += 1 }
    }

    private func isFast(_ work: StepWork) -> Bool { !work.isExact && work.rows >= fastRows }

    /// Takes works of a kind, in their order, as long as the pass has no more than so many rows.
    private func take(_ kind: StepWork.Kind, _ waiting: [StepWork], _ pass: inout [StepWork], rows most: Int, isFast: Bool) {
        var rows = pass.reduce(0) { $0 + $1.rows }
        for work in waiting where work.kind == kind && self.isFast(work) == isFast {
            guard rows + work.rows <= most else { return }
            work.state = .running
            rows += work.rows
            pass.append(work)
        }
    }
}

extension StepWork {
    fileprivate func goes(before other: StepWork) -> Bool {
        let (late, otherLate) = (passed >= StepChoice.mostPassed, other.passed >= StepChoice.mostPassed)
        if late != otherLate { return late }
        if !late && priority != other.priority { return priority > other.priority }
        return ticket < other.ticket
    }
}
