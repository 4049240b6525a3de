/// What a string of hwloc's synthetic form asks for, counted before hwloc sees it: hwloc makes every object of it, and sets of bits as
/// long as the highest number in it, so that a few characters could take all memory.
///
/// Reads the same as hwloc or less: levels such as `core:48` or `48`, each with attributes in parentheses or without; memory attached to
/// the level before it in brackets; attributes of the whole machine in front.
struct SyntheticDescription {
    /// The product of the levels.
    private(set) var processors = 1
    /// Memory nodes that are attached or have a level of their own. A level without a name may become nodes too.
    private(set) var nodes = 0
    /// The highest number in a list of numbers of the system's.
    private(set) var highestIndex = 0

    /// - Returns: nil for a string that is none.
    init?(_ text: String) {
        var rest = Array(text.utf8)[...]
        var levels = 0
        if rest.first == UInt8(ascii: "("), !attributes(&rest) { return nil }
        while let next = rest.first {
            switch next {
            case UInt8(ascii: " "), UInt8(ascii: "\n"):
                rest.removeFirst()
            case UInt8(ascii: "["):
                guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else { return nil }
                add(nodes: processors)
                note(indexesIn: rest[..<end])
                rest = rest[(end + 1)...]
            default:
                guard level(&rest) else { return nil }
                levels += 1
            }
        }
        if levels == 0 { return nil }
    }

    /// "core:48(...)", or "48".
    private mutating func level(_ rest: inout ArraySlice<UInt8>) -> Bool {
        let isNamed = !Self.isDigit(rest.first)
        let isNode = rest.first.map { $0 | 0x20 } == UInt8(ascii: "n")
        if isNamed {
            guard let colon = rest.firstIndex(of: UInt8(ascii: ":")), rest[..<colon].allSatisfy(Self.isOfName) else { return false }
            rest = rest[(colon + 1)...]
        }
        // No zero in front: hwloc takes that for octal or hexadecimal.
        let digits = rest.prefix { Self.isDigit($0) }
        guard let first = digits.first, first != UInt8(ascii: "0") else { return false }
        let (product, overflow) = processors.multipliedReportingOverflow(by: Self.number(digits))
        processors = overflow ? .max : product
        if isNode { add(nodes: processors) }
        rest = rest[digits.endIndex...]
        switch rest.first {
        case nil, UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "["): return true
        case UInt8(ascii: "("): return attributes(&rest)
        default: return false
        }
    }

    private mutating func attributes(_ rest: inout ArraySlice<UInt8>) -> Bool {
        guard let end = rest.firstIndex(of: UInt8(ascii: ")")) else { return false }
        note(indexesIn: rest[..<end])
        rest = rest[(end + 1)...]
        return true
    }

    /// The numbers of "indexes=0,2,4"; sizes of memory and caches are other attributes. Orders by the names of levels or by steps, which
    /// hwloc also knows, count as numbers that are too large: some of them end in an assertion of its own, and so the process.
    private mutating func note(indexesIn attributes: ArraySlice<UInt8>) {
        let isOfAttribute = { (byte: UInt8) in !" ()".utf8.contains(byte) }
        for attribute in attributes.split(whereSeparator: { !isOfAttribute($0) }) where attribute.starts(with: "indexes=".utf8) {
            let numbers = attribute.dropFirst("indexes=".utf8.count)
            guard numbers.allSatisfy({ Self.isDigit($0) || $0 == UInt8(ascii: ",") }) else { highestIndex = .max; continue }
            for digits in attribute.split(whereSeparator: { !Self.isDigit($0) }) { highestIndex = max(highestIndex, Self.number(digits)) }
        }
    }

    private mutating func add(nodes more: Int) {
        let (sum, overflow) = nodes.addingReportingOverflow(more)
        nodes = overflow ? .max : sum
    }

    private static func isDigit(_ byte: UInt8?) -> Bool { byte.map { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } ?? false }

    private static func isOfName(_ byte: UInt8) -> Bool {
        isDigit(byte) || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
    }

    /// A number beyond any is the largest.
    private static func number(_ digits: ArraySlice<UInt8>) -> Int { Int(String(decoding: digits, as: UTF8.self)) ?? .max }
}
