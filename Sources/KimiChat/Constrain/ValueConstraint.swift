import KimiCore

/// Schemas that hold at the same place, by their numbers in the `SchemaDocument`, in order. None at all: anything goes.
typealias Conjunction = [Int32]

func joined(_ left: Conjunction, _ right: Conjunction) -> Conjunction {
    if left.isEmpty || left == right { return right }
    if right.isEmpty { return left }
    return Array(Set(left).union(right)).sorted()
}

/// What a string may be.
struct StringConstraint {
    var minimum = 0
    var maximum: Int?
    var patterns: [String] = []
    var formats: [String] = []
    /// Where patterns and formats stand, for messages: place and keyword.
    var sources: [(path: String, keyword: String)] = []
    /// Unicode scalars of each allowed value; not sorted, perhaps with repetitions.
    var literals: [[UInt32]]?

    func met(with other: StringConstraint) -> StringConstraint? {
        var result = self
        result.minimum = max(minimum, other.minimum)
        result.maximum = [maximum, other.maximum].compactMap { $0 }.min()
        for pattern in other.patterns where !patterns.contains(pattern) { result.patterns.append(pattern) }
        for format in other.formats where !formats.contains(format) { result.formats.append(format) }
        result.sources += other.sources
        if let ours = literals, let theirs = other.literals {
            let set = Set(theirs)
            result.literals = ours.filter { set.contains($0) }
        } else {
            result.literals = literals ?? other.literals
        }
        if let maximum = result.maximum, maximum < result.minimum { return nil }
        if let values = result.literals {
            result.literals = values.filter { $0.count >= result.minimum && $0.count <= result.maximum ?? .max }
            if result.literals?.isEmpty == true { return nil }
        }
        return result
    }
}

/// What an array may be.
struct ArrayConstraint {
    var prefix: [Conjunction] = []
    var items: Conjunction = []
    var minimum = 0
    var maximum: Int?
    /// Where `uniqueItems` stands.
    var unique: String?

    func item(_ index: Int) -> Conjunction { index < prefix.count ? prefix[index] : items }

    func met(with other: ArrayConstraint) -> ArrayConstraint? {
        var result = self
        result.prefix = (0..<max(prefix.count, other.prefix.count)).map { joined(item($0), other.item($0)) }
        result.items = joined(items, other.items)
        result.minimum = max(minimum, other.minimum)
        result.maximum = [maximum, other.maximum].compactMap { $0 }.min()
        result.unique = unique ?? other.unique
        if let maximum = result.maximum, maximum < result.minimum { return nil }
        return result
    }
}

/// What an object may be.
struct ObjectConstraint {
    /// Declared keys in their order, and what each may hold.
    var keys: [String] = []
    var properties: [String: Conjunction] = [:]
    var required: Set<String> = []
    /// What any other key may hold.
    var additional: Conjunction = []
    var minimum = 0
    var maximum: Int?

    func property(_ key: String) -> Conjunction { properties[key] ?? additional }

    mutating func declare(_ key: String, _ value: Conjunction) {
        if properties.updateValue(value, forKey: key) == nil { keys.append(key) }
    }

    func met(with other: ObjectConstraint) -> ObjectConstraint? {
        var result = self
        for key in keys { result.properties[key] = joined(property(key), other.property(key)) }
        for key in other.keys where properties[key] == nil { result.declare(key, joined(additional, other.property(key))) }
        result.required.formUnion(other.required)
        result.additional = joined(additional, other.additional)
        result.minimum = max(minimum, other.minimum)
        result.maximum = [maximum, other.maximum].compactMap { $0 }.min()
        if let maximum = result.maximum, maximum < max(result.minimum, result.required.count) { return nil }
        return result
    }
}

/// One alternative of what a value may be: for each type what is demanded of it, nil where the type is not allowed.
struct ValueConstraint {
    var null = true
    var no = true
    var yes = true
    var number: NumberConstraint? = NumberConstraint()
    var string: StringConstraint? = StringConstraint()
    var array: ArrayConstraint? = ArrayConstraint()
    var object: ObjectConstraint? = ObjectConstraint()
    /// Whether it is `any` itself, which meets everything at no cost.
    private(set) var isAny = true

    static let any = ValueConstraint()

    static var nothing: ValueConstraint {
        var result = any
        result.restrict { value in
            (value.null, value.no, value.yes) = (false, false, false)
            (value.number, value.string, value.array, value.object) = (nil, nil, nil, nil)
        }
        return result
    }

    mutating func restrict(_ change: (inout ValueConstraint) -> Void) {
        isAny = false
        change(&self)
    }

    var isEmpty: Bool {
        !null && !no && !yes && number == nil && string == nil && array == nil && object == nil
    }

    func met(with other: ValueConstraint) -> ValueConstraint {
        if isAny { return other }
        if other.isAny { return self }
        var result = self
        result.null = null && other.null
        result.no = no && other.no
        result.yes = yes && other.yes
        result.number = if let number, let theirs = other.number { number.met(with: theirs) } else { nil }
        result.string = if let string, let theirs = other.string { string.met(with: theirs) } else { nil }
        result.array = if let array, let theirs = other.array { array.met(with: theirs) } else { nil }
        result.object = if let object, let theirs = other.object { object.met(with: theirs) } else { nil }
        return result
    }

    /// Takes another alternative into this one, if the two together are still one; false and nothing changed otherwise.
    mutating func unite(_ other: ValueConstraint) -> Bool {
        guard !isAny, !other.isAny else { return false }
        guard array == nil || other.array == nil, object == nil || other.object == nil else { return false }
        if let number, let theirs = other.number, !(number.isLiteral && theirs.isLiteral) { return false }
        if let string, let theirs = other.string, !(string.isEnumeration && theirs.isEnumeration) { return false }
        null = null || other.null
        no = no || other.no
        yes = yes || other.yes
        array = array ?? other.array
        object = object ?? other.object
        if let theirs = other.number {
            if number == nil { number = theirs } else { number?.addLiterals(of: theirs) }
        }
        if let theirs = other.string {
            if string == nil { string = theirs } else { string?.literals?.append(contentsOf: theirs.literals ?? []) }
        }
        return true
    }

    /// The alternatives in as few records as their types allow.
    static func simplified(_ alternatives: [ValueConstraint]) -> [ValueConstraint] {
        var result: [ValueConstraint] = []
        for alternative in alternatives where !alternative.isEmpty {
            if alternative.isAny { return [alternative] }
            var merged = false
            for index in result.indices.reversed().prefix(8) where !merged { merged = result[index].unite(alternative) }
            if !merged { result.append(alternative) }
        }
        return result
    }
}

extension StringConstraint {
    /// Whether only the list of values counts.
    var isEnumeration: Bool { literals != nil && patterns.isEmpty && formats.isEmpty }
}
