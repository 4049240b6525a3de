/// A set of strings as a tree of Unicode scalars: the values of an enumeration, or the declared keys of an object.
///
/// Nodes are numbers, 0 the root. Strings that may be used have ranks 0, 1, ... in the order of the tree, so that the ranks
/// below a node are one range.
final class LiteralTree: Sendable {
    struct Node {
        let scalar: UInt32
        var firstChild: Int32 = 0
        var childCount: Int32 = 0
        /// The rank of the string that ends here, `none`, or `unusable`.
        var terminal: Int32 = LiteralTree.none
        /// Ranks of the usable strings below.
        var low: Int32 = 0
        var high: Int32 = 0
    }

    static let none: Int32 = -1
    /// Marks a string that is in the set and may never be written.
    static let unusable: Int32 = -2
    /// The most scalars a tree holds; its memory is some 24 bytes for each.
    static let sizeLimit = 4_000_000

    let nodes: [Node]
    /// For each rank the index of its string in the list that the tree was made of.
    let order: [Int32]

    /// - Parameters:
    ///   - strings: each once.
    ///   - isUsable: by index.
    init(_ strings: [[UInt32]], isUsable: (Int) -> Bool = { _ in true }) {
        let sorted = strings.indices.sorted { strings[$0].lexicographicallyPrecedes(strings[$1]) }
        // How many usable strings stand before each place.
        var ranks: [Int32] = [0]
        ranks.reserveCapacity(sorted.count + 1)
        var order: [Int32] = []
        for index in sorted {
            if isUsable(index) { order.append(Int32(truncatingIfNeeded: index)) }
            ranks.append(Int32(truncatingIfNeeded: order.count))
        }
        var nodes = [Node(scalar: 0)]
        var spans: [(start: Int, end: Int, depth: Int)] = [(0, sorted.count, 0)]
        var current = 0
        while current < nodes.count {
            let span = spans[current]
            nodes[current].low = ranks[span.start]
            nodes[current].high = ranks[span.end]
            nodes[current].firstChild = Int32(truncatingIfNeeded: nodes.count)
            var place = span.start
            // A string that ends here sorts before its extensions.
            if place < span.end, strings[sorted[place]].count == span.depth {
                nodes[current].terminal = isUsable(sorted[place]) ? ranks[place] : Self.unusable
                place += 1
            }
            while place < span.end {
                let scalar = strings[sorted[place]][span.depth]
                let start = place
                while place < span.end, strings[sorted[place]][span.depth] == scalar { place += 1 }
                nodes.append(Node(scalar: scalar))
                spans.append((start, place, span.depth + 1))
                nodes[current].childCount += 1
            }
            current += 1
        }
        self.nodes = nodes
        self.order = order
    }

    var count: Int { order.count }

    /// The child of a node by its scalar, or -1.
    func child(_ node: Int32, _ scalar: UInt32) -> Int32 {
        let index = firstChild(of: node, from: scalar)
        let parent = nodes[Int(node)]
        return index < parent.firstChild + parent.childCount && nodes[Int(index)].scalar == scalar ? index : -1
    }

    /// The first child whose scalar is not below `scalar`; the end of the children if there is none.
    func firstChild(of node: Int32, from scalar: UInt32) -> Int32 {
        let parent = nodes[Int(node)]
        var low = parent.firstChild
        var high = parent.firstChild + parent.childCount
        while low < high {
            let middle = (low + high) / 2
            if nodes[Int(middle)].scalar < scalar { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
