extension GrammarCompiler {
    /// Turns the drafts into the grammar's tables; what cannot be satisfied is left out.
    mutating func emit() {
        for node in drafts.indices {
            for draft in drafts[node] { emit(draft) }
            tables.starts.append(Int32(truncatingIfNeeded: tables.alternatives.count))
        }
    }

    private mutating func emit(_ draft: Draft) {
        func add(_ kind: Shape.Kind, _ index: Int, depth: Int32 = 0) {
            tables.alternatives.append(Shape(kind: kind, index: Int32(truncatingIfNeeded: index), depth: depth))
        }
        if draft.null { add(.null, 0) }
        if draft.no { add(.no, 0) }
        if draft.yes { add(.yes, 0) }
        if let number = draft.number {
            let shape = NumberShape(number, withoutNegativeZero: number.isLiteral || number.isKeptApart)
            if !shape.isEmpty {
                tables.numbers.append(shape)
                add(.number, tables.numbers.count - 1)
            }
        }
        if let string = draft.string {
            tables.strings.append(string)
            add(.string, tables.strings.count - 1)
        }
        if let array = draft.array {
            let depth = GrammarDepths.depth(array, depths)
            if depth <= Grammar.depthLimit {
                emit(array)
                add(.array, tables.arrays.count - 1, depth: depth)
            }
        }
        if let object = draft.object {
            let depth = GrammarDepths.depth(object, depths)
            if depth <= Grammar.depthLimit {
                emit(object)
                add(.object, tables.objects.count - 1, depth: depth)
            }
        }
    }

    private mutating func emit(_ array: DraftArray) {
        var maximum = array.maximum
        // No element can stand where none can satisfy the schema.
        for index in 0...array.prefix.count where index < maximum && depths[Int(array.item(index))] > Grammar.depthLimit {
            maximum = index
        }
        let prefix = tables.nodes.count
        tables.nodes += array.prefix
        tables.arrays.append(ArrayShape(
            prefix: Int32(truncatingIfNeeded: prefix), prefixCount: Int32(truncatingIfNeeded: array.prefix.count),
            items: array.items, minimum: Int32(clamping: array.minimum), maximum: Int32(clamping: maximum),
            isUnique: array.unique != nil, plateau: Int32(clamping: max(array.minimum, array.prefix.count))))
    }

    private mutating func emit(_ object: DraftObject) {
        let isPossible = object.values.map { depths[Int($0)] <= Grammar.depthLimit }
        let tree = LiteralTree(object.keys.map { $0.unicodeScalars.map(\.value) }) { isPossible[$0] }
        let values = tables.nodes.count
        let required = tables.requiredBelow.count
        var count: Int32 = 0
        var deepest: Int32 = 0
        tables.requiredBelow.append(0)
        for index in tree.order.map(Int.init) {
            tables.nodes.append(object.values[index])
            deepest = max(deepest, depths[Int(object.values[index])])
            if object.isRequired[index] { count += 1 }
            tables.requiredBelow.append(count)
        }
        tables.trees.append(tree)
        tables.objects.append(ObjectShape(
            tree: Int32(truncatingIfNeeded: tables.trees.count - 1), values: Int32(truncatingIfNeeded: values),
            required: Int32(truncatingIfNeeded: required), requiredCount: count,
            additional: depths[Int(object.additional)] <= Grammar.depthLimit ? object.additional : -1,
            minimum: Int32(clamping: object.minimum), maximum: Int32(clamping: object.maximum), deepest: deepest))
    }
}
