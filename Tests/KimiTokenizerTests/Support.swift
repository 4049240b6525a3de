import Foundation
import KimiCore
import KimiTestSupport
import KimiTokenizer

/// The tokenizer of the fixture checkpoint, opened once for all tests.
let tiny = Result { () throws(KimiError) in try Tokenizer(folder: Fixtures.path("tiny-kimi"), vocabularySize: 1792) }

/// The vocabulary of make_vectors.py in which nearly every border between words shows: all strings of one or two bytes.
let pairs = Result { () throws -> Tokenizer in
    let folder = try TemporaryFolder()
    var lines = ""
    for byte in 0..<256 { lines += "\(Data([UInt8(byte)]).base64EncodedString()) \(byte)\n" }
    for value in 0..<65536 {
        let token = Data([UInt8(value >> 8), UInt8(value & 255)])
        lines += "\(token.base64EncodedString()) \(256 + (value * 40503 + 12345) % 65536)\n"
    }
    try folder.write("tiktoken.model", lines)
    try folder.write("tokenizer_config.json", """
        {"added_tokens_decoder": {"65792": {"content": "[BOS]"}, "65794": {"content": "<|im_end|>"},
        "65800": {"content": "<think>"}}}
        """)
    return try Tokenizer(folder: folder.path)
}

extension SplitMix {
    /// As in make_vectors.py.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

/// FNV-1a of lists of ids, as in make_vectors.py.
struct Checksum {
    private var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ ids: [Int32]) {
        for id in ids + [-1] {
            for shift in stride(from: 0, to: 32, by: 8) {
                let byte = UInt64(UInt32(bitPattern: id) >> UInt32(shift) & 0xFF)
                value = (value ^ byte) &* 0x100_0000_01B3
            }
        }
    }

    var hex: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// The error that `body` throws, or nil.
func failure(_ body: () throws -> Void) -> KimiError? {
    do { try body() } catch { return error as? KimiError }
    return nil
}
