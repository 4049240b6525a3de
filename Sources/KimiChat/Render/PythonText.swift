import KimiCore

/// JSON values in the spelling of Python, which the published prompts were written with: `str`, `repr` and `json.dumps`.
///
/// Recursion is bounded by the depth that the JSON was read with.
enum PythonText {
    // MARK: json.dumps

    /// The separators of `json.dumps`: its defaults, or none but the characters themselves.
    struct Style {
        let comma: String
        let colon: String
        /// Whether members are written in the order of their keys' code points, at every level.
        let sorted: Bool

        /// `json.dumps(value, ensure_ascii=False)`
        static let spaced = Style(comma: ", ", colon: ": ", sorted: false)
        /// The same after `deep_sort_dict`.
        static let spacedSorted = Style(comma: ", ", colon: ": ", sorted: true)
        /// `separators=(",", ":")`, after `deep_sort_dict`.
        static let compactSorted = Style(comma: ",", colon: ":", sorted: true)
    }

    static func dump(_ value: JSON, _ style: Style) -> String {
        var text = ""
        dump(value, style, into: &text)
        return text
    }

    static func dump(_ value: JSON, _ style: Style, into text: inout String) {
        switch value {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .number(let value): text += float(value)
        case .string(let value): quote(value, into: &text)
        case .array(let elements):
            text += "["
            for (index, element) in elements.enumerated() {
                if index > 0 { text += style.comma }
                dump(element, style, into: &text)
            }
            text += "]"
        case .object(let object):
            text += "{"
            for (index, key) in (style.sorted ? object.sortedKeys : object.keys).enumerated() {
                if index > 0 { text += style.comma }
                quote(key, into: &text)
                text += style.colon
                dump(object[key] ?? .null, style, into: &text)
            }
            text += "}"
        }
    }

    private static func quote(_ string: String, into text: inout String) {
        text += "\""
        if string.utf8.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C }) {
            for scalar in string.unicodeScalars {
                switch scalar {
                case "\"": text += "\\\""
                case "\\": text += "\\\\"
                case "\n": text += "\\n"
                case "\r": text += "\\r"
                case "\t": text += "\\t"
                case "\u{8}": text += "\\b"
                case "\u{C}": text += "\\f"
                case _ where scalar.value < 0x20: text += "\\u" + hex(scalar.value, 4)
                default: text.unicodeScalars.append(scalar)
                }
            }
        } else {
            text += string
        }
        text += "\""
    }

    // MARK: str and repr

    /// What an f-string makes of the value: a string as it is, anything else as `repr`.
    static func string(_ value: JSON) -> String {
        if case .string(let text) = value { return text }
        var text = ""
        represent(value, into: &text)
        return text
    }

    /// Members of an object come in the order of their keys: tools are sorted before they are printed.
    static func represent(_ value: JSON, into text: inout String) {
        switch value {
        case .null: text += "None"
        case .bool(let value): text += value ? "True" : "False"
        case .integer(let value): text += String(value)
        case .number(let value): text += float(value)
        case .string(let value): represent(value, into: &text)
        case .array(let elements):
            text += "["
            for (index, element) in elements.enumerated() {
                if index > 0 { text += ", " }
                represent(element, into: &text)
            }
            text += "]"
        case .object(let object):
            text += "{"
            for (index, key) in object.sortedKeys.enumerated() {
                if index > 0 { text += ", " }
                represent(key, into: &text)
                text += ": "
                represent(object[key] ?? .null, into: &text)
            }
            text += "}"
        }
    }

    private static func represent(_ string: String, into text: inout String) {
        let quote: Unicode.Scalar = string.utf8.contains(0x27) && !string.utf8.contains(0x22) ? "\"" : "'"
        text.unicodeScalars.append(quote)
        for scalar in string.unicodeScalars {
            switch scalar {
            case quote, "\\":
                text += "\\"
                text.unicodeScalars.append(scalar)
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where isPrintable(scalar): text.unicodeScalars.append(scalar)
            case _ where scalar.value < 0x100: text += "\\x" + hex(scalar.value, 2)
            case _ where scalar.value < 0x10000: text += "\\u" + hex(scalar.value, 4)
            default: text += "\\U" + hex(scalar.value, 8)
            }
        }
        text.unicodeScalars.append(quote)
    }

    /// `str.isprintable`: no control, format, unassigned or separator character, but the space.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value < 0x7F { return scalar.value >= 0x20 }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator:
            return false
        default: return true
        }
    }

    private static func hex(_ value: UInt32, _ count: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, count - digits.utf8.count)) + digits
    }

    /// `repr` of a float: the shortest digits that lead back to it, with an exponent from 1e16 up and below 1e-4.
    ///
    /// Swift has the same digits and other limits for the exponent.
    static func float(_ value: Double) -> String {
        let written = "\(value.magnitude)"
        var digits: [UInt8] = []
        /// The place of the decimal point after the first `point` digits, which may be beyond them or negative.
        var point = 0
        var sawPoint = false
        var rest = written.utf8[...]
        while let byte = rest.popFirst() {
            if byte == 0x2E { sawPoint = true } else if byte == 0x65 { break } else {
                if !sawPoint { point += 1 }
                digits.append(byte)
            }
        }
        point += Int(String(Substring(rest).drop { $0 == "+" })) ?? 0
        while digits.count > 1, digits.first == 0x30 {
            digits.removeFirst()
            point -= 1
        }
        while digits.count > 1, digits.last == 0x30 { digits.removeLast() }
        let sign = value.sign == .minus ? "-" : ""
        if digits == [0x30] { return sign + "0.0" }
        let text = String(decoding: digits, as: UTF8.self)
        if point > 16 || point < -3 {
            let exponent = String((point - 1).magnitude)
            let mantissa = digits.count > 1 ? "\(text.prefix(1)).\(text.dropFirst())" : text
            return sign + mantissa + (point > 0 ? "e+" : "e-") + (exponent.utf8.count < 2 ? "0" : "") + exponent
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + text }
        if digits.count <= point { return sign + text + String(repeating: "0", count: point - digits.count) + ".0" }
        return sign + "\(text.prefix(point)).\(text.dropFirst(point))"
    }
}

extension JSON {
    /// Whether Python takes the value for false.
    var isFalsy: Bool {
        switch self {
        case .null: true
        case .bool(let value): !value
        case .integer(let value): value == 0
        case .number(let value): value == 0
        case .string(let value): value.isEmpty
        case .array(let elements): elements.isEmpty
        case .object(let object): object.keys.isEmpty
        }
    }
}

extension JSONObject {
    /// The keys in the order of their code points, as Python sorts strings. Swift's own order is that of the normalised text.
    var sortedKeys: [String] { keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
}
