import CKimiKernels
import Testing

/// Plain reading and multiplying: that they do what they are timed for.
struct MeasureTests {
    @Test(
        "reading sums up every whole word, whichever way", arguments: 0..<Int32(CK_READ_COUNT),
        [0, 7, 8, 9, 63, 64, 511, 512, 513, 1023, 1024, 1025, 4096, 10_007])
    func read(_ way: Int32, bytes: Int) {
        var random = Random(bytes)
        let words = (0..<bytes / 8 + 1).map { _ in random.next() }
        let expected = words.prefix(bytes / 8).reduce(UInt64(0), &+)
        words.withUnsafeBytes { #expect(ck_read($0.baseAddress, bytes, way) == expected) }
    }

    @Test("multiplying counts what it did, in proportion to the rounds", arguments: 0..<Int32(CK_MULTIPLY_COUNT))
    func multiply(_ kind: Int32) {
        let one = ck_multiply(kind, 1)
        #expect(ck_multiply(kind, 0) == 0)
        #expect(ck_multiply(kind, 1000) == 1000 * one)
        // Every processor multiplies floats, four at a time at the least.
        if kind == Int32(CK_MULTIPLY_F32) { #expect(one >= 48) }
    }

    @Test("what there is no instruction for is 0", arguments: [-1, 4, 99] as [Int32])
    func unknown(_ kind: Int32) { #expect(ck_multiply(kind, 10) == 0) }
}
