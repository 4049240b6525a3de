extension GrammarMachine {
    /// Takes one decoded scalar.
    @inline(__always)
    func advance(_ from: Frame, _ stack: Int32, _ scalar: UInt32) {
        var frame = from
        if frame.kind == .key {
            guard let state = nextKeyState(frame.a, stack, scalar) else { return }
            frame.a = state
            frame.x = Self.hash(frame.x, scalar)
        } else {
            let shape = grammar.strings[Int(frame.shape)]
            switch shape.kind {
            case .free:
                if shape.maximum < 0 {
                    if frame.a < shape.minimum { frame.a += 1 }
                } else {
                    guard frame.a < shape.maximum else { return }
                    frame.a += 1
                }
                if frame.taken != 0 {
                    frame.x = Self.hash(frame.x, scalar)
                    // At its full length a string can only end.
                    if frame.a == shape.maximum, isTaken(frame) { return }
                }
            case .literals:
                let tree = grammar.trees[Int(shape.index)]
                frame.a = tree.child(frame.a, scalar)
                guard frame.a >= 0 else { return }
                guard frame.taken == 0 || isPossible(tree.nodes[Int(frame.a)], without: frame.taken) else { return }
            case .language:
                frame.a = grammar.languages[Int(shape.index)].next(frame.a, scalar)
                guard frame.a >= 0 else { return }
            }
        }
        emit(frame, stack)
    }

    @inline(__always)
    private static func hash(_ hash: UInt64, _ scalar: UInt32) -> UInt64 {
        let mixed = (hash ^ UInt64(scalar) &+ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return mixed.low ^ mixed.high
    }

    private func nextKeyState(_ state: Int32, _ stack: Int32, _ scalar: UInt32) -> Int32? {
        guard state >= 0 else { return Self.outsideTree }
        let keys = OpenKeys(stacks[stack].frame, self)
        let tree = grammar.trees[Int(keys.shape.tree)]
        let child = tree.child(state, scalar)
        guard child >= 0 else { return keys.allowsOther ? Self.outsideTree : nil }
        return keys.isPossible(tree.nodes[Int(child)]) ? child : nil
    }

    func isPossible(_ node: LiteralTree.Node, without taken: Int32) -> Bool {
        sets.ranks(taken, from: node.low, to: node.high).count < Int(node.high - node.low)
    }

    /// Whether some scalar of a range may come next.
    func goesOn(_ frame: Frame, _ stack: Int32, _ low: UInt32, _ high: UInt32) -> Bool {
        guard low <= high else { return false }
        if frame.kind == .key {
            let keys = OpenKeys(stacks[stack].frame, self)
            if keys.allowsOther { return true }
            guard frame.a >= 0 else { return false }
            return hasChild(grammar.trees[Int(keys.shape.tree)], frame.a, low, high) { keys.isPossible($0) }
        }
        let shape = grammar.strings[Int(frame.shape)]
        switch shape.kind {
        case .free:
            guard shape.maximum >= 0 else { return true }
            guard frame.a < shape.maximum else { return false }
            guard frame.taken != 0, frame.a + 1 == shape.maximum, Int(high - low) < sets.count(frame.taken) else { return true }
            return (low...high).contains { scalar in
                var last = frame
                last.x = Self.hash(frame.x, scalar)
                return !isTaken(last)
            }
        case .literals:
            return hasChild(grammar.trees[Int(shape.index)], frame.a, low, high) {
                frame.taken == 0 || isPossible($0, without: frame.taken)
            }
        case .language:
            return grammar.languages[Int(shape.index)].goesOn(frame.a, in: low...high)
        }
    }

    /// Whether the string as it stands is one that this one must differ from.
    func isTaken(_ frame: Frame) -> Bool { sets.contains(frame.taken, frame.x | TakenSets.Member.other) }

    private func hasChild(
        _ tree: LiteralTree, _ node: Int32, _ low: UInt32, _ high: UInt32, _ isPossible: (LiteralTree.Node) -> Bool
    ) -> Bool {
        let parent = tree.nodes[Int(node)]
        var index = tree.firstChild(of: node, from: low)
        while index < parent.firstChild + parent.childCount, tree.nodes[Int(index)].scalar <= high {
            if isPossible(tree.nodes[Int(index)]) { return true }
            index += 1
        }
        return false
    }

    // MARK: The end

    /// Takes the closing quote if the string may end here.
    func endString(_ frame: Frame, _ stack: Int32) {
        if frame.kind == .key {
            if let object = afterKey(frame, stack) { emit(object.frame, object.stack) }
            return
        }
        guard let member = endedString(frame) else { return }
        let next = afterValue(stack, frame.taken, member)
        emit(next.frame, next.stack)
    }

    /// What stands for the string among values that are kept apart, or nil if it may not end here.
    func endedString(_ frame: Frame) -> UInt64? {
        let shape = grammar.strings[Int(frame.shape)]
        let member: UInt64
        switch shape.kind {
        case .free:
            guard frame.a >= shape.minimum else { return nil }
            member = frame.x | TakenSets.Member.other
        case .literals:
            let terminal = grammar.trees[Int(shape.index)].nodes[Int(frame.a)].terminal
            guard terminal >= 0 else { return nil }
            member = UInt64(UInt32(bitPattern: terminal))
        case .language:
            guard grammar.languages[Int(shape.index)].accepts(frame.a) else { return nil }
            member = 0
        }
        return frame.taken != 0 && sets.contains(frame.taken, member) ? nil : member
    }
}
