/// One value as it is written, token by token. For one thread at a time.
///
/// A matcher may be used for one value after another with `reset`, which keeps what it has learnt about the grammar.
package final class GrammarMatcher {
    package let grammar: Grammar
    package let vocabulary: VocabularyTree
    let machine: GrammarMachine
    /// The ways to read the text so far; empty only for a grammar that allows nothing.
    private(set) var configurations: [Configuration]
    private var masks = MaskCache()
    /// Where the configurations of each depth start in the walk through the vocabulary.
    var walkStarts: [Int]

    package init(_ grammar: Grammar, _ vocabulary: VocabularyTree) {
        self.grammar = grammar
        self.vocabulary = vocabulary
        machine = GrammarMachine(grammar)
        configurations = [machine.start]
        walkStarts = [Int](repeating: 0, count: vocabulary.longest + 2)
    }

    /// Begins another value of the same grammar.
    package func reset() {
        if machine.stacks.count > 100_000 || machine.sets.size > 1_000_000 {
            machine.stacks.removeAll()
            machine.sets.removeAll()
            masks.removeAll()
        }
        configurations = [machine.start]
    }

    /// Another matcher at the same place of the same value.
    package func copy() -> GrammarMatcher {
        let copy = GrammarMatcher(grammar, vocabulary)
        copy.machine.stacks = machine.stacks
        copy.machine.sets = machine.sets
        copy.configurations = configurations
        return copy
    }

    /// Whether the value may end here. The caller then also allows the token that ends it.
    package var canEnd: Bool { configurations.contains { machine.canEnd($0) } }

    /// Whether the value has ended, so that only white space could still follow.
    package var hasEnded: Bool { configurations.allSatisfy { $0.frame.kind == .done } }

    // MARK: Taking tokens

    /// Takes a token; false, and nothing changed, if it may not come next.
    package func accept(_ id: Int32) -> Bool {
        guard let bytes = vocabulary.bytes(id) else { return false }
        return accept(bytes: bytes)
    }

    /// Takes bytes, at any boundary; false, and nothing changed, if they may not come next.
    package func accept(bytes: some Sequence<UInt8>) -> Bool {
        var current = configurations
        for byte in bytes {
            current = next(current, byte)
            if current.isEmpty { return false }
        }
        configurations = current
        return true
    }

    /// The configurations behind one byte.
    func next(_ current: [Configuration], _ byte: UInt8) -> [Configuration] {
        machine.output.removeAll(keepingCapacity: true)
        for configuration in current {
            machine.step(configuration, byte)
            if machine.output.count >= GrammarMachine.configurationLimit { break }
        }
        return Self.distinct(machine.output)
    }

    private static func distinct(_ configurations: [Configuration]) -> [Configuration] {
        guard configurations.count > 1 else { return configurations }
        var result: [Configuration] = []
        for configuration in configurations where !result.contains(configuration) { result.append(configuration) }
        return result
    }

    // MARK: Masks

    /// Sets the bit of each token that may come next, in words of 64 bits, and clears all others. `mask` has room for the
    /// vocabulary's `maskWords`.
    package func fill(_ mask: UnsafeMutablePointer<UInt64>) {
        mask.update(repeating: 0, count: vocabulary.maskWords)
        for configuration in configurations {
            let key = canonical(configuration)
            if masks.add(key, to: mask) { continue }
            masks.insert(key, words: vocabulary.maskWords) { compute(key, $0) }
            _ = masks.add(key, to: mask)
        }
    }

    /// The same as an array.
    package func mask() -> [UInt64] {
        var mask = [UInt64](repeating: 0, count: vocabulary.maskWords)
        mask.withUnsafeMutableBufferPointer { buffer in
            if let base = buffer.baseAddress { fill(base) }
        }
        return mask
    }
}
