/// A block in the tree of prefixes. Touched only with the tree's lock held; sequences keep one to come back to.
package final class PrefixNode: @unchecked Sendable {
    // Safe because of that lock. A node that was dropped has no parent and no neighbours, so nothing leads from it to what is gone.
    private(set) var children: [PrefixContent: PrefixNode] = [:]
    var block: BlockPool.BlockID
    /// Whether it and all its ancestors were computed exactly.
    var isExact: Bool
    private let content: PrefixContent?
    private(set) unowned(unsafe) var parent: PrefixNode?
    /// Neighbours in the order of use.
    fileprivate(set) unowned(unsafe) var newer: PrefixNode?
    fileprivate unowned(unsafe) var older: PrefixNode?
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

    func add(_ child: PrefixNode, _ content: PrefixContent) { children[content] = child }

    /// Leaves the tree; a leaf.
    func leave() {
        isHere = false
        guard let content else { return }
        let parent = parent
        self.parent = nil
        // May be the last reference; nothing of it is touched after this.
        parent?.children[content] = nil
    }
}

/// Nodes from the most to the least recently used, linked to each other.
struct PrefixOrder {
    private unowned(unsafe) var first: PrefixNode?
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
