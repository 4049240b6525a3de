import KimiCore

/// Which experts each layer of each step took, as a store of experts is asked for them.
package struct ExpertTrace: Sendable {
    /// An expert of a layer, and how many rows of the step chose it.
    package struct Use: Sendable, Equatable {
        package let expert: Int32
        package let rows: Int32

        package init(expert: Int32, rows: Int32) {
            self.expert = expert
            self.rows = rows
        }
    }

    package struct Step: Sendable, Equatable {
        /// How many tokens it brings its sequence forward.
        package let tokens: Int
        /// For each layer with experts those that were chosen, rising.
        package let layers: [[Use]]
    }

    package let name: String
    package let layers: Int
    package let experts: Int
    package let perToken: Int
    package private(set) var steps: [Step] = []
    /// The first step whose uses count; those before it fill the slots.
    package var counted = 0

    package init(name: String, layers: Int, experts: Int, perToken: Int) {
        self.name = name
        self.layers = layers
        self.experts = experts
        self.perToken = perToken
    }

    /// All experts of all layers.
    package var keyCount: Int { layers * experts }

    /// Adds a step.
    ///
    /// - Parameter choices: for each layer what its rows chose, in any order; what is no expert is left out.
    package mutating func add(tokens: Int, choices: [[Int32]]) {
        steps.append(Step(tokens: tokens, layers: choices.prefix(layers).map { chosen in
            var rows = [Int32](repeating: 0, count: experts)
            for expert in chosen where rows.indices.contains(Int(expert)) { rows[Int(expert)] += 1 }
            return rows.indices.filter { rows[$0] > 0 }.map { Use(expert: Int32(truncatingIfNeeded: $0), rows: rows[$0]) }
        }))
    }

    // MARK: What it is like

    /// Shares of the uses that count.
    package struct Likeness: Sendable {
        /// Of an expert that the layer has used in the step before, or in one of the eight before.
        package let next: Double
        package let withinEight: Double
        /// Of the hottest eighth of each layer's experts.
        package let hottestEighth: Double
    }

    package var likeness: Likeness {
        var last = [Int](repeating: -9, count: keyCount)
        var uses = [Int](repeating: 0, count: keyCount)
        var (total, next, near) = (0, 0, 0)
        for (number, step) in steps.enumerated() {
            for (layer, experts) in step.layers.enumerated() {
                for use in experts {
                    let key = layer * self.experts + Int(use.expert)
                    if number >= counted {
                        total += 1
                        uses[key] += 1
                        next += number - last[key] <= 1 ? 1 : 0
                        near += number - last[key] <= 8 ? 1 : 0
                    }
                    last[key] = number
                }
            }
        }
        var hot = 0
        for layer in 0..<layers {
            hot += uses[layer * experts..<(layer + 1) * experts].sorted(by: >).prefix(experts / 8).reduce(0, +)
        }
        func share(_ count: Int) -> Double { total > 0 ? Double(count) / Double(total) : 0 }
        return Likeness(next: share(next), withinEight: share(near), hottestEighth: share(hot))
    }
}
