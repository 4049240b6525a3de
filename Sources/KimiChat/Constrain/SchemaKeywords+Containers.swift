import KimiCore

extension SchemaKeywords {
    // MARK: Arrays

    func readArray(
        _ value: inout ValueConstraint, _ document: inout SchemaDocument, _ degradations: inout DegradationList
    ) {
        guard var array = value.array else { return }
        var changed = false
        var prefix = schema["prefixItems"]
        var rest = schema["items"]
        var restKeyword = "items"
        if case .array = rest {
            // The older spelling of a tuple.
            (prefix, rest, restKeyword) = (rest, schema["additionalItems"], "additionalItems")
        }
        if let prefix {
            if let elements = prefix.arrayValue {
                let keyword = restKeyword == "items" ? "prefixItems" : "items"
                array.prefix = elements.enumerated().map { index, element in
                    conjunction(element, "\(path)/\(keyword)/\(index)", &document)
                }
                changed = true
            } else {
                degradations.add(path, "prefixItems", "is not a list of schemas")
            }
        }
        if let rest {
            array.items = conjunction(rest, "\(path)/\(restKeyword)", &document)
            changed = true
        }
        if let minimum = count("minItems", &degradations) { array.minimum = minimum; changed = true }
        if let maximum = count("maxItems", &degradations) { array.maximum = maximum; changed = true }
        if schema["uniqueItems"] == .bool(true) { array.unique = path; changed = true }
        guard changed else { return }
        let isPossible = array.minimum <= array.maximum ?? .max
        value.restrict { $0.array = isPossible ? array : nil }
    }

    /// The conjunction of one subschema: empty for `true` and `{}`.
    private func conjunction(_ schema: JSON, _ path: String, _ document: inout SchemaDocument) -> Conjunction {
        if schema == .bool(true) { return [] }
        if case .object(let object) = schema, object.keys.isEmpty { return [] }
        return [document.place(schema, path)]
    }

    // MARK: Objects

    func readObject(
        _ value: inout ValueConstraint, _ document: inout SchemaDocument, _ degradations: inout DegradationList
    ) {
        guard var object = value.object else { return }
        var changed = false
        if let properties = schema["properties"] {
            if let members = properties.objectValue {
                for key in members.keys {
                    guard let member = members[key] else { continue }
                    object.declare(key, conjunction(member, "\(path)/properties/\(SchemaDocument.escaped(key))", &document))
                }
                changed = !members.keys.isEmpty
            } else {
                degradations.add(path, "properties", "is not an object of schemas")
            }
        }
        if let required = schema["required"] {
            if let names = required.arrayValue {
                for name in names {
                    guard let name = name.stringValue else {
                        degradations.add(path, "required", "holds something that is not a string")
                        continue
                    }
                    object.required.insert(name)
                    changed = true
                }
            } else {
                degradations.add(path, "required", "is not a list of names")
            }
        }
        if let additional = schema["additionalProperties"] {
            object.additional = conjunction(additional, "\(path)/additionalProperties", &document)
            changed = changed || !object.additional.isEmpty
        }
        if let patterns = schema["patternProperties"]?.objectValue, !patterns.keys.isEmpty {
            loosen(&object, patterns, &document, &degradations)
        }
        for name in object.required where object.properties[name] == nil { object.declare(name, object.additional) }
        if let minimum = count("minProperties", &degradations) { object.minimum = minimum; changed = true }
        if let maximum = count("maxProperties", &degradations) { object.maximum = maximum; changed = true }
        guard changed else { return }
        let isPossible = max(object.minimum, object.required.count) <= object.maximum ?? .max
        value.restrict { $0.object = isPossible ? object : nil }
    }

    /// Keys are not matched with patterns, so that any key that is not declared may be one that a pattern speaks of: its value may
    /// be what any of the patterns, or additionalProperties, allows.
    private func loosen(
        _ object: inout ObjectConstraint, _ patterns: JSONObject, _ document: inout SchemaDocument,
        _ degradations: inout DegradationList
    ) {
        degradations.add(
            path, "patternProperties", "keys are not matched with patterns; a value of any of them is allowed for any key")
        guard !object.additional.isEmpty else { return }
        var choices = patterns.keys.compactMap { patterns[$0] }
        choices.append(schema["additionalProperties"] ?? .bool(true))
        var choice = JSONObject()
        _ = choice.add("anyOf", .array(choices))
        object.additional = [document.place(.object(choice), "\(path)/patternProperties")]
    }

    // MARK: Literals

    /// The values of `enum` and `const`. Members and elements become schemas of `const` themselves.
    func literalAlternatives(
        _ values: [JSON], _ keyword: String, _ document: inout SchemaDocument, _ degradations: inout DegradationList
    ) -> [ValueConstraint] {
        var scalars = ValueConstraint.nothing
        var strings: [[UInt32]] = []
        var numbers: NumberConstraint?
        var containers: [ValueConstraint] = []
        for (index, value) in values.enumerated() {
            let place = keyword == "const" ? "\(path)/const" : "\(path)/enum/\(index)"
            switch value {
            case .null: scalars.null = true
            case .bool(let bool): if bool { scalars.yes = true } else { scalars.no = true }
            case .string(let string): strings.append(string.unicodeScalars.map(\.value))
            case .integer, .number:
                if let scaled = ScaledNumber.scaled(value, .exact) {
                    let literal = NumberConstraint(literal: scaled)
                    if numbers == nil { numbers = literal } else { numbers?.intervals += literal.intervals }
                } else {
                    degradations.add(path, keyword, "holds a number of more digits than can be compared")
                    return [ValueConstraint.any]
                }
            case .array(let elements):
                var array = ArrayConstraint()
                array.prefix = elements.enumerated().map { literal($1, "\(place)/\($0)", &document) }
                (array.minimum, array.maximum) = (elements.count, elements.count)
                var alternative = ValueConstraint.nothing
                alternative.array = array
                containers.append(alternative)
            case .object(let members):
                var object = ObjectConstraint()
                for key in members.keys {
                    guard let member = members[key] else { continue }
                    object.declare(key, literal(member, "\(place)/\(SchemaDocument.escaped(key))", &document))
                }
                object.required = Set(members.keys)
                object.additional = [document.place(.bool(false), "#false")]
                var alternative = ValueConstraint.nothing
                alternative.object = object
                containers.append(alternative)
            }
        }
        if !strings.isEmpty {
            var constraint = StringConstraint()
            constraint.literals = strings
            scalars.string = constraint
        }
        // Sorted and each once, in one go.
        if var all = numbers {
            all.addLiterals(of: all)
            scalars.number = all
        }
        guard containers.count <= SchemaReader.alternativeLimit else {
            degradations.add(path, keyword, "holds more than \(SchemaReader.alternativeLimit) arrays and objects")
            return [.any]
        }
        return ([scalars] + containers).filter { !$0.isEmpty }
    }

    private func literal(_ value: JSON, _ path: String, _ document: inout SchemaDocument) -> Conjunction {
        var schema = JSONObject()
        _ = schema.add("const", value)
        return [document.place(.object(schema), path + "/=")]
    }
}
