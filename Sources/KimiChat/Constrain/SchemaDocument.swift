import KimiCore

/// The subschemas of one JSON Schema, each found by its place and known by a small number. A reference leads to the same number
/// as the walk that gets there by itself, and so recursive schemas stay finite.
struct SchemaDocument {
    struct Place {
        let schema: JSON
        /// A JSON pointer: `#/properties/x`.
        let path: String
    }

    let root: JSON
    private(set) var places: [Place] = []
    private var known: [String: Int32] = [:]
    /// Where `$anchor` and `$id` names lead; made when the first one is asked for.
    private var names: [String: Place]?

    init(root: JSON) {
        self.root = root
        _ = place(root, "#")
    }

    static let rootID: Int32 = 0

    subscript(id: Int32) -> Place { places[Int(id)] }

    /// The number of the subschema at `path`.
    mutating func place(_ schema: JSON, _ path: String) -> Int32 {
        if let id = known[path] { return id }
        let id = Int32(truncatingIfNeeded: places.count)
        places.append(Place(schema: schema, path: path))
        known[path] = id
        return id
    }

    /// The number of the subschema that a reference means, or nil if there is none in this document.
    mutating func resolve(_ reference: String) -> Int32? {
        if reference == "#" || reference.isEmpty { return Self.rootID }
        if reference.utf8.starts(with: "#/".utf8) {
            guard let pointer = Self.percentDecoded(reference.utf8.dropFirst(1)) else { return nil }
            return follow(pointer)
        }
        if names == nil { names = Self.collectNames(root) }
        guard let place = names?[reference] else { return nil }
        return self.place(place.schema, place.path)
    }

    private mutating func follow(_ pointer: String) -> Int32? {
        var value = root
        var path = "#"
        for part in pointer.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            switch value {
            case .object(let object):
                guard let member = object[Self.unescaped(part)] else { return nil }
                value = member
            case .array(let elements):
                guard let index = Int(part), elements.indices.contains(index) else { return nil }
                value = elements[index]
            default: return nil
            }
            path += "/" + part
        }
        return place(value, path)
    }

    // MARK: Names and pointers

    private static func collectNames(_ root: JSON) -> [String: Place] {
        var names: [String: Place] = [:]
        var open = [Place(schema: root, path: "#")]
        while let place = open.popLast() {
            switch place.schema {
            case .object(let object):
                for keyword in ["$anchor", "$dynamicAnchor"] {
                    if let name = object[keyword]?.stringValue, names["#" + name] == nil { names["#" + name] = place }
                }
                if let name = object["$id"]?.stringValue, names[name] == nil {
                    names[name] = place
                    names[name + "#"] = place
                }
                // Values of enum and const are no schemas, whatever they look like.
                for key in object.keys where key != "enum" && key != "const" {
                    switch object[key] {
                    case .some(let value): open.append(Place(schema: value, path: place.path + "/" + escaped(key)))
                    case nil: continue
                    }
                }
            case .array(let elements):
                for (index, element) in elements.enumerated() {
                    open.append(Place(schema: element, path: place.path + "/\(index)"))
                }
            default: continue
            }
        }
        return names
    }

    /// A member's name as a part of a JSON pointer.
    static func escaped(_ name: String) -> String {
        guard name.utf8.contains(where: { $0 == UInt8(ascii: "~") || $0 == UInt8(ascii: "/") }) else { return name }
        var result = ""
        for scalar in name.unicodeScalars {
            switch scalar {
            case "~": result += "~0"
            case "/": result += "~1"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func unescaped(_ part: Substring) -> String {
        guard part.utf8.contains(UInt8(ascii: "~")) else { return String(part) }
        var result = ""
        var afterTilde = false
        for scalar in part.unicodeScalars {
            if afterTilde {
                result.unicodeScalars.append(scalar == "1" ? "/" : "~")
                afterTilde = false
            } else if scalar == "~" {
                afterTilde = true
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func percentDecoded(_ text: some Sequence<UInt8>) -> String? {
        var bytes: [UInt8] = []
        var iterator = text.makeIterator()
        while let byte = iterator.next() {
            guard byte == UInt8(ascii: "%") else { bytes.append(byte); continue }
            guard let high = iterator.next().flatMap(hexDigit), let low = iterator.next().flatMap(hexDigit) else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
