import CKimiKernels
import KimiCheckpoint
import KimiCore

/// Memory for experts that come and go: slots of one size, each with a part on every node.
///
/// A part holds the node's rows of gate, up and down and of their scales, each with room for a read that begins and ends at whole
/// blocks of the device.
struct SlotMemory {
    /// What a node's part of a slot is made of: weights and scales of gate, up and down.
    private struct Room { let offset: Int, bytes: Int }

    let slotCount: Int
    /// Bytes of a slot over all nodes.
    let slotBytes: Int
    private let nodeBytes: [Int]
    private let rooms: [[Room]]
    private let memory: [MappedMemory]

    /// Six reads a node.
    static let readsPerNode = 6

    /// - Parameter rows: the rows of a part that a node has at most.
    init(
        files: ExpertFiles, nodes: Int, residentBytes: Int, mostSlots: Int, leastSlots: Int,
        rows: (ExpertFiles.Part, Int) -> Int
    ) throws(KimiError) {
        var rooms: [[Room]] = []
        var nodeBytes: [Int] = []
        for node in 0..<nodes {
            // The largest rows of each kind of tensor, in bytes.
            var largest = [Int](repeating: 0, count: Self.readsPerNode)
            files.forEach { part, linear in
                for (index, tensor) in [linear.data, linear.scales].enumerated() {
                    guard let tensor else { continue }
                    let rowBytes = tensor.byteCount / max(files.rows(part), 1)
                    let place = 2 * part.rawValue + index
                    largest[place] = max(largest[place], rowBytes * rows(part, node))
                }
            }
            var offset = 0
            rooms.append(largest.map { bytes in
                defer { offset += bytes == 0 ? 0 : ShardReader.mostRoom(bytes) }
                return Room(offset: offset, bytes: bytes)
            })
            nodeBytes.append(offset)
        }
        let slotBytes = nodeBytes.reduce(0, +)
        let slots = min(mostSlots, residentBytes / max(slotBytes, 1))
        guard slots >= min(leastSlots, mostSlots) else {
            throw KimiError(
                .outOfMemory,
                "resident_bytes is \(residentBytes); the smallest that works is \(leastSlots * slotBytes), for \(leastSlots) experts",
                subject: "resident_bytes")
        }
        var memory: [MappedMemory] = []
        for bytes in nodeBytes { memory.append(try MappedMemory(byteCount: slots * bytes, what: "experts", isFilled: true)) }
        slotCount = slots
        self.slotBytes = slotBytes
        self.nodeBytes = nodeBytes
        self.rooms = rooms
        self.memory = memory
    }

    /// Where a tensor's rows of a node go: 0 and 1 are weights and scales of gate, then those of up and down.
    func place(_ index: Int, slot: Int, node: Int) -> UnsafeMutableRawPointer {
        // Safe because slot, node and index are below the counts that the memory was made for.
        memory[node].base + slot * nodeBytes[node] + rooms[node][index].offset
    }
}
