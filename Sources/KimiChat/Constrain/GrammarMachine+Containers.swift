extension GrammarMachine {
    // MARK: Arrays

    func stepArray(_ configuration: Configuration, _ byte: UInt8) {
        let frame = configuration.frame
        let shape = grammar.arrays[Int(frame.shape)]
        switch byte {
        case 0x5D:
            if frame.b >= shape.minimum { endContainer(configuration) }
        case 0x2C:
            if frame.phase == ContainerPhase.after, let value = nextElement(configuration, shape) { emit(value.frame, value.stack) }
        default:
            if stepSpace(configuration, byte) { return }
            if frame.phase == ContainerPhase.start, let value = nextElement(configuration, shape) { stepValue(value, byte) }
        }
    }

    /// The configuration in which the next element begins, or nil if there can be none.
    func nextElement(_ configuration: Configuration, _ shape: ArrayShape) -> Configuration? {
        var frame = configuration.frame
        guard frame.b < shape.maximum else { return nil }
        let node = frame.b < shape.prefixCount ? grammar.nodes[Int(shape.prefix + frame.b)] : shape.items
        guard fits(node, frame.depth) else { return nil }
        var value = Frame(.value)
        value.shape = node
        value.depth = frame.depth
        if shape.isUnique { value.taken = frame.a }
        // Without a maximum all counts beyond the plateau are one.
        frame.b = shape.maximum == .max && frame.b >= shape.plateau ? frame.b : frame.b + 1
        frame.phase = ContainerPhase.after
        frame.spaces = 0
        return Configuration(frame: value, stack: stacks.push(frame, configuration.stack))
    }

    private func endContainer(_ configuration: Configuration) {
        // Arrays and objects are never counted among different values.
        let next = afterValue(configuration.stack, 0, 0)
        emit(next.frame, next.stack)
    }

    // MARK: Objects

    func stepObject(_ configuration: Configuration, _ byte: UInt8) {
        var frame = configuration.frame
        switch (frame.phase, byte) {
        case (ContainerPhase.start, 0x22), (ContainerPhase.key, 0x22): beginKey(configuration)
        case (ContainerPhase.colon, 0x3A):
            var value = Frame(.value)
            value.shape = frame.b
            value.depth = frame.depth
            frame.phase = ContainerPhase.after
            frame.b = 0
            frame.spaces = 0
            emit(value, stacks.push(frame, configuration.stack))
        case (ContainerPhase.after, 0x2C):
            guard canBeginKey(frame) else { return }
            frame.phase = ContainerPhase.key
            frame.spaces = 0
            emit(frame, configuration.stack)
        case (ContainerPhase.start, 0x7D), (ContainerPhase.after, 0x7D):
            if canEndObject(frame) { endContainer(configuration) }
        default: _ = stepSpace(configuration, byte)
        }
    }

    func canEndObject(_ frame: Frame) -> Bool {
        frame.x == 0 && sets.count(frame.a) >= Int(grammar.objects[Int(frame.shape)].minimum)
    }

    func canBeginKey(_ frame: Frame) -> Bool {
        let keys = OpenKeys(frame, self)
        return keys.isPossible(grammar.trees[Int(keys.shape.tree)].nodes[0])
    }

    private func beginKey(_ configuration: Configuration) {
        guard canBeginKey(configuration.frame) else { return }
        var object = configuration.frame
        object.phase = ContainerPhase.colon
        object.spaces = 0
        var key = Frame(.key)
        key.shape = object.shape
        emit(key, stacks.push(object, configuration.stack))
    }

    /// The object's frame behind a key that has ended, or nil if the key may not end here.
    func afterKey(_ key: Frame, _ stack: Int32) -> Configuration? {
        var object = stacks[stack]
        let keys = OpenKeys(object.frame, self)
        let terminal = key.a < 0 ? LiteralTree.none : grammar.trees[Int(keys.shape.tree)].nodes[Int(key.a)].terminal
        if terminal >= 0 {
            guard keys.isOpen(terminal) else { return nil }
            object.frame.b = grammar.nodes[Int(keys.shape.values + terminal)]
            if keys.isRequired(terminal) { object.frame.x -= 1 }
            object.frame.a = sets.adding(UInt64(UInt32(bitPattern: terminal)), to: object.frame.a)
            return object
        }
        let member = key.x | TakenSets.Member.other
        guard terminal == LiteralTree.none, keys.allowsOther, !sets.contains(object.frame.a, member) else { return nil }
        object.frame.b = keys.shape.additional
        object.frame.a = sets.adding(member, to: object.frame.a)
        return object
    }
}

/// Which keys an object may still have.
struct OpenKeys {
    let shape: ObjectShape
    let object: Frame
    let machine: GrammarMachine
    /// Whether only required keys still have room.
    let onlyRequired: Bool
    /// Whether a key that is not declared may be written.
    let allowsOther: Bool
    /// Whether some declared values need more levels than there are left.
    private let isTight: Bool

    @inline(__always)
    init(_ object: Frame, _ machine: GrammarMachine) {
        self.object = object
        self.machine = machine
        shape = machine.grammar.objects[Int(object.shape)]
        onlyRequired = machine.sets.count(object.a) + Int(truncatingIfNeeded: object.x) >= Int(shape.maximum)
        allowsOther = !onlyRequired && machine.fits(shape.additional, object.depth)
        isTight = shape.deepest + Int32(object.depth) > Grammar.depthLimit
    }

    func isRequired(_ rank: Int32) -> Bool {
        let grammar = machine.grammar
        return grammar.requiredBelow[Int(shape.required + rank)] < grammar.requiredBelow[Int(shape.required + rank + 1)]
    }

    /// Whether the declared key of this rank may be written.
    func isOpen(_ rank: Int32) -> Bool {
        !machine.sets.contains(object.a, UInt64(UInt32(bitPattern: rank))) && (!onlyRequired || isRequired(rank))
            && machine.fits(machine.grammar.nodes[Int(shape.values + rank)], object.depth)
    }

    /// Whether some key begins with what leads to a node of the tree.
    @inline(__always)
    func isPossible(_ node: LiteralTree.Node) -> Bool { allowsOther || isDeclaredPossible(node) }

    /// Whether a required key that is still missing is below a node of the tree.
    func holdsRequired(_ node: LiteralTree.Node) -> Bool {
        let required = machine.grammar.requiredBelow
        let all = required[Int(shape.required + node.high)] - required[Int(shape.required + node.low)]
        guard object.x > 0, all > 0 else { return false }
        let written = machine.sets.ranks(object.a, from: node.low, to: node.high)
        return written.count(where: { isRequired(Int32(truncatingIfNeeded: $0)) }) < Int(all)
    }

    private func isDeclaredPossible(_ node: LiteralTree.Node) -> Bool {
        guard node.low < node.high else { return false }
        // What is required fits at any depth where the object itself does.
        if onlyRequired { return holdsRequired(node) }
        if isTight { return (node.low..<node.high).contains { isOpen($0) } }
        return machine.sets.ranks(object.a, from: node.low, to: node.high).count < Int(node.high - node.low)
    }
}
