/// A block in the tree of prefixes, or the first tokens of one that a prompt ended in: a leaf. Touched only with the tree's lock held;
/// sequences keep one to come back to.
package final class PrefixNode: @unchecked Sendable {
    // Safe because of that lock. A node that was dropped has no parent and no neighbours, so nothing leads from it to what is gone.
    private(set) var children: [PrefixContent: PrefixNode] = [:]
    /// The children by their first tokens, for those that share no more than the beginning of a block.
    private var beginnings: [ArraySlice<Int32>: [PrefixNode]] = [:]
    /// The fewest tokens of a block that are worth a copy of them, and how many children are looked at for the longest beginning.
    static let leastShared = 16
    private static let mostCompared = 64
    var block: BlockPool.BlockID
    /// Whether it and all its ancestors were computed exactly.
    var isExact: Bool
    /// nil: the root.
    let content: PrefixContent?
    private(set) unowned(unsafe) var parent: PrefixNode?
    /// Neighbours in the order of use.
    fileprivate(set) unowned(unsafe) var newer: PrefixNode?
    fileprivate(set) unowned(unsafe) var older: PrefixNode?
    /// Whether it is still part of the tree.
    private(set) var isHere = true

    /// The root, which stands for no block.
    init() {
        (block, isExact, content) = (-1, true, nil)
    }

    init(_ block: BlockPool.BlockID, isExact: Bool, content: PrefixContent, parent: PrefixNode) {
        self.block = block
        self.isExact = isExact
        self.content = content
        self.parent = parent
    }

    var isRoot: Bool { content == nil }
    /// Whether it has not all tokens of a block.
    var isPart: Bool { content?.isPart ?? false }

    func add(_ child: PrefixNode, _ content: PrefixContent) {
        children[content] = child
        if let key = Self.key(content.plain) { beginnings[key, default: []].append(child) }
    }

    private static func key(_ ids: ArraySlice<Int32>) -> ArraySlice<Int32>? {
        ids.count >= leastShared ? ids.prefix(leastShared) : nil
    }

    /// The child that begins with the most of these ids, and with how many; nil if none has enough of them.
    func longest(_ ids: [Int32], exactly: Bool) -> (child: PrefixNode, count: Int)? {
        guard let key = Self.key(ids[...]) else { return nil }
        var best: (child: PrefixNode, count: Int)?
        for child in (beginnings[key] ?? []).suffix(Self.mostCompared) where child.isExact || !exactly {
            let count = zip(child.content?.plain ?? [], ids).prefix { $0 == $1 }.count
            if count > best?.count ?? 0 { best = (child, count) }
        }
        return best
    }

    /// Children that have only the beginning of this content.
    func parts(of content: PrefixContent) -> [PrefixNode] {
        guard let key = Self.key(content.plain) else { return [] }
        return (beginnings[key] ?? []).filter { child in
            child.isPart && child.content.map { content.plain.starts(with: $0.ids) } == true
        }
    }

    /// Leaves the tree; a leaf.
    func leave() {
        isHere = false
        guard let content else { return }
        let parent = parent
        self.parent = nil
        if let key = Self.key(content.plain), let parent {
            parent.beginnings[key]?.removeAll { $0 === self }
            if parent.beginnings[key]?.isEmpty == true { parent.beginnings[key] = nil }
        }
        // May be the last reference; nothing of it is touched after this.
        parent?.children[content] = nil
    }
}

/// Nodes from the most to the least recently used, linked to each other.
struct PrefixOrder {
    private(set) unowned(unsafe) var first: PrefixNode?
    private(set) unowned(unsafe) var last: PrefixNode?

    /// Puts a node and all its ancestors in front, the root's child first.
    mutating func use(_ node: PrefixNode) {
        var next: PrefixNode? = node
        while let node = next, !node.isRoot {
            if first !== node {
                unlink(node)
                node.older = first
                first?.newer = node
                first = node
                if last == nil { last = node }
            }
            next = node.parent
        }
    }

    mutating func remove(_ node: PrefixNode) { unlink(node) }

    private mutating func unlink(_ node: PrefixNode) {
        let (newer, older) = (node.newer, node.older)
        if first === node { first = older }
        if last === node { last = newer }
        newer?.older = older
        older?.newer = newer
        (node.newer, node.older) = (nil, nil)
    }
}
