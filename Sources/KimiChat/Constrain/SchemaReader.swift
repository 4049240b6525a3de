import KimiCore

/// Turns subschemas into alternatives of `ValueConstraint`: applies references, allOf, anyOf and oneOf, and leaves the schemas of
/// members and elements as conjunctions for later.
///
/// It never fails. What cannot be said in constraints is left out, so that more is allowed and never less, and is listed.
struct SchemaReader {
    var document: SchemaDocument
    var degradations = DegradationList()
    private var known: [Int32: [ValueConstraint]] = [:]
    private var inProgress: Set<Int32> = []
    /// How many proofs are under way that branches are disjoint, and whether the innermost one came upon a schema that is being
    /// read itself, or upon too many: it then proves nothing.
    private var proofs = 0
    private var isUnproven = false

    /// How many references and combinations may lead into each other at one place.
    static let chainLimit = 96
    /// How many alternatives one value may have, after those of different types are put together.
    static let alternativeLimit = 128

    init(_ root: JSON) { document = SchemaDocument(root: root) }

    /// What all schemas of a conjunction allow together; none if that is nothing.
    mutating func alternatives(_ conjunction: Conjunction) -> [ValueConstraint] {
        var result = [ValueConstraint.any]
        for id in conjunction {
            result = meet(result, alternatives(of: id), document[id].path, "allOf")
        }
        return result
    }

    private mutating func alternatives(of id: Int32) -> [ValueConstraint] {
        if let known = known[id] { return known }
        let place = document[id]
        let isRepeated = inProgress.contains(id)
        guard !isRepeated, inProgress.count < Self.chainLimit else {
            if proofs > 0 {
                isUnproven = true
            } else {
                let reason = isRepeated ? "leads back to itself" : "more than \(Self.chainLimit) references in a row"
                degradations.add(place.path, "$ref", reason)
            }
            return [.any]
        }
        inProgress.insert(id)
        let result = read(place)
        inProgress.remove(id)
        if !isUnproven { known[id] = result }
        return result
    }

    private mutating func read(_ place: SchemaDocument.Place) -> [ValueConstraint] {
        switch place.schema {
        case .bool(true): return [.any]
        case .bool(false): return []
        case .object(let schema):
            if schema.keys.isEmpty { return [.any] }
            var keywords = SchemaKeywords(schema, place.path)
            var result = keywords.ownAlternatives(&document, &degradations)
            result = applyReference(schema, place, result)
            for (index, part) in list(schema, "allOf", place.path).enumerated() {
                let id = document.place(part, "\(place.path)/allOf/\(index)")
                result = meet(result, alternatives(of: id), place.path, "allOf")
            }
            for keyword in ["anyOf", "oneOf"] where schema[keyword] != nil {
                let branches = list(schema, keyword, place.path).enumerated().map { index, part in
                    document.place(part, "\(place.path)/\(keyword)/\(index)")
                }
                guard !branches.isEmpty else { continue }
                let choices = branches.map { alternatives(of: $0) }
                if keyword == "oneOf", !areDisjoint(choices) {
                    degradations.add(place.path, "oneOf", "its branches may overlap; taken as anyOf")
                }
                result = meet(result, ValueConstraint.simplified(choices.flatMap { $0 }), place.path, keyword)
            }
            return result
        default:
            degradations.add(place.path, "schema", "is \(place.schema.kind); a schema is an object, true or false")
            return [.any]
        }
    }

    private mutating func applyReference(
        _ schema: JSONObject, _ place: SchemaDocument.Place, _ result: [ValueConstraint]
    ) -> [ValueConstraint] {
        guard let value = schema["$ref"] else { return result }
        guard let reference = value.stringValue, let id = document.resolve(reference) else {
            degradations.add(place.path, "$ref", "leads to nothing in this schema")
            return result
        }
        return meet(result, alternatives(of: id), place.path, "$ref")
    }

    private mutating func list(_ schema: JSONObject, _ keyword: String, _ path: String) -> [JSON] {
        guard let value = schema[keyword] else { return [] }
        guard let elements = value.arrayValue, !elements.isEmpty else {
            degradations.add(path, keyword, "is not a list of schemas")
            return []
        }
        return elements
    }

    /// Every pair of alternatives met; the second factor is left out, and listed, where there would be too many.
    private mutating func meet(
        _ left: [ValueConstraint], _ right: [ValueConstraint], _ path: String, _ keyword: String
    ) -> [ValueConstraint] {
        if left.count == 1, left[0].isAny { return limited(right, path, keyword) }
        if right.count == 1, right[0].isAny { return left }
        guard left.count * right.count <= Self.alternativeLimit * 8 else {
            degradations.add(path, keyword, "more than \(Self.alternativeLimit) alternatives")
            return left
        }
        var result: [ValueConstraint] = []
        for ours in left {
            for theirs in right {
                let met = ours.met(with: theirs)
                if !met.isEmpty { result.append(met) }
            }
        }
        result = ValueConstraint.simplified(result)
        guard result.count <= Self.alternativeLimit else {
            degradations.add(path, keyword, "more than \(Self.alternativeLimit) alternatives")
            return left
        }
        return result
    }

    private mutating func limited(_ alternatives: [ValueConstraint], _ path: String, _ keyword: String) -> [ValueConstraint] {
        guard alternatives.count > Self.alternativeLimit else { return alternatives }
        degradations.add(path, keyword, "more than \(Self.alternativeLimit) alternatives")
        return [.any]
    }

    // MARK: Disjoint branches

    /// Whether no value can satisfy two of the branches, as far as that can be proven in bounded time.
    private mutating func areDisjoint(_ branches: [[ValueConstraint]]) -> Bool {
        if let distinct = areDistinctLiterals(branches) { return distinct }
        guard branches.count <= 200 else { return false }
        for (index, branch) in branches.enumerated() {
            for other in branches[..<index] {
                for left in branch {
                    for right in other where !isEmpty(left.met(with: right), depth: 0) { return false }
                }
            }
        }
        return true
    }

    /// The quick answer where all branches are lists of strings; nil where they are not.
    private func areDistinctLiterals(_ branches: [[ValueConstraint]]) -> Bool? {
        var seen: Set<[UInt32]> = []
        for branch in branches {
            var ours: Set<[UInt32]> = []
            for value in branch {
                guard !value.null, !value.no, !value.yes, value.number == nil, value.array == nil, value.object == nil,
                    let string = value.string, string.isEnumeration, let literals = string.literals
                else { return nil }
                ours.formUnion(literals)
            }
            guard seen.isDisjoint(with: ours) else { return false }
            seen.formUnion(ours)
        }
        return true
    }

    private mutating func isEmpty(_ value: ValueConstraint, depth: Int) -> Bool {
        if value.null || value.no || value.yes || value.string != nil || value.number != nil { return false }
        if let array = value.array {
            guard depth < 4 else { return false }
            // An array is impossible if one of the elements that it must have is.
            let possible = (0..<min(array.minimum, array.prefix.count + 1)).allSatisfy { index in
                !isEmpty(array.item(index), depth: depth + 1)
            }
            if possible { return false }
        }
        if let object = value.object {
            guard depth < 4 else { return false }
            let isPossible = object.keys.allSatisfy { key in
                !object.required.contains(key) || !isEmpty(object.property(key), depth: depth + 1)
            }
            if isPossible { return false }
        }
        return true
    }

    private mutating func isEmpty(_ conjunction: Conjunction, depth: Int) -> Bool {
        let outer = isUnproven
        isUnproven = false
        proofs += 1
        defer {
            proofs -= 1
            isUnproven = outer
        }
        var result = [ValueConstraint.any]
        for id in conjunction {
            let theirs = alternatives(of: id)
            guard !isUnproven, result.count * theirs.count <= 256 else { return false }
            result = result.flatMap { ours in theirs.map { ours.met(with: $0) } }
        }
        return result.allSatisfy { isEmpty($0, depth: depth + 1) }
    }
}
