/// All stacks of frames that came up, each known by a number; equal stacks have equal numbers. 0 is the empty one.
struct FrameStacks {
    private var frames: [Configuration] = [Configuration(frame: Frame(.done), stack: 0)]
    /// Open addressing: numbers of stacks by the hash of frame and rest.
    private var slots = [Int32](repeating: 0, count: 64)

    var count: Int { frames.count }

    /// The innermost frame of a stack that is not empty, and the rest.
    subscript(stack: Int32) -> Configuration { frames[Int(stack)] }

    mutating func push(_ frame: Frame, _ stack: Int32) -> Int32 {
        let entry = Configuration(frame: frame, stack: stack)
        if frames.count * 2 > slots.count { grow() }
        var slot = place(entry)
        while slots[slot] != 0 {
            if frames[Int(slots[slot])] == entry { return slots[slot] }
            slot = (slot + 1) & (slots.count - 1)
        }
        let number = Int32(truncatingIfNeeded: frames.count)
        frames.append(entry)
        slots[slot] = number
        return number
    }

    mutating func removeAll() { self = FrameStacks() }

    private func place(_ entry: Configuration) -> Int {
        let hash = entry.frame.hash ^ UInt64(UInt32(bitPattern: entry.stack)) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: hash ^ hash &>> 33) & (slots.count - 1)
    }

    private mutating func grow() {
        slots = [Int32](repeating: 0, count: slots.count * 2)
        for number in 1..<frames.count {
            var slot = place(frames[number])
            while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(truncatingIfNeeded: number)
        }
    }
}
