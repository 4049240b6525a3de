/// How deep values must nest at least: the least fixed point over all nodes. It also tells what can be satisfied at all.
enum GrammarDepths {
    static func minimal(_ drafts: [[GrammarCompiler.Draft]]) -> [Int32] {
        var depths = [Int32](repeating: Grammar.unsatisfiable, count: drafts.count)
        // Children are made after their parents, so that going backwards most depths are final in one round; references back need
        // one more for each level, and no value has more levels than the limit.
        for _ in 0...Grammar.depthLimit {
            var changed = false
            for node in drafts.indices.reversed() {
                var least = Grammar.unsatisfiable
                for draft in drafts[node] { least = min(least, depth(draft, depths)) }
                if least > Grammar.depthLimit { least = Grammar.unsatisfiable }
                if least < depths[node] {
                    depths[node] = least
                    changed = true
                }
            }
            if !changed { break }
        }
        return depths
    }

    private static func depth(_ draft: GrammarCompiler.Draft, _ depths: [Int32]) -> Int32 {
        if draft.null || draft.no || draft.yes || draft.number != nil || draft.string != nil { return 0 }
        var least = Grammar.unsatisfiable
        if let array = draft.array { least = min(least, depth(array, depths)) }
        if let object = draft.object { least = min(least, depth(object, depths)) }
        return least
    }

    static func depth(_ array: GrammarCompiler.DraftArray, _ depths: [Int32]) -> Int32 {
        guard array.minimum <= array.maximum else { return Grammar.unsatisfiable }
        var deepest: Int32 = 0
        for index in 0..<min(array.minimum, array.prefix.count + 1) { deepest = max(deepest, depths[Int(array.item(index))]) }
        return deepest + 1
    }

    static func depth(_ object: GrammarCompiler.DraftObject, _ depths: [Int32]) -> Int32 {
        var deepest: Int32 = 0
        var required = 0
        for index in object.keys.indices where object.isRequired[index] {
            deepest = max(deepest, depths[Int(object.values[index])])
            required += 1
        }
        guard required <= object.maximum, object.minimum <= object.maximum else { return Grammar.unsatisfiable }
        let missing = object.minimum - required
        guard missing > 0, deepest <= Grammar.depthLimit else { return deepest + 1 }
        // The shallowest of the optional keys fill up to the minimum; other keys there are without end.
        let other = depths[Int(object.additional)]
        let optional = object.keys.indices.filter { !object.isRequired[$0] }.map { depths[Int(object.values[$0])] }.sorted()
        let declared = optional.prefix(missing).filter { $0 <= other }
        if declared.count < missing { deepest = max(deepest, other) }
        return max(deepest, declared.max() ?? 0) + 1
    }
}
