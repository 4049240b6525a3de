import KimiCheckpoint
import KimiCore

final class ExpertSlots {
    var keyOf: [Int], pins: [Int], time: [Int], clock = 0
    var slotOf: [Int: Int] = [:]
    init(slots: Int, layers: Int, experts: Int) throws(KimiError) {
        keyOf = .init(repeating: -1, count: slots); pins = .init(repeating: 0, count: slots); time = pins
    }
    func find(_ key: Int) -> Int? { slotOf[key] }
    func touch(_ slot: Int) { clock += 1; time[slot] = clock }
    func pin(_ slot: Int) { pins[slot] += 1 }
    func unpin(_ slot: Int) { pins[slot] -= 1 }
    func admit(_ key: Int) -> Int? {
        guard let slot = pins.indices.filter({ pins[$0] == 0 }).min(by: { time[$0] < time[$1] }) else { return nil }
        if keyOf[slot] >= 0 { slotOf[keyOf[slot]] = nil }
        keyOf[slot] = key; slotOf[key] = slot; touch(slot)
        return slot
    }
    func invalidate(_ slot: Int) { if keyOf[slot] >= 0 { slotOf[keyOf[slot]] = nil }; keyOf[slot] = -1; time[slot] = 0 }
}

final class ShardReader {
    let checkpoint: Checkpoint
    var done: [(UInt64, Int, KimiError?)] = []
    init(_ c: Checkpoint) throws(KimiError) { checkpoint = c }
    static func mostRoom(_ n: Int) -> Int { (n + 3 * 4096) / 4096 * 4096 }
    static func lead(_ offset: Int) -> Int { offset & 4095 }
    func request(_ t: TensorInfo, from: Int, count: Int, into: UnsafeMutableRawPointer, tag: UInt64) throws(KimiError) {
        var e: KimiError?
        do throws(KimiError) { try checkpoint.read(t, from: from, into: UnsafeMutableRawBufferPointer(start: into + Self.lead(t.offset + from), count: count)) } catch { e = error }
        done.append((tag, count, e))
    }
    func wait(milliseconds: Int, _ body: (UInt64, Int, KimiError?) throws(KimiError) -> Void) throws(KimiError) {
        var n = Int.random(in: 1...20)
        while n > 0, let x = done.popLast() { n -= 1; try body(x.0, x.1, x.2) }
    }
}
