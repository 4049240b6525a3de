import KimiCore

/// Names to tensors in a few flat arrays: about 170 bytes a tensor, no heap object for any of them.
///
/// Open addressing over one blob of names. The hash is seeded per process, so a hostile file cannot aim for collisions.
/// An entry may be *promised* (the index names it) before it is *defined* (a shard holds it).
struct TensorTable: Sendable {
    /// The most tensors of one checkpoint, twenty times those of the largest published one.
    static let maxTensors = 4_194_304
    /// The longest tensor name in bytes.
    static let maxNameLength = 1024

    /// Where an entry that is only promised says it has no data.
    private static let undefinedOffset = -1

    private(set) var infos: [TensorInfo] = []
    private var names: [UInt8] = []
    private var nameEnds: [Int] = []
    /// Upper half: 32 bits of the hash; lower half: entry + 1; 0 = free. The count is a power of two.
    private var slots: [UInt64] = Array(repeating: 0, count: 1024)

    var count: Int { infos.count }

    /// The entry with this name, or nil.
    func find(_ name: UnsafeRawBufferPointer) -> Int? {
        let hash = Self.hash(name)
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot] != 0 {
            let entry = Int(slots[slot] & 0xFFFF_FFFF) - 1
            if UInt32(slots[slot] >> 32) == hash, isName(name, of: entry) { return entry }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// The tensor with this name, if a shard holds it.
    func info(_ name: UnsafeRawBufferPointer) -> TensorInfo? {
        guard let entry = find(name), isDefined(entry) else { return nil }
        return infos[entry]
    }

    func isDefined(_ entry: Int) -> Bool { infos[entry].offset != Self.undefinedOffset }

    func name(_ entry: Int) -> String { String(decoding: names[nameRange(entry)], as: UTF8.self) }

    func withName<R>(_ entry: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        let range = nameRange(entry)
        return names.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// Adds a name that is not in the table yet, as promised for a shard. Returns its entry, or nil if the table is full.
    mutating func promise(_ name: UnsafeRawBufferPointer, shard: Int32) -> Int? {
        guard count < Self.maxTensors else { return nil }
        if (count + 1) * 2 > slots.count { grow() }
        let entry = count
        infos.append(
            TensorInfo(dtype: .uint8, shape: Shape(), shard: shard, offset: Self.undefinedOffset, byteCount: 0))
        names.append(contentsOf: name)
        nameEnds.append(names.count)
        place(hash: Self.hash(name), entry: entry)
        return entry
    }

    mutating func define(_ entry: Int, _ info: TensorInfo) { infos[entry] = info }

    /// Gives every entry its shard's new number.
    mutating func renumberShards(_ numbers: [Int32]) {
        for entry in infos.indices {
            let info = infos[entry]
            infos[entry] = TensorInfo(
                dtype: info.dtype, shape: info.shape, shard: numbers[Int(info.shard)], offset: info.offset,
                byteCount: info.byteCount)
        }
    }

    private func nameRange(_ entry: Int) -> Range<Int> { (entry == 0 ? 0 : nameEnds[entry - 1])..<nameEnds[entry] }

    private func isName(_ name: UnsafeRawBufferPointer, of entry: Int) -> Bool {
        let range = nameRange(entry)
        guard range.count == name.count else { return false }
        return names.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: $0[range]).elementsEqual(name) }
    }

    private static func hash(_ name: UnsafeRawBufferPointer) -> UInt32 {
        var hasher = Hasher()
        hasher.combine(bytes: name)
        return UInt32(truncatingIfNeeded: hasher.finalize())
    }

    private mutating func place(hash: UInt32, entry: Int) {
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = UInt64(hash) << 32 | UInt64(entry + 1)
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: 0, count: old.count * 2)
        for slot in old where slot != 0 { place(hash: UInt32(slot >> 32), entry: Int(slot & 0xFFFF_FFFF) - 1) }
    }
}

extension TensorTable {
    /// What is wrong with a tensor's name, or nil: control characters or excess length would only serve to confuse.
    static func faultInName(_ name: JSONText) -> String? {
        name.withBytes { bytes in
            if bytes.isEmpty { return "a tensor's name is empty" }
            if bytes.count > maxNameLength { return "a tensor's name of \(bytes.count) bytes; at most \(maxNameLength) are read" }
            if bytes.contains(where: { $0 < 0x20 || $0 == 0x7F }) { return "a tensor's name with a control character" }
            return nil
        }
    }
}
