/// The byte strings of ids 0, 1, 2 ..., gathered before a `Vocabulary` is made of them.
struct VocabularyStrings {
    /// All strings, end to end.
    private(set) var bytes: [UInt8] = []
    /// Where each string starts in `bytes`, and one more for the end of the last.
    private(set) var starts: [UInt32] = [0]

    var count: Int { starts.count - 1 }

    /// Adds the string of the next id; false, and nothing added, if all strings together would pass 4 GiB.
    mutating func append(_ string: some Collection<UInt8>) -> Bool {
        guard let end = UInt32(exactly: bytes.count + string.count) else { return false }
        bytes.append(contentsOf: string)
        starts.append(end)
        return true
    }
}

/// The byte string of every id, and the way back from bytes to an id. Immutable and free for any thread.
///
/// No string is an object of its own: 163,840 of them cost their bytes, four bytes each for where they start, and
/// sixteen to thirty-two for the way back, an open-addressing table of (part of the hash, id).
final class Vocabulary: @unchecked Sendable {
    // Safe to share because nothing is written after `init`. Safe to read because `starts` is rising and ends at the
    // size of `bytes`, and every id in `slots` and `pairs` is below `count`.
    private let bytes: UnsafeMutablePointer<UInt8>
    private let starts: UnsafeMutablePointer<UInt32>
    private let slots: UnsafeMutablePointer<UInt64>
    /// The indexed ids of the strings of two bytes, by those bytes; -1 for none. These are asked for most of all.
    private let pairs: UnsafeMutablePointer<Int32>
    /// The same for the strings of one byte.
    private let singles: UnsafeMutablePointer<Int32>
    private let slotMask: Int
    /// One bit for each hash that may be in the table, four bits a slot: small enough for the nearest caches, it
    /// answers for most of the neighbours that are no token together.
    private let filter: UnsafeMutablePointer<UInt64>
    /// Different in every process, so that no file can be made whose strings all fall on one slot.
    private let seed: UInt64
    /// How many ids there are.
    let count: Int
    /// The length of the longest string in the index.
    let longestIndexed: Int
    /// The first id whose string an earlier one of `indexed` had already, and that one. The earlier is the one found.
    let repeated: (second: Int32, first: Int32)?

    /// - Parameter indexed: the ids that are found by their bytes, each below `strings.count`, in order of preference.
    init(_ strings: VocabularyStrings, indexed: some Collection<Int32>) {
        count = strings.count
        bytes = .allocate(capacity: max(strings.bytes.count, 1))
        starts = .allocate(capacity: strings.starts.count)
        var size = 16
        while size < indexed.count * 2 { size *= 2 }
        slots = .allocate(capacity: size)
        pairs = .allocate(capacity: 0x10000)
        singles = .allocate(capacity: 0x100)
        slotMask = size - 1
        filter = .allocate(capacity: size / 16)
        seed = .random(in: .min ... .max)
        slots.initialize(repeating: 0, count: size)
        filter.initialize(repeating: 0, count: size / 16)
        pairs.initialize(repeating: -1, count: 0x10000)
        singles.initialize(repeating: -1, count: 0x100)
        _ = UnsafeMutableBufferPointer(start: bytes, count: strings.bytes.count).initialize(from: strings.bytes)
        _ = UnsafeMutableBufferPointer(start: starts, count: strings.starts.count).initialize(from: strings.starts)

        var longest = 0
        var repeated: (Int32, Int32)?
        for id in indexed where id >= 0 && Int(id) < count {
            let string = UnsafePointer(bytes) + Int(starts[Int(id)])
            let length = Int(starts[Int(id) + 1]) - Int(starts[Int(id)])
            let hash = Self.hash(string, length, seed)
            let found = Self.find(string, length, hash, slots, slotMask, bytes, starts)
            if found.id >= 0 { repeated = repeated ?? (id, found.id); continue }
            slots[found.slot] = hash & ~0xFFFF_FFFF | UInt64(UInt32(bitPattern: id) &+ 1)
            let bit = Self.filterBit(hash, slotMask)
            filter[bit &>> 6] |= 1 &<< UInt64(bit & 63)
            if length == 1 { singles[Int(string[0])] = id }
            if length == 2 { pairs[Int(string[0]) | Int(string[1]) << 8] = id }
            longest = max(longest, length)
        }
        longestIndexed = longest
        self.repeated = repeated
    }

    deinit {
        bytes.deallocate()
        starts.deallocate()
        slots.deallocate()
        filter.deallocate()
        pairs.deallocate()
        singles.deallocate()
    }

    /// The string of one id, borrowed for as long as this object lives; nil if there is no such id.
    @inline(__always)
    func string(_ id: Int32) -> UnsafeBufferPointer<UInt8>? {
        let id = Int(id)
        guard id >= 0, id < count else { return nil }
        let start = Int(starts[id])
        return UnsafeBufferPointer(start: bytes + start, count: Int(starts[id &+ 1]) &- start)
    }

    /// The indexed id of a string of any length, or -1.
    @inline(__always)
    func id(_ string: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
        guard length <= longestIndexed else { return -1 }
        let hash = Self.hash(string, length, seed)
        let bit = Self.filterBit(hash, slotMask)
        guard filter[bit &>> 6] &>> UInt64(bit & 63) & 1 != 0 else { return -1 }
        return Self.find(string, length, hash, slots, slotMask, bytes, starts).id
    }

    /// The indexed id of the two bytes, or -1.
    @inline(__always)
    func id(_ first: UInt8, _ second: UInt8) -> Int32 { pairs[Int(first) | Int(second) &<< 8] }

    /// The indexed id of one byte, or -1.
    @inline(__always)
    func id(_ byte: UInt8) -> Int32 { singles[Int(byte)] }

    // MARK: The table

    /// The place of a hash in `filter`, from bits that the slot does not come from.
    @inline(__always)
    private static func filterBit(_ hash: UInt64, _ slotMask: Int) -> Int {
        Int(truncatingIfNeeded: hash &>> 32) & (slotMask &* 4 | 3)
    }

    /// The id of an equal string and its slot, or -1 and the free slot where it would go.
    @inline(__always)
    private static func find(
        _ string: UnsafePointer<UInt8>, _ length: Int, _ hash: UInt64,
        _ slots: UnsafeMutablePointer<UInt64>, _ mask: Int,
        _ bytes: UnsafeMutablePointer<UInt8>, _ starts: UnsafeMutablePointer<UInt32>
    ) -> (id: Int32, slot: Int) {
        var slot = Int(truncatingIfNeeded: hash) & mask
        // Ends because at most half of the slots are taken.
        while true {
            let entry = slots[slot]
            if entry == 0 { return (-1, slot) }
            if (entry ^ hash) &>> 32 == 0 {
                let id = Int(truncatingIfNeeded: entry & 0xFFFF_FFFF) &- 1
                let start = Int(starts[id])
                if Int(starts[id &+ 1]) &- start == length && equal(string, bytes + start, length) {
                    return (Int32(truncatingIfNeeded: id), slot)
                }
            }
            slot = (slot &+ 1) & mask
        }
    }

    /// A hash of `length` bytes that reads none beyond them.
    @inline(__always)
    private static func hash(_ string: UnsafePointer<UInt8>, _ length: Int, _ seed: UInt64) -> UInt64 {
        let raw = UnsafeRawPointer(string)
        var state = seed ^ UInt64(truncatingIfNeeded: length) &* 0x9E37_79B9_7F4A_7C15
        var offset = 0
        while length &- offset > 8 {
            state = mix(state ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset &+= 8
        }
        // The last eight bytes or fewer. Overlapping loads cover 4 to 8 bytes, single bytes cover 1 to 3.
        let rest = length &- offset
        let tail: UInt64
        if rest >= 4 {
            tail = UInt64(raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) &<< 32
                | UInt64(raw.loadUnaligned(fromByteOffset: length &- 4, as: UInt32.self))
        } else if rest > 0 {
            tail = UInt64(string[offset]) &<< 16 | UInt64(string[offset &+ rest &>> 1]) &<< 8
                | UInt64(string[length &- 1])
        } else {
            tail = 0
        }
        return mix(state ^ tail)
    }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0x2D35_8DCC_AA6C_78A5).multipliedFullWidth(by: 0x8BB8_4B93_962E_ACC9)
        return product.high ^ product.low
    }

    @inline(__always)
    private static func equal(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        let left = UnsafeRawPointer(left), right = UnsafeRawPointer(right)
        var offset = 0
        while length &- offset >= 8 {
            if left.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                != right.loadUnaligned(fromByteOffset: offset, as: UInt64.self) { return false }
            offset &+= 8
        }
        while offset < length {
            if left.load(fromByteOffset: offset, as: UInt8.self) != right.load(fromByteOffset: offset, as: UInt8.self) {
                return false
            }
            offset &+= 1
        }
        return true
    }
}
