import KimiCore
import Testing

struct JSONTests {
    static func parse(_ text: String, depth: Int = 64) throws(KimiError) -> JSON {
        try JSON.parse(Array(text.utf8), file: "x.json", maxDepth: depth)
    }

    @Test("values", arguments: [
        ("null", JSON.null), ("true", .bool(true)), (" false ", .bool(false)), ("0", .integer(0)), ("-12", .integer(-12)),
        ("9223372036854775807", .integer(.max)), ("9223372036854775808", .number(9223372036854775808)),
        ("1.5e3", .number(1500)), ("-0", .integer(0)), ("\"\"", .string("")), ("[]", .array([])),
        ("\"a\\n\\u00e9\\ud83d\\ude00\\/\"", .string("a\né😀/")), ("\"日本\"", .string("日本")),
        ("[1, [2]]", .array([.integer(1), .array([.integer(2)])])),
    ])
    func values(_ text: String, _ expected: JSON) throws { #expect(try Self.parse(text) == expected) }

    @Test("what is not JSON is refused", arguments: [
        "", " ", "nul", "truefalse", "01", "-", "1.", ".5", "1e", "+1", "NaN", "Infinity", "[1,]", "[1", "[,1]", "{", "{}x",
        "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\":1 \"b\":2}", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"",
        "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"a\nb\"", "'a'", "// c\n1", "1e999", "{\"a\":1,\"a\":2}", "\u{FEFF}1",
    ])
    func refused(_ text: String) throws {
        let error = #expect(throws: KimiError.self) { try Self.parse(text) }
        #expect(error?.status == .format)
        #expect(error?.file == "x.json")
        #expect(error?.message.contains("byte") == true)
    }

    @Test("bytes that are not UTF-8 are refused", arguments: [
        [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xE2, 0x82, 0x22],
        [0x22, 0x5C, 0x6E, 0xFF, 0x22],
    ] as [[UInt8]])
    func notUTF8(_ bytes: [UInt8]) {
        #expect(throws: KimiError.self) { try JSON.parse(bytes, file: "x.json") }
    }

    @Test("nesting is bounded, not a crash")
    func depth() throws {
        #expect(try Self.parse("[[1]]", depth: 2) == .array([.array([.integer(1)])]))
        #expect(throws: KimiError.self) { try Self.parse("[[[1]]]", depth: 2) }
        let deep = String(repeating: "[", count: 1_000_000)
        #expect(throws: KimiError.self) { try Self.parse(deep) }
        #expect(throws: KimiError.self) { try Self.parse(String(repeating: "{\"a\":", count: 100_000)) }
    }

    @Test("numbers convert only where nothing is lost")
    func numbers() throws {
        #expect(try Self.parse("64.0").intValue == 64)
        #expect(try Self.parse("64.5").intValue == nil)
        #expect(try Self.parse("1e300").intValue == nil)
        #expect(try Self.parse("3").doubleValue == 3)
        #expect(try Self.parse("\"3\"").intValue == nil)
    }

    @Test("objects keep their order, and null members count as missing")
    func objects() throws {
        let json = try Self.parse("{\"z\":1,\"a\":null,\"m\":3}")
        #expect(json.objectValue?.keys == ["z", "a", "m"])
        #expect(json["a"] == nil)
        #expect(json["m"]?.intValue == 3)
    }

    @Test("what the writer writes, the reader reads", arguments: ["", "a\"b\\c", "\u{1}\n\t", "é😀", "</script>"])
    func roundTrip(_ text: String) throws {
        var writer = JSONWriter()
        writer.object { json in
            json.member("text", text)
            json.member(text + "k", 3)
            json.array("list") { json in
                json.element(1)
                json.element(text)
            }
            json.object("inner") { $0.member("flag", true) }
            json.member("nan", Double.nan)
        }
        let json = try Self.parse(writer.text)
        #expect(json["text"]?.stringValue == text)
        #expect(json[text + "k"]?.intValue == 3)
        #expect(json["list"]?.arrayValue == [.integer(1), .string(text)])
        #expect(json["inner"]?["flag"] == .bool(true))
        #expect(json["nan"] == nil)
    }
}

struct CheckedArithmeticTests {
    @Test("products", arguments: [
        ([2, 3, 4], 24), ([], 1), ([0, 5], 0), ([-1, 5], nil), ([Int.max, 2], nil), ([Int.max, 2, 0], nil), ([1 << 32, 1 << 31], nil),
    ] as [([Int], Int?)])
    func product(_ factors: [Int], _ expected: Int?) { #expect(Checked.product(of: factors) == expected) }

    @Test("sums and rounding")
    func sums() {
        #expect(Checked.sum(1, 2, 3) == 6)
        #expect(Checked.sum(.max, 1) == nil)
        #expect(Checked.roundUp(65, to: 64) == 128)
        #expect(Checked.roundUp(.max, to: 64) == nil)
        #expect(Checked.roundUp(5, to: 0) == nil)
    }
}

struct MappedMemoryTests {
    @Test("memory beyond any machine is an error, not the end")
    func tooMuch() {
        #expect(throws: KimiError.self) { try MappedMemory(byteCount: .max, what: "x") }
        #expect(throws: KimiError.self) { try MappedMemory(byteCount: 1 << 60, what: "x") }
        #expect(throws: KimiError.self) { try MappedMemory(byteCount: -1, what: "x") }
    }

    @Test("memory is zeroed and can be written")
    func use() throws {
        let memory = try MappedMemory(byteCount: 10_000, what: "x")
        let floats = memory.pointer(to: Float.self)
        #expect((0..<2500).allSatisfy { floats[$0] == 0 })
        floats[2499] = 1
        #expect(floats[2499] == 1)
    }
}
