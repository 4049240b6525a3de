import Glibc
import KimiCore

/// Which expert is in which slot, and which one gives way.
///
/// Every use of an expert counts 1, and what it counts halves with every `halfLife` steps; the one with the least gives way (LRFU, Lee
/// et al., 2001, with counts kept for experts that are not there, too). Recency alone would be the worst there is: a token goes
/// through the layers in order, so the expert that was used longest ago belongs to the layer that comes next.
///
/// Numbers only, no memory of experts. Allocates nothing after init. One thread at a time.
struct ExpertSlots: ~Copyable {
    /// Layer times experts of a layer plus expert.
    typealias Key = Int

    let slotCount: Int
    private let keyCount: Int
    /// For each key its slot, or -1; for each slot its key, or -1, and how often it is pinned.
    private let slotOfKey: UnsafeMutablePointer<Int32>
    private let keyOfSlot: UnsafeMutablePointer<Int32>
    private let pins: UnsafeMutablePointer<Int32>
    /// For each key the logarithm of its count, as it would have been at step 0: it orders keys the same at any time, so that it
    /// changes only when the key is used.
    private let worth: UnsafeMutablePointer<Double>
    private var step = 0.0

    /// Steps after which a use counts half. A token of text is a step, and so is a chunk of a prompt.
    private static let halfLife = 256.0

    init(slots: Int, layers: Int, experts: Int) throws(KimiError) {
        guard let keys = Checked.product(layers, experts), keys < Int32.max, slots > 0, slots < Int32.max else {
            throw KimiError(.unsupported, "\(layers) layers of \(experts) experts are beyond any memory")
        }
        slotCount = slots
        keyCount = keys
        slotOfKey = Self.numbers(keys, -1)
        keyOfSlot = Self.numbers(slots, -1)
        pins = Self.numbers(slots, 0)
        worth = .allocate(capacity: max(keys, 1))
        worth.initialize(repeating: -.infinity, count: max(keys, 1))
    }

    private static func numbers(_ count: Int, _ value: Int32) -> UnsafeMutablePointer<Int32> {
        let memory = UnsafeMutablePointer<Int32>.allocate(capacity: max(count, 1))
        memory.initialize(repeating: value, count: max(count, 1))
        return memory
    }

    deinit {
        for memory in [slotOfKey, keyOfSlot, pins] { memory.deallocate() }
        worth.deallocate()
    }

    /// Another step begins.
    mutating func advance() { step += 1 }

    /// The slot that an expert is in, or is being read into.
    func find(_ key: Key) -> Int? {
        let slot = slotOfKey[key]
        return slot < 0 ? nil : Int(slot)
    }

    /// The expert in a slot; nil if there is none.
    func key(of slot: Int) -> Key? { keyOfSlot[slot] < 0 ? nil : Int(keyOfSlot[slot]) }

    /// Counts a use, whether the expert is there or not.
    func touch(_ key: Key) {
        // 2^worth and 2^(step / halfLife) are what it counted and what this use counts, both as of step 0.
        let use = step / Self.halfLife
        let (more, less) = (max(worth[key], use), min(worth[key], use))
        worth[key] = more + log2(1 + exp2(less - more))
    }

    /// Begins with other counts than none, such as those of an earlier run.
    func expect(_ key: Key, count: Double) {
        if key < keyCount { worth[key] = count > 0 ? log2(count) : -.infinity }
    }

    /// Keeps a slot from giving way until it is unpinned as often.
    func pin(_ slot: Int) { pins[slot] += 1 }
    func unpin(_ slot: Int) { pins[slot] -= 1 }

    /// Gives an expert that is nowhere a slot, whose expert gives way.
    ///
    /// - Parameter worthMore: only if the expert is worth more than the one that gives way.
    /// - Returns: nil if all slots are pinned.
    func admit(_ key: Key, worthMore: Bool = false) -> Int? {
        var found = -1
        var least = Double.infinity
        for slot in 0..<slotCount where pins[slot] == 0 {
            let key = keyOfSlot[slot]
            if key < 0 {
                found = slot
                least = -.infinity
                break
            }
            if worth[Int(key)] < least || found < 0 {
                found = slot
                least = worth[Int(key)]
            }
        }
        guard found >= 0, !worthMore || worth[key] > least || keyOfSlot[found] < 0 else { return nil }
        invalidate(found)
        keyOfSlot[found] = Int32(truncatingIfNeeded: key)
        slotOfKey[key] = Int32(truncatingIfNeeded: found)
        return found
    }

    /// Forgets what is in a slot.
    func invalidate(_ slot: Int) {
        let key = keyOfSlot[slot]
        if key >= 0 { slotOfKey[Int(key)] = -1 }
        keyOfSlot[slot] = -1
    }
}
