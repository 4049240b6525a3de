import CKimiSystem
import KimiCheckpoint
import KimiCore

/// Reads pieces past the page cache, many at once, into memory in between: direct reads come in whole blocks of the device, and
/// weights are laid out otherwise.
///
/// For one thread at a time.
final class BounceReader {
    private let memory: MappedMemory
    private let slotBytes: Int
    private var reader: ShardReader?
    private var vacant: [Int]
    /// What each slot is for.
    private var pieces: [CopyPiece?]
    let slotCount: Int

    /// The most slots: 64 MiB under way keep any device busy.
    static let mostSlots = 32

    /// - Parameters:
    ///   - slots: 1 to `mostSlots`.
    ///   - pieceBytes: the most of one.
    /// - Throws: `outOfMemory` if the system has not got the memory, or the threads, for it.
    init(_ checkpoint: Checkpoint, slots: Int, pieceBytes: Int) throws(KimiError) {
        slotCount = slots
        slotBytes = ShardReader.room(for: pieceBytes)
        memory = try MappedMemory(byteCount: slots * slotBytes, what: "buffers for reading", pages: .transparent)
        vacant = Array((0..<slots).reversed())
        pieces = .init(repeating: nil, count: slots)
        reader = try ShardReader(checkpoint, requests: slots)
    }

    deinit {
        // Waits for what is under way, and must be gone before its memory is.
        reader = nil
    }

    func isDirect(_ tensor: TensorInfo) -> Bool { reader?.isDirect(tensor) ?? false }
    var hasRoom: Bool { !vacant.isEmpty }

    /// Begins to read a piece: the bytes of the tensor from `begin` on. There must be room.
    func request(_ piece: CopyPiece, of tensor: TensorInfo, from begin: Int) throws(KimiError) {
        guard let slot = vacant.popLast(), let reader else { throw KimiError(.internal, "no buffer is free for a read") }
        pieces[slot] = piece
        let place = memory.base + slot * slotBytes
        guard try reader.request(tensor, from: begin, count: piece.count, into: place, tag: UInt64(slot)) else {
            throw KimiError(.internal, "more reads are under way than were planned")
        }
    }

    /// Tells which pieces have been read, and in which slots they are; waits for the first at most so many milliseconds.
    func wait(milliseconds: Int, _ body: (_ piece: CopyPiece, _ slot: Int) -> Void) throws(KimiError) {
        guard let reader, reader.pending > 0 else { return }
        var failure: KimiError?
        _ = reader.wait(milliseconds: milliseconds) { tag, error in
            failure = failure ?? error
            if let piece = pieces[Int(tag)] { body(piece, Int(tag)) }
        }
        if let failure { throw failure }
    }

    /// Where the bytes in a slot are that were at `offset` of their file.
    func bytes(_ slot: Int, offset: Int) -> UnsafeRawPointer {
        // Safe because slots are those that `wait` gave.
        UnsafeRawPointer(memory.base + slot * slotBytes + ShardReader.lead(offset))
    }

    /// Gives a slot back whose bytes are no longer needed.
    func release(_ slot: Int) {
        pieces[slot] = nil
        vacant.append(slot)
    }

    func setFault(_ fault: cks_read_fault?, _ context: UnsafeMutableRawPointer?) { reader?.setFault(fault, context) }
}
