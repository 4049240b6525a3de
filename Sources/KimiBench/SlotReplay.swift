import Glibc
import KimiCore
import KimiModel

/// Which expert gives way when another comes in.
package enum SlotPolicy: Sendable, Equatable {
    /// The one that was used longest ago.
    case leastRecent
    /// The one that was used least often.
    case leastFrequent
    /// The one whose uses, halving in weight over so many tokens, count least (LRFU, Lee et al., 2001).
    case decaying(halfLife: Double)
    /// What the library does: `ExpertSlots` itself.
    case library
    /// The one that is used again last; one that comes in stays outside if that is it (Belady, 1966). No policy that does not know
    /// the future has more hits.
    case optimum

    package static let all: [SlotPolicy] =
        [.leastRecent, .leastFrequent] + [16, 64, 256, 1024, 4096].map { .decaying(halfLife: $0) } + [.library, .optimum]

    package var name: String {
        switch self {
        case .leastRecent: "LRU"
        case .leastFrequent: "LFU"
        case .decaying(let halfLife): "LRFU \(Int(halfLife))"
        case .library: "library"
        case .optimum: "optimum"
        }
    }
}

extension ExpertTrace {
    /// The share of the uses that count that find their expert in one of so many slots.
    package func hitRate(_ policy: SlotPolicy, slots: Int) throws(KimiError) -> Double {
        policy == .library ? try libraryHitRate(slots: slots) : replay(policy, slots: slots)
    }

    /// The places in which a layer's experts are used: all are looked for before any is let in, as the store does.
    private func replay(_ policy: SlotPolicy, slots: Int) -> Double {
        var heap = KeyHeap(keys: keyCount, capacity: slots)
        var priority = PriorityOfUse(policy, self)
        var (hits, total) = (0, 0)
        for (number, step) in steps.enumerated() {
            priority.advance(tokens: step.tokens)
            for (layer, uses) in step.layers.enumerated() {
                var missing: [(key: Int, priority: Double)] = []
                for use in uses {
                    let key = layer * experts + Int(use.expert)
                    let value = priority.use(key, rows: Int(use.rows))
                    let isThere = heap.contains(key)
                    if isThere { heap.update(key, value) } else { missing.append((key, value)) }
                    guard number >= counted else { continue }
                    total += 1
                    hits += isThere ? 1 : 0
                }
                for (key, value) in missing { heap.admit(key, value, orStaysOut: policy == .optimum) }
            }
        }
        return total > 0 ? Double(hits) / Double(total) : 0
    }

    private func libraryHitRate(slots: Int) throws(KimiError) -> Double {
        var table = try ExpertSlots(slots: slots, layers: layers, experts: experts)
        var (hits, total) = (0, 0)
        for (number, step) in steps.enumerated() {
            table.advance(tokens: step.tokens)
            for (layer, uses) in step.layers.enumerated() {
                var pinned: [Int] = []
                var missing: [Int] = []
                for use in uses {
                    let key = layer * experts + Int(use.expert)
                    table.touch(key, rows: Int(use.rows))
                    if let slot = table.find(key) { pinned.append(slot) } else { missing.append(key) }
                }
                for slot in pinned { table.pin(slot) }
                if number >= counted {
                    total += uses.count
                    hits += pinned.count
                }
                // With fewer slots than experts of the step those that are through make room, wave after wave.
                for key in missing {
                    var slot = table.admit(key)
                    if slot == nil {
                        for slot in pinned { table.unpin(slot) }
                        pinned = []
                        slot = table.admit(key)
                    }
                    guard let slot else { continue }
                    table.pin(slot)
                    pinned.append(slot)
                }
                for slot in pinned { table.unpin(slot) }
            }
        }
        return total > 0 ? Double(hits) / Double(total) : 0
    }
}

/// What orders experts under a policy that `ExpertSlots` is not: it changes with a use only, and the least gives way.
private struct PriorityOfUse {
    private let policy: SlotPolicy
    private var values: [Double]
    private var now = 0.0
    private var place = 0.0
    /// For the optimum: of each use, in order, when that expert is used again.
    private var nextUses: [Double] = []
    private var used = 0

    init(_ policy: SlotPolicy, _ trace: ExpertTrace) {
        self.policy = policy
        values = .init(repeating: policy.isDecaying ? -.infinity : 0, count: trace.keyCount)
        guard policy == .optimum else { return }
        var next = [Double](repeating: .infinity, count: trace.keyCount)
        var number = 0.0
        for step in trace.steps.reversed() {
            for (layer, uses) in step.layers.enumerated().reversed() {
                for use in uses.reversed() {
                    let key = layer * trace.experts + Int(use.expert)
                    nextUses.append(next[key])
                    number -= 1
                    next[key] = number
                }
            }
        }
        nextUses.reverse()
    }

    mutating func advance(tokens: Int) { now += Double(tokens) }

    /// Notes a use and tells what the expert's priority is from now on.
    mutating func use(_ key: Int, rows: Int) -> Double {
        place += 1
        switch policy {
        case .leastRecent, .library: values[key] = place
        case .leastFrequent: values[key] += Double(rows)
        case .decaying(let halfLife):
            // Logarithms of counts as they would have been at the beginning: these keep their order as time goes on.
            let use = now / halfLife + log2(Double(max(rows, 1)))
            let (more, less) = (max(values[key], use), min(values[key], use))
            values[key] = more + log2(1 + exp2(less - more))
        case .optimum:
            values[key] = -nextUses[used]
            used += 1
        }
        return values[key]
    }
}

extension SlotPolicy {
    fileprivate var isDecaying: Bool { if case .decaying = self { true } else { false } }
}

/// Keys with priorities, the least on top.
private struct KeyHeap {
    private var heap: [Int] = []
    private var places: [Int]
    private var priorities: [Double]
    private let capacity: Int

    init(keys: Int, capacity: Int) {
        places = .init(repeating: -1, count: keys)
        priorities = .init(repeating: 0, count: keys)
        self.capacity = capacity
        heap.reserveCapacity(capacity)
    }

    func contains(_ key: Int) -> Bool { places[key] >= 0 }

    mutating func update(_ key: Int, _ priority: Double) {
        priorities[key] = priority
        settle(places[key])
    }

    /// Lets a key in, in place of the one with the least priority if all room is taken.
    mutating func admit(_ key: Int, _ priority: Double, orStaysOut: Bool) {
        priorities[key] = priority
        if heap.count < capacity {
            heap.append(key)
            places[key] = heap.count - 1
            settle(heap.count - 1)
        } else if let least = heap.first, !orStaysOut || priority > priorities[least] {
            places[least] = -1
            heap[0] = key
            places[key] = 0
            settle(0)
        }
    }

    private mutating func settle(_ from: Int) {
        var place = from
        while place > 0, priorities[heap[place]] < priorities[heap[(place - 1) / 2]] {
            exchange(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
        while true {
            var next = 2 * place + 1
            guard next < heap.count else { return }
            if next + 1 < heap.count, priorities[heap[next + 1]] < priorities[heap[next]] { next += 1 }
            guard priorities[heap[next]] < priorities[heap[place]] else { return }
            exchange(place, next)
            place = next
        }
    }

    private mutating func exchange(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        places[heap[a]] = a
        places[heap[b]] = b
    }
}
