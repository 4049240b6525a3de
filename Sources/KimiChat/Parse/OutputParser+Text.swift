/// Outputs that are on record as text: markers are known by their names there.
extension OutputParser {
    /// Takes a whole output. A marker within a call that ends no call is text, as is every other name of a special token; some outputs
    /// on record have the section's markers in the singular.
    package mutating func feed(text: String) -> [OutputEvent] {
        var events: [OutputEvent] = []
        var rest = text.utf8[...]
        var plain = rest.startIndex
        while let start = rest.firstIndex(of: 0x3C) {
            rest = rest[start...]
            guard let (kind, length) = marker(rest) else {
                rest = rest.dropFirst()
                continue
            }
            say(text.utf8[plain..<start], &events)
            let name = Array(rest.prefix(length))
            rest = rest.dropFirst(length)
            plain = rest.startIndex
            step(kind, { _ in name }, { _ in name }, &events)
        }
        say(text.utf8[plain...], &events)
        return events
    }

    private mutating func say(_ text: Substring.UTF8View, _ events: inout [OutputEvent]) {
        guard !text.isEmpty else { return }
        let bytes = Array(text)
        step(.text, { _ in bytes }, { _ in bytes }, &events)
    }

    /// The marker that a text begins with.
    private func marker(_ text: Substring.UTF8View) -> (kind: OutputTable.Kind, length: Int)? {
        for (name, kind) in Self.names where text.starts(with: name.utf8) {
            if kind == .endOfTurn, isInCall { return nil }
            return (kind, name.utf8.count)
        }
        return nil
    }

    private static let names: [(name: String, kind: OutputTable.Kind)] =
        markers.map { ($0.0.rawValue, $0.1) } + [
            ("<|tool_call_section_begin|>", .sectionBegin), ("<|tool_call_section_end|>", .sectionEnd), (Marker.imEnd.rawValue, .endOfTurn),
        ]
}
