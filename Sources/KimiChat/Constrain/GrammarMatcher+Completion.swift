extension GrammarMatcher {
    /// A short text that ends the value from here: every string, array and object closed as soon as it may be. Empty where the
    /// value may end now. Nothing is taken.
    ///
    /// It need not be the shortest of all, but it never nests deeper than the schema demands, and so it always ends.
    ///
    /// - Returns: nil for a grammar that allows nothing, or where more than `limit` bytes would be needed.
    package func shortCompletion(limit: Int = 1 << 20) -> [UInt8]? {
        guard var current = configurations.first(where: { machine.canEnd($0) }) ?? configurations.first else { return nil }
        var text: [UInt8] = []
        while !machine.canEnd(current) {
            guard let (bytes, next) = advanceTowardsEnd(current) else { return nil }
            text += bytes
            guard text.count <= limit else { return nil }
            current = next
        }
        return text
    }

    /// The next bytes on the way to the end, and where they lead.
    private func advanceTowardsEnd(_ configuration: Configuration) -> ([UInt8], Configuration)? {
        let frame = configuration.frame
        switch frame.kind {
        case .done: return nil
        case .value: return beginShallowest(configuration)
        case .word, .raw: return first(of: Array(0x20...0xFF) + Array(0x00...0x1F), configuration)
        case .number: return advanceNumber(configuration)
        case .string, .key: return advanceString(configuration)
        case .array:
            let ends = frame.b >= grammar.arrays[Int(frame.shape)].minimum
            if ends { return first(of: [0x5D], configuration) }
            if frame.phase == ContainerPhase.after { return first(of: [0x2C], configuration) }
            return machine.nextElement(configuration, grammar.arrays[Int(frame.shape)]).flatMap { beginShallowest($0) }
        case .object:
            switch frame.phase {
            case ContainerPhase.colon: return first(of: [0x3A], configuration)
            case ContainerPhase.key: return first(of: [0x22], configuration)
            default: return first(of: machine.canEndObject(frame) ? [0x7D] : [0x2C, 0x22], configuration)
            }
        }
    }

    /// The first of some bytes that leads anywhere.
    private func first(of bytes: [UInt8], _ configuration: Configuration) -> ([UInt8], Configuration)? {
        for byte in bytes {
            if let next = next([configuration], byte).first { return ([byte], next) }
        }
        return nil
    }

    private func beginShallowest(_ value: Configuration) -> ([UInt8], Configuration)? {
        let node = Int(value.frame.shape)
        let shapes = grammar.alternatives[Int(grammar.starts[node])..<Int(grammar.starts[node + 1])].sorted { $0.depth < $1.depth }
        for shape in shapes {
            let bytes: [UInt8]
            switch shape.kind {
            case .null: bytes = [0x6E]
            case .no: bytes = [0x66]
            case .yes: bytes = [0x74]
            case .string: bytes = [0x22]
            case .array: bytes = [0x5B]
            case .object: bytes = [0x7B]
            case .number: bytes = Array(0x30...0x39) + [0x2D]
            case .raw: return first(of: Array(0x00...0xFF), value)
            }
            for byte in bytes {
                let found = next([value], byte).first { next in
                    // Of the alternatives that begin with this byte, this very one.
                    shape.depth == 0 || next.frame.shape == shape.index
                }
                if let found { return ([byte], found) }
            }
        }
        return nil
    }

    private func advanceNumber(_ configuration: Configuration) -> ([UInt8], Configuration)? {
        if machine.canEndNumber(configuration.frame), configuration.stack != 0 {
            return advanceTowardsEnd(machine.afterNumber(configuration))
        }
        // Behind the point more digits may only lead on to an exponent, and so it comes first.
        let isFraction = configuration.frame.phase == NumberPhase.fraction
        return first(of: (isFraction ? [0x65] : []) + Array(0x30...0x39) + [0x65, 0x2E, 0x2D, 0x2B], configuration)
    }

    // MARK: Strings

    private func advanceString(_ configuration: Configuration) -> ([UInt8], Configuration)? {
        let frame = configuration.frame
        guard frame.phase == StringPhase.content else {
            let bytes: [UInt8] = frame.phase == StringPhase.bytes ? Array(0x80...0xBF) : Array(0x22...0x7A)
            return first(of: bytes, configuration)
        }
        // A required key is written to its end; anything else is closed as soon as it may be.
        if !leadsToRequiredKey(configuration), let end = first(of: [0x22], configuration) { return end }
        for scalar in scalarsTowardsEnd(configuration) {
            let bytes = Self.spelled(scalar)
            var current = [configuration]
            for byte in bytes where !current.isEmpty { current = next(current, byte) }
            if let next = current.first { return (bytes, next) }
        }
        return nil
    }

    /// Whether a required key that is still missing goes on from here, and does not end here.
    private func leadsToRequiredKey(_ configuration: Configuration) -> Bool {
        guard configuration.frame.kind == .key, configuration.frame.a >= 0 else { return false }
        let keys = OpenKeys(machine.stacks[configuration.stack].frame, machine)
        let node = grammar.trees[Int(keys.shape.tree)].nodes[Int(configuration.frame.a)]
        if node.terminal >= 0, keys.isOpen(node.terminal), keys.isRequired(node.terminal) { return false }
        return keys.holdsRequired(node)
    }

    /// Scalars to try, the most promising first.
    private func scalarsTowardsEnd(_ configuration: Configuration) -> [UInt32] {
        let frame = configuration.frame
        let letter: [UInt32] = [0x61]
        if frame.kind == .key {
            guard frame.a >= 0 else { return letter }
            let keys = OpenKeys(machine.stacks[configuration.stack].frame, machine)
            let tree = grammar.trees[Int(keys.shape.tree)]
            let children = Self.children(tree, frame.a)
            let required = children.filter { keys.holdsRequired($0) }
            return (required + children.filter { keys.isPossible($0) }).map(\.scalar) + letter
        }
        let shape = grammar.strings[Int(frame.shape)]
        switch shape.kind {
        case .free:
            // More letters than there can be strings that this one must differ from.
            return letter + (0..<UInt32(clamping: machine.sets.count(frame.taken))).map { 0x4E00 + $0 }
        case .literals:
            return Self.children(grammar.trees[Int(shape.index)], frame.a).map(\.scalar)
        case .language:
            let language = grammar.languages[Int(shape.index)]
            return language.scalarTowardsEnd(frame.a).map { [$0] } ?? []
        }
    }

    private static func children(_ tree: LiteralTree, _ node: Int32) -> ArraySlice<LiteralTree.Node> {
        let parent = tree.nodes[Int(node)]
        return tree.nodes[Int(parent.firstChild)..<Int(parent.firstChild + parent.childCount)]
    }

    /// A scalar within a JSON string.
    private static func spelled(_ scalar: UInt32) -> [UInt8] {
        switch scalar {
        case 0x22, 0x5C: return [0x5C, UInt8(scalar)]
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            return Array("\\u00".utf8) + [digits[Int(scalar >> 4)], digits[Int(scalar & 15)]]
        default: return UnicodeScalar(scalar).flatMap { UTF8.encode($0) }.map { Array($0) } ?? []
        }
    }
}
