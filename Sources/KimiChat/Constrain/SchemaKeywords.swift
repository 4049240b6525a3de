import KimiCore

/// The keywords of one schema object that speak of a value by themselves: types, enumerations, bounds, members, elements.
struct SchemaKeywords {
    let schema: JSONObject
    let path: String

    init(_ schema: JSONObject, _ path: String) {
        self.schema = schema
        self.path = path
    }

    mutating func ownAlternatives(_ document: inout SchemaDocument, _ degradations: inout DegradationList) -> [ValueConstraint] {
        var value = ValueConstraint.any
        readTypes(&value, &degradations)
        listForeignKeywords(value, &degradations)
        if value.number != nil { readNumber(&value, &degradations) }
        if value.string != nil { readString(&value, &degradations) }
        if value.array != nil { readArray(&value, &document, &degradations) }
        if value.object != nil { readObject(&value, &document, &degradations) }
        guard !value.isEmpty else { return [] }
        var result = [value]
        if let literals = schema["enum"] {
            if let values = literals.arrayValue {
                result = meet(result, literalAlternatives(values, "enum", &document, &degradations))
            } else {
                degradations.add(path, "enum", "is not a list")
            }
        }
        if let literal = schema["const"] {
            result = meet(result, literalAlternatives([literal], "const", &document, &degradations))
        }
        return result
    }

    private func meet(_ left: [ValueConstraint], _ right: [ValueConstraint]) -> [ValueConstraint] {
        left.flatMap { ours in right.map { ours.met(with: $0) } }.filter { !$0.isEmpty }
    }

    // MARK: Types

    private static let types: Set<String> = ["null", "boolean", "integer", "number", "string", "array", "object"]

    private func readTypes(_ value: inout ValueConstraint, _ degradations: inout DegradationList) {
        guard let type = schema["type"] else { return }
        var names: Set<String> = []
        for element in type.arrayValue ?? [type] {
            guard let name = element.stringValue, Self.types.contains(name) else {
                degradations.add(path, "type", "names no type of JSON")
                return
            }
            names.insert(name)
        }
        if schema["nullable"]?.boolValue == true { names.insert("null") }
        value.restrict { value in
            value.null = names.contains("null")
            value.no = names.contains("boolean")
            value.yes = value.no
            if !names.contains("number") {
                if names.contains("integer") { value.number?.isInteger = true } else { value.number = nil }
            }
            if !names.contains("string") { value.string = nil }
            if !names.contains("array") { value.array = nil }
            if !names.contains("object") { value.object = nil }
        }
    }

    /// Keywords that constrain and are not enforced, with the type of value that they speak of.
    private func listForeignKeywords(_ value: ValueConstraint, _ degradations: inout DegradationList) {
        func list(_ keyword: String) {
            if schema[keyword] != nil { degradations.add(path, keyword, "is not enforced") }
        }
        list("not")
        if schema["then"] != nil || schema["else"] != nil { list("if") }
        list("$dynamicRef")
        list("$recursiveRef")
        if value.array != nil {
            list("contains")
            list("unevaluatedItems")
        }
        if value.object != nil {
            for keyword in ["propertyNames", "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties"] {
                list(keyword)
            }
        }
    }

    // MARK: Numbers

    private func readNumber(_ value: inout ValueConstraint, _ degradations: inout DegradationList) {
        guard var number = value.number else { return }
        var changed = false
        for (keyword, isLower, isExclusive) in [
            ("minimum", true, false), ("exclusiveMinimum", true, true),
            ("maximum", false, false), ("exclusiveMaximum", false, true),
        ] {
            guard let bound = schema[keyword] else { continue }
            guard bound.doubleValue != nil else {
                degradations.add(path, keyword, "is not a number")
                continue
            }
            guard let limit = Self.limit(bound, isLower, isExclusive) else {
                degradations.add(path, keyword, "is beyond \(ScaledNumber.integerDigits) digits")
                continue
            }
            changed = true
            if isLower {
                number.limit(from: limit, to: ScaledNumber.infinity)
            } else {
                number.limit(from: -ScaledNumber.infinity, to: limit)
            }
        }
        if let divisor = schema["multipleOf"] {
            changed = true
            readDivisor(divisor, &number, &degradations)
        }
        guard changed else { return }
        let isPossible = !NumberShape(number).isEmpty
        value.restrict { $0.number = isPossible ? number : nil }
    }

    /// A bound as the last number that is allowed; nil if nothing below 10²⁰ is.
    private static func limit(_ bound: JSON, _ isLower: Bool, _ isExclusive: Bool) -> Int128? {
        if case .integer(let integer) = bound {
            let whole = Int128(integer) * ScaledNumber.one
            guard isExclusive else { return whole }
            // The next double beyond the bound: a reader makes doubles of fractions, and they must not round onto it.
            if integer.magnitude >= 1 << 53 { return isLower ? whole + ScaledNumber.one : whole - ScaledNumber.one }
        }
        guard var double = bound.doubleValue else { return nil }
        if isExclusive { double = isLower ? double.nextUp : double.nextDown }
        if double.magnitude >= 1e20 {
            guard (double < 0) == isLower else { return nil }
            if double.magnitude >= 1.7e308 { return isLower ? -ScaledNumber.infinity : ScaledNumber.infinity }
            return isLower ? 1 - ScaledNumber.limit : ScaledNumber.limit - 1
        }
        return ScaledNumber.scaled(double, isLower ? .up : .down)
    }

    private func readDivisor(_ divisor: JSON, _ number: inout NumberConstraint, _ degradations: inout DegradationList) {
        guard let double = divisor.doubleValue, double > 0 else {
            degradations.add(path, "multipleOf", "is not a positive number")
            return
        }
        guard let step = ScaledNumber.scaled(divisor, .exact), step > 0 else {
            degradations.add(path, "multipleOf", "has more digits than can be enforced")
            return
        }
        if step % ScaledNumber.one == 0 {
            number.isInteger = true
            guard number.addStep(step) else {
                degradations.add(path, "multipleOf", "is too large")
                return
            }
            // A validator divides doubles if the divisor was written as one.
            if case .number = divisor { number.clipToExactQuotients() }
            return
        }
        // Exact for whole numbers only if the double is within 2^-54 of the decimal; and at most four decimals, which can be tried.
        let hasFourDecimals = step % ScaledNumber.powers[ScaledNumber.fractionDigits - 4] == 0
        guard hasFourDecimals, Self.isNear(double, step), number.addStep(step) else {
            degradations.add(path, "multipleOf", "is a fraction that doubles divide by inexactly")
            return
        }
        number.divisors.append(double)
        number.clipToExactQuotients()
    }

    /// Whether double and decimal differ by no more than 2^-54 of their size.
    private static func isNear(_ double: Double, _ scaled: Int128) -> Bool {
        // double = significand · 2^exponent with a significand of 53 bits, and so the comparison is
        // |significand · 10^17 − scaled · 2^-exponent| · 2^54 <= scaled · 2^-exponent, in a wide integer. The decimal has at
        // most four fraction digits; in units of 10^-4 all stays below 2^126 for divisors below 2^11.
        guard double < 2048, double >= 0x1p-14 else { return false }
        let exponent = 52 - Int(double.exponent)
        let significand = Int128(double.significand * 0x1p52)
        let decimal = scaled / ScaledNumber.powers[ScaledNumber.fractionDigits - 4]
        let left = significand * 10_000
        let right = decimal << Int128(exponent)
        let difference = (left - right).magnitude128
        return difference < 1 << 60 && difference << 54 <= right
    }

    // MARK: Strings

    private func readString(_ value: inout ValueConstraint, _ degradations: inout DegradationList) {
        guard var string = value.string else { return }
        var changed = false
        if let minimum = count("minLength", &degradations) { string.minimum = minimum; changed = true }
        if let maximum = count("maxLength", &degradations) { string.maximum = maximum; changed = true }
        if let pattern = schema["pattern"] {
            if let text = pattern.stringValue {
                string.patterns.append(text)
                string.sources.append((path, "pattern"))
                changed = true
            } else {
                degradations.add(path, "pattern", "is not a string")
            }
        }
        if let format = schema["format"]?.stringValue {
            if StringLanguage.formats.contains(format) {
                string.formats.append(format)
                string.sources.append((path, "format"))
                changed = true
            } else if Self.otherFormats.contains(format) {
                degradations.add(path, "format", "\"\(format)\" is not enforced")
            }
        }
        guard changed else { return }
        let isPossible = string.minimum <= string.maximum ?? .max
        value.restrict { $0.string = isPossible ? string : nil }
    }

    /// Formats of the standard; any other name is an annotation that no validator checks.
    private static let otherFormats: Set<String> = [
        "date", "date-time", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6", "uri",
        "uri-reference", "iri", "iri-reference", "uri-template", "json-pointer", "relative-json-pointer", "regex", "uuid",
    ]

    /// A count of at least 0, clipped to what a 32-bit register holds; nil if it is absent or no count.
    func count(_ keyword: String, _ degradations: inout DegradationList) -> Int? {
        guard let value = schema[keyword] else { return nil }
        if let double = value.doubleValue, double >= 0, double.rounded() == double {
            return value.intValue.map { min($0, Self.countLimit) } ?? Self.countLimit
        }
        degradations.add(path, keyword, "is not a count")
        return nil
    }

    static let countLimit = 1_000_000_000
}
