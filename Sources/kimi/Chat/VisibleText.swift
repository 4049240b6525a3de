/// Makes text of a model or a tool harmless for a terminal: what would move its cursor, change its colours or turn the direction of
/// writing is shown by its name instead. Line breaks and tabs stay.
///
/// Text may come in pieces, cut anywhere.
struct VisibleText {
    private var heldReturn = false

    /// What can be shown of the next piece.
    mutating func feed(_ text: String) -> String {
        guard heldReturn || text.unicodeScalars.contains(where: { Self.name($0) != nil }) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            // A carriage return is part of a line break, or else it would write over the line.
            if heldReturn {
                heldReturn = false
                if scalar != "\n" { result.append(contentsOf: "^M".unicodeScalars) }
            }
            if scalar == "\r" {
                heldReturn = true
            } else if let name = Self.name(scalar) {
                result.append(contentsOf: name.unicodeScalars)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }

    /// What is left when the text is over.
    mutating func finish() -> String {
        defer { heldReturn = false }
        return heldReturn ? "^M" : ""
    }

    /// A whole text.
    static func of(_ text: String) -> String {
        var visible = VisibleText()
        return visible.feed(text) + visible.finish()
    }

    /// A whole text on one line.
    static func line(_ text: String) -> String {
        of(text).split(whereSeparator: \.isNewline).joined(separator: " ").replacing("\t", with: " ")
    }

    /// The visible form of a character that must not reach a terminal.
    private static func name(_ scalar: Unicode.Scalar) -> String? {
        switch scalar.value {
        case 0x09, 0x0A: nil
        case 0..<0x20: "^" + String(Character(Unicode.Scalar(UInt8(scalar.value) + 0x40)))
        case 0x7F: "^?"
        // C1 controls, and what changes the direction of the text around it.
        case 0x80..<0xA0, 0x061C, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: "<U+" + hex(scalar.value) + ">"
        default: nil
        }
    }

    private static func hex(_ value: UInt32) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
