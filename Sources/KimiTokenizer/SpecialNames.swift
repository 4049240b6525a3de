/// The special tokens of a tokenizer: their ids by name, and the search for names in text.
///
/// The search walks a tree of the names' bytes from each place where one could begin and takes the longest, so it costs
/// at most the longest name's length for each byte of the text.
struct SpecialNames: Sendable {
    /// The ids by name.
    let ids: [String: Int32]
    private let isSpecialID: Set<Int32>

    /// A byte of one or several names that begin alike.
    private struct Node {
        let byte: UInt8
        /// The id of the name that ends here, or -1.
        var id: Int32 = -1
        /// The first longer continuation and the next alternative to this byte, as indices; 0 for none.
        var child: Int32 = 0
        var sibling: Int32 = 0
    }
    private var nodes = [Node(byte: 0)]
    /// For each byte the node that it leads to from the root, or 0.
    private var roots = [Int32](repeating: 0, count: 256)

    /// The longest name that is accepted, in bytes: it bounds what the search costs.
    static let longestName = 1024

    /// - Parameter names: no name is empty or longer than `longestName`, no id appears twice.
    init(_ names: [String: Int32]) {
        ids = names
        isSpecialID = Set(names.values)
        for (name, id) in names { insert(name, id) }
    }

    func contains(_ id: Int32) -> Bool { isSpecialID.contains(id) }

    private mutating func insert(_ name: String, _ id: Int32) {
        var node = 0
        for byte in name.utf8 {
            var next = child(of: node, byte)
            if next == 0 {
                next = nodes.count
                var new = Node(byte: byte)
                if node == 0 {
                    roots[Int(byte)] = Int32(truncatingIfNeeded: next)
                } else {
                    new.sibling = nodes[node].child
                    nodes[node].child = Int32(truncatingIfNeeded: next)
                }
                nodes.append(new)
            }
            node = next
        }
        if node != 0 { nodes[node].id = id }
    }

    private func child(of node: Int, _ byte: UInt8) -> Int {
        if node == 0 { return Int(roots[Int(byte)]) }
        var candidate = Int(nodes[node].child)
        while candidate != 0 && nodes[candidate].byte != byte { candidate = Int(nodes[candidate].sibling) }
        return candidate
    }

    /// The first name between `start` and `end`, and of those that begin there the longest.
    func first(in text: CheckedText, from start: Int, to end: Int) -> (start: Int, end: Int, id: Int32)? {
        var start = start
        // Safe because `roots` has an element for every byte.
        return roots.withUnsafeBufferPointer { roots in
            while start < end {
                if roots[Int(text.bytes[start])] != 0, let found = longest(in: text, at: start, to: end) {
                    return (start, found.end, found.id)
                }
                start &+= 1
            }
            return nil
        }
    }

    private func longest(in text: CheckedText, at start: Int, to end: Int) -> (end: Int, id: Int32)? {
        var found: (Int, Int32)?
        var node = 0
        var position = start
        while position < end {
            node = child(of: node, text.bytes[position])
            guard node != 0 else { break }
            position &+= 1
            if nodes[node].id >= 0 { found = (position, nodes[node].id) }
        }
        return found
    }
}
