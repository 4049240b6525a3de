import KimiCore

/// Compiles a schema to a `Grammar`: a node for each conjunction of subschemas that some place of a value must satisfy.
struct GrammarCompiler {
    /// A node's alternatives with children as nodes, before it is known which of them can be satisfied.
    struct Draft {
        var null = false
        var no = false
        var yes = false
        var number: NumberConstraint?
        var string: StringShape?
        /// How many strings there are, if only finitely many.
        var stringCount: Int?
        var array: DraftArray?
        var object: DraftObject?
    }

    struct DraftArray {
        var prefix: [Int32]
        var items: Int32
        var minimum: Int
        var maximum: Int
        var unique: String?

        func item(_ index: Int) -> Int32 { index < prefix.count ? prefix[index] : items }
    }

    struct DraftObject {
        var keys: [String]
        var values: [Int32]
        var isRequired: [Bool]
        var additional: Int32
        var minimum: Int
        var maximum: Int
    }

    /// The most nodes; a place beyond them may be anything.
    static let nodeLimit = 400_000
    /// The size of integers that `uniqueItems` keeps apart.
    static let apartLimit = ScaledNumber.one << 59

    var reader: SchemaReader
    var drafts: [[Draft]] = []
    var depths: [Int32] = []
    var tables = GrammarTables()
    private var conjunctions: [Conjunction] = []
    private var known: [Conjunction: Int32] = [:]
    private var strings = StringCompiler()

    init(_ schema: JSON) { reader = SchemaReader(schema) }

    mutating func compile() -> GrammarTables {
        build([SchemaDocument.rootID])
        if depths[0] > Grammar.depthLimit {
            reader.degradations.add(
                "#", "schema", "nothing can satisfy it within \(Grammar.depthLimit) levels; any JSON value is allowed")
            drafts = []
            conjunctions = []
            known = [:]
            build([])
        }
        tables.trees = strings.trees
        tables.languages = strings.languages
        emit()
        tables.depths = depths
        tables.degradations = reader.degradations.all
        return tables
    }

    private mutating func build(_ root: Conjunction) {
        _ = node(root)
        // The list grows as children are met.
        var index = 0
        while index < conjunctions.count {
            drafts.append(draft(conjunctions[index]))
            index += 1
        }
        for index in drafts.indices { settleUniqueness(index) }
        depths = GrammarDepths.minimal(drafts)
    }

    private mutating func node(_ conjunction: Conjunction) -> Int32 {
        if let node = known[conjunction] { return node }
        guard conjunctions.count < Self.nodeLimit || conjunction.isEmpty else {
            reader.degradations.add("#", "schema", "has more than \(Self.nodeLimit) places; the rest may be anything")
            return node([])
        }
        let node = Int32(truncatingIfNeeded: conjunctions.count)
        conjunctions.append(conjunction)
        known[conjunction] = node
        return node
    }

    // MARK: Drafts

    private mutating func draft(_ conjunction: Conjunction) -> [Draft] {
        var result: [Draft] = []
        for alternative in reader.alternatives(conjunction) {
            var draft = Draft()
            (draft.null, draft.no, draft.yes) = (alternative.null, alternative.no, alternative.yes)
            draft.number = alternative.number
            if let string = alternative.string, let compiled = strings.compile(string, &reader.degradations) {
                draft.string = compiled.shape
                draft.stringCount = compiled.count
            }
            if let array = alternative.array {
                draft.array = DraftArray(
                    prefix: array.prefix.map { node($0) }, items: node(array.items), minimum: array.minimum,
                    maximum: array.maximum ?? Int(Int32.max), unique: array.unique)
            }
            if let object = alternative.object { draft.object = self.draft(object) }
            result.append(draft)
        }
        return result
    }

    private mutating func draft(_ object: ObjectConstraint) -> DraftObject {
        var draft = DraftObject(
            keys: object.keys, values: [], isRequired: [], additional: node(object.additional), minimum: object.minimum,
            maximum: min(object.maximum ?? .max, TakenSets.sizeLimit))
        draft.values.reserveCapacity(object.keys.count)
        for key in object.keys {
            draft.values.append(node(object.property(key)))
            draft.isRequired.append(object.required.contains(key))
        }
        return draft
    }

    // MARK: Unique items

    /// Clips an array of different values to as many as there are, or gives uniqueness up where values cannot be kept apart.
    private mutating func settleUniqueness(_ index: Int) {
        for place in drafts[index].indices {
            guard var array = drafts[index][place].array, let path = array.unique else { continue }
            array.unique = nil
            if array.maximum > 1 {
                if array.prefix.isEmpty, let count = countedValues(array.items) {
                    array.unique = path
                    array.maximum = min(array.maximum, count, TakenSets.sizeLimit)
                } else {
                    reader.degradations.add(
                        path, "uniqueItems", "is enforced for words, integers, enumerations and strings without pattern and format")
                }
            }
            drafts[index][place].array = array
        }
    }

    /// How many different values a node has, `Int32.max` for endless ones that can be kept apart, or nil if they cannot be.
    /// The numbers of the node become an enumeration.
    private mutating func countedValues(_ node: Int32) -> Int? {
        let index = Int(node)
        guard drafts[index].count == 1 else { return drafts[index].isEmpty ? 0 : nil }
        let draft = drafts[index][0]
        guard draft.array == nil, draft.object == nil else { return nil }
        var count = (draft.null ? 1 : 0) + (draft.no ? 1 : 0) + (draft.yes ? 1 : 0)
        var isEndless = false
        if let string = draft.string {
            if let strings = draft.stringCount {
                count += strings
            } else {
                guard string.kind == .free else { return nil }
                if string.maximum == 0 { count += 1 } else { isEndless = true }
            }
        }
        if let number = draft.number {
            if let values = number.enumerated(limit: TakenSets.sizeLimit) {
                drafts[index][0].number = values.intervals.isEmpty ? nil : values
                count += values.intervals.count
            } else {
                var values = number
                values.limit(from: -Self.apartLimit, to: Self.apartLimit)
                values.isKeptApart = true
                guard number.isInteger, number.divisors.isEmpty, values.enumerated(limit: TakenSets.sizeLimit) == nil
                else { return nil }
                drafts[index][0].number = values
                isEndless = true
            }
        }
        return isEndless ? Int(Int32.max) : count
    }
}
