extension GrammarMatcher {
    /// The configuration with the registers set alike that cannot matter within one token, so that masks are found again.
    func canonical(_ configuration: Configuration) -> Configuration {
        var result = configuration
        if Int(result.frame.spaces) + vocabulary.longestSpaces <= Grammar.spaceLimit(depth: Int(result.frame.depth)) {
            result.frame.spaces = 0
        }
        switch result.frame.kind {
        case .number:
            // An exponent needs room for four more characters.
            if Int(result.frame.c) + vocabulary.longestNumber + 5 <= Int(GrammarMachine.numberLength) { result.frame.c = 1 }
        case .key:
            if !vocabulary.hasTwoKeys, !machine.sets.hasOthers(machine.stacks[result.stack].frame.a) { result.frame.x = 0 }
        case .string:
            let shape = grammar.strings[Int(result.frame.shape)]
            guard shape.kind == .free else { break }
            let length = Int32(clamping: vocabulary.longest)
            let (a, minimum, maximum) = (result.frame.a, shape.minimum, shape.maximum)
            if a < minimum, minimum - a > length { result.frame.a = 0 }
            if a >= minimum, maximum >= 0, maximum - a > length { result.frame.a = minimum }
        default: break
        }
        return result
    }

    /// Finds all tokens that may follow a configuration.
    func compute(_ configuration: Configuration, _ mask: UnsafeMutablePointer<UInt64>) {
        if let scalars = plainScalars(configuration) {
            vocabulary.addPlain(upTo: scalars, mask)
            walk(vocabulary.other, configuration, mask)
        } else if let language = language(configuration) {
            walkPlain(language, configuration.frame.a, mask)
            walk(vocabulary.other, configuration, mask)
        } else {
            walk(vocabulary.all, configuration, mask)
        }
    }

    /// The language of a string that is between two characters.
    private func language(_ configuration: Configuration) -> StringLanguage? {
        let frame = configuration.frame
        guard frame.kind == .string, frame.phase == StringPhase.content else { return nil }
        let shape = grammar.strings[Int(frame.shape)]
        return shape.kind == .language ? grammar.languages[Int(shape.index)] : nil
    }

    /// Plain text within a string only moves the state of its language: a walk without configurations, scalar by scalar.
    private func walkPlain(_ language: StringLanguage, _ state: Int32, _ mask: UnsafeMutablePointer<UInt64>) {
        var states = [Int32](repeating: state, count: vocabulary.longestPlain + 2)
        states.withUnsafeMutableBufferPointer { states in
            vocabulary.plainTree.withUnsafeBufferPointer { nodes in
                var index = 0
                while index < nodes.count {
                    let node = nodes[index]
                    let next = language.next(states[Int(node.depth) - 1], node.scalar)
                    if next < 0 {
                        index = Int(node.end)
                        continue
                    }
                    states[Int(node.depth)] = next
                    if node.token >= 0 { set(node.token, mask) }
                    index += 1
                }
            }
        }
    }

    /// Within a string that any text goes on with, how many scalars of it; nil elsewhere.
    private func plainScalars(_ configuration: Configuration) -> Int? {
        let frame = configuration.frame
        guard frame.phase == StringPhase.content else { return nil }
        if frame.kind == .key {
            return OpenKeys(machine.stacks[configuration.stack].frame, machine).allowsOther ? vocabulary.longestPlain : nil
        }
        guard frame.kind == .string else { return nil }
        let shape = grammar.strings[Int(frame.shape)]
        switch shape.kind {
        case .free:
            guard shape.maximum >= 0 else { return vocabulary.longestPlain }
            let rest = Int(shape.maximum - frame.a)
            // A string of full length may be one that is taken.
            return frame.taken != 0 && rest <= vocabulary.longestPlain ? nil : min(vocabulary.longestPlain, rest)
        case .literals: return nil
        case .language: return grammar.languages[Int(shape.index)].isUniversal(frame.a) ? vocabulary.longestPlain : nil
        }
    }

    /// Steps through the tree depth first; a byte that leads nowhere closes everything below it.
    private func walk(_ nodes: [VocabularyTree.Node], _ configuration: Configuration, _ mask: UnsafeMutablePointer<UInt64>) {
        machine.output.removeAll(keepingCapacity: true)
        machine.output.append(configuration)
        walkStarts[0] = 0
        walkStarts[1] = 1
        nodes.withUnsafeBufferPointer { nodes in
            var index = 0
            while index < nodes.count {
                let node = nodes[index]
                let depth = Int(node.depth)
                let start = walkStarts[depth]
                if machine.output.count > start { machine.output.removeLast(machine.output.count - start) }
                for place in walkStarts[depth - 1]..<start {
                    machine.step(machine.output[place], node.byte)
                    if machine.output.count - start >= GrammarMachine.configurationLimit { break }
                }
                if machine.output.count == start {
                    index = Int(node.end)
                    continue
                }
                if machine.output.count > start + 1 { dropRepetitions(from: start) }
                walkStarts[depth + 1] = machine.output.count
                if node.token >= 0 { set(node.token, mask) }
                index += 1
            }
        }
    }

    private func dropRepetitions(from start: Int) {
        var end = start + 1
        for place in start + 1..<machine.output.count {
            let configuration = machine.output[place]
            if !machine.output[start..<end].contains(configuration) {
                machine.output[end] = configuration
                end += 1
            }
        }
        machine.output.removeLast(machine.output.count - end)
    }

    private func set(_ token: Int32, _ mask: UnsafeMutablePointer<UInt64>) {
        mask[Int(token) >> 6] |= 1 << UInt64(token & 63)
        guard !vocabulary.twins.isEmpty else { return }
        var next = vocabulary.twins[token]
        while let twin = next {
            mask[Int(twin) >> 6] |= 1 << UInt64(twin & 63)
            next = vocabulary.twins[twin]
        }
    }
}
