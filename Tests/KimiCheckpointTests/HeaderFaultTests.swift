import Foundation
import KimiCheckpoint
import KimiCore
import KimiTestSupport
import Testing

/// Broken safetensors files: each fault is an error that names the file and the tensor.
@Suite struct HeaderFaultTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let header: String
        let expected: Expected
        init(_ name: String, _ header: String, _ expected: Expected) {
            testDescription = name
            self.header = header
            self.expected = expected
        }
    }

    /// Two tensors of 16 and 6 bytes, in 22 bytes of data: the correct header that the cases below spoil.
    static let a = #""a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}"#
    static let b = #""b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}"#
    static let dataLength = 22

    private static func tensor(_ name: String, _ dtype: String, _ shape: String, _ offsets: String) -> String {
        #""\#(name)":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":\#(offsets)}"#
    }

    private static func fault(_ name: String, _ header: String, subject: String? = nil, _ words: String...) -> Case {
        var expected = Expected(.format, file: "model.safetensors", subject: subject)
        expected.words = words
        return Case(name, header, expected)
    }

    static let cases: [Case] = [
        fault("no object", "[1,2]", "does not begin with '{'"),
        fault("space in front", " {\(a),\(b)}", "does not begin with '{'"),
        fault("cut", "{\(a),", "not valid JSON", "expected a string"),
        fault("two values", "{\(a),\(b)}{}", "continues"),
        fault("trailing comma", "{\(a),\(b),}", "not valid JSON"),
        fault("not UTF-8 is tested apart; control character", "{\"a\u{1}\":{}}", "control character"),
        fault("escaped control character in a name", #"{"a\u0000b":{}}"#, "control character"),
        fault("empty name", "{\(tensor("", "F32", "[2,2]", "[0,16]")),\(b)}", "name is empty"),
        fault("huge name", "{\"\(String(repeating: "x", count: 1025))\":{}}", "1025 bytes"),
        fault("too deep", "{\"a\":" + String(repeating: "[", count: 100_000), subject: "a", "expected '{'"),
        fault("tensor is a number", #"{"a":5}"#, subject: "a", "expected '{'"),
        fault("tensor is null", #"{"a":null}"#, subject: "a", "expected '{'"),
        fault("tensor twice", "{\(a),\(a),\(b)}", subject: "a", "stands twice"),
        fault(
            "tensor twice, once escaped", "{\(a),\(tensor(#"\u0061"#, "BF16", "[3]", "[16,22]"))}", subject: "a",
            "stands twice"),
        fault("metadata twice", #"{"__metadata__":{},"__metadata__":{},\#(a),\#(b)}"#, subject: "__metadata__", "twice"),
        fault("metadata key twice", #"{"__metadata__":{"x":"1","x":"2"},\#(a),\#(b)}"#, subject: "__metadata__", "stands twice"),
        fault("metadata holds a number", #"{"__metadata__":{"x":1},\#(a),\#(b)}"#, subject: "__metadata__", "expected a string"),
        fault("metadata is a list", #"{"__metadata__":[],\#(a),\#(b)}"#, subject: "__metadata__", "expected '{'"),
        fault("member twice", #"{"a":{"dtype":"F32","dtype":"F32"}}"#, subject: "a", "dtype stands twice"),
        fault("shape twice", #"{"a":{"shape":[1],"shape":[1]}}"#, subject: "a", "shape stands twice"),
        fault("offsets twice", #"{"a":{"data_offsets":[0,1],"data_offsets":[0,1]}}"#, subject: "a", "data_offsets stands twice"),
        fault("unknown member", #"{"a":{"strides":[1]}}"#, subject: "a", "strides"),
        fault("no dtype", #"{"a":{"shape":[2,2],"data_offsets":[0,16]}}"#, subject: "a", "no dtype"),
        fault("no shape", #"{"a":{"dtype":"F32","data_offsets":[0,16]}}"#, subject: "a", "no shape"),
        fault("no offsets", #"{"a":{"dtype":"F32","shape":[2,2]}}"#, subject: "a", "no data_offsets"),
        fault("unknown dtype", "{\(tensor("a", "F31", "[2,2]", "[0,16]"))}", subject: "a", "F31"),
        fault("dtype in small letters", "{\(tensor("a", "f32", "[2,2]", "[0,16]"))}", subject: "a", "f32"),
        fault("dtype is a number", #"{"a":{"dtype":7}}"#, subject: "a", "expected a string"),
        fault("dtype disagrees with the size", "{\(tensor("a", "F64", "[2,2]", "[0,16]")),\(b)}", subject: "a", "32 bytes", "are 16"),
        fault("shape disagrees with the size", "{\(tensor("a", "F32", "[2,3]", "[0,16]")),\(b)}", subject: "a", "24 bytes", "are 16"),
        fault("half a byte", "{\(tensor("a", "F4", "[3]", "[0,16]"))}", subject: "a", "no whole number of bytes"),
        fault("negative extent", "{\(tensor("a", "F32", "[-2,2]", "[0,16]"))}", subject: "a", "non-negative integer"),
        fault("fraction as extent", "{\(tensor("a", "F32", "[2.0,2]", "[0,16]"))}", subject: "a", "expected an integer"),
        fault("extent beyond 64 bits", "{\(tensor("a", "F32", "[18446744073709551617]", "[0,4]"))}", subject: "a", "too large"),
        fault(
            "product wraps to 0", "{\(tensor("a", "F32", "[4294967296,4294967296]", "[0,0]"))}", subject: "a",
            "more than any file"),
        fault(
            "product wraps to 16", "{\(tensor("a", "F32", "[4611686018427387905,4]", "[0,16]"))}", subject: "a",
            "more than any file"),
        fault(
            "product in bits overflows", "{\(tensor("a", "F32", "[2305843009213693951]", "[0,4]"))}", subject: "a",
            "more than any file"),
        fault(
            "zero hides an overflow", "{\(tensor("a", "F32", "[0,4294967296,4294967296]", "[0,0]"))}", subject: "a",
            "more than any file"),
        fault("end before begin", "{\(tensor("a", "F32", "[2,2]", "[16,0]"))}", subject: "a", "before they begin"),
        fault("end past the data", "{\(a),\(tensor("b", "BF16", "[4]", "[16,24]"))}", subject: "b", "section of 22 bytes"),
        fault("end far past the data", "{\(tensor("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]"))}", subject: "a"),
        fault("offset beyond 64 bits", "{\(tensor("a", "F32", "[2,2]", "[0,99999999999999999999]"))}", subject: "a", "too large"),
        fault("negative offset", "{\(tensor("a", "F32", "[2,2]", "[-16,0]"))}", subject: "a", "non-negative"),
        fault("one offset", "{\(tensor("a", "F32", "[2,2]", "[16]"))}", subject: "a", "expected ','"),
        fault("three offsets", "{\(tensor("a", "F32", "[2,2]", "[0,16,22]"))}", subject: "a", "expected ']'"),
        fault("overlap", "{\(a),\(tensor("b", "BF16", "[4]", "[14,22]"))}", subject: "b", "overlaps", "2 bytes"),
        fault("same bytes twice", "{\(a),\(tensor("c", "F32", "[4]", "[0,16]")),\(b)}", subject: "c", "overlaps", "16 bytes"),
        fault("hole in front", "{\(b)}", subject: "b", "16 bytes before"),
        fault("hole between", "{\(a),\(tensor("b", "BF16", "[2]", "[18,22]"))}", subject: "b", "2 bytes before"),
        fault("rest behind", "{\(a)}", subject: "a", "6 bytes after"),
        fault("no tensors, but data", "{}", "22 bytes after"),
        Case(
            "too many axes", "{\(tensor("a", "F32", "[1,1,1,1,2,2]", "[0,16]"))}",
            Expected(.unsupported, file: "model.safetensors", subject: "a", "5 axes")),
        Case(
            "FP8 weights", "{\(tensor("a", "F8_E4M3", "[16]", "[0,16]")),\(tensor("model.embed_tokens.weight", "BF16", "[3]", "[16,22]"))}",
            Expected(.unsupported, file: "model.safetensors", subject: "a", "F8_E4M3", "BF16", "INT4")),
    ]

    @Test(arguments: cases)
    func header(_ test: Case) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        try folder.write(
            "model.safetensors",
            SafetensorsWriter.file(header: test.header, data: [UInt8](repeating: 0, count: Self.dataLength)))
        test.expected.check { _ = try Checkpoint(folder: folder.path) }
    }

    /// The frame of the cases above is itself correct, in any order: only the embedding is missed.
    @Test(arguments: ["{\(a),\(b)}", "{\(b),\(a)}", "{ \(a) ,\n\(b) }  \n", "{\"__metadata__\":{},\(b),\(a)}"])
    func correctHeader(_ header: String) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        try folder.write(
            "model.safetensors",
            SafetensorsWriter.file(header: header, data: [UInt8](repeating: 0, count: Self.dataLength)))
        Expected(.format, subject: "model.embed_tokens.weight", "tensor missing").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    @Test(arguments: [
        (0 as UInt64, "header length 0"), (1, "header length 1"), (1 << 63, "9223372036854775808"), (.max, "18446744073709551615"),
        (100_000_001, "100000001"), (1000, "truncated"), (143, "truncated"),
    ])
    func headerLength(_ length: UInt64, _ words: String) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        let header = Array("{\(Self.a),\(Self.b)}".utf8)
        try folder.write(
            "model.safetensors", SafetensorsWriter.file(headerLength: length, header: header, data: Array(repeating: 0, count: 22)))
        Expected(.format, file: "model.safetensors", words).check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test func notUTF8() throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        let header = Array("{\"a".utf8) + [0xC3, 0x28] + Array("\":{}}".utf8)
        try folder.write(
            "model.safetensors", SafetensorsWriter.file(headerLength: UInt64(header.count), header: header, data: []))
        Expected(.format, file: "model.safetensors", "not UTF-8").check { _ = try Checkpoint(folder: folder.path) }
    }

    /// A shard cut at every structural boundary, and one byte to each side of it.
    @Test func truncation() throws {
        let folder = try TemporaryFolder.fixture()
        let name = "model-00002-of-000002.safetensors"
        let file = try folder.bytes(name)
        let (tensors, dataStart) = try ReferenceTensor.read(file)
        var ends: Set<Int> = [0, 7, 8, 9, dataStart / 2, dataStart, file.count - 1]
        for tensor in tensors.values.sorted(by: { $0.begin < $1.begin }).enumerated() where tensor.offset % 7 == 0 {
            for delta in [-1, 0, 1] { ends.insert(dataStart + tensor.element.begin + delta) }
        }
        let handle = try FileHandle(forWritingTo: folder.url.appending(path: name))
        for end in ends.sorted(by: >) where end < file.count {
            try handle.truncate(atOffset: UInt64(end))
            Expected(.format, file: name, "truncated").check { _ = try Checkpoint(folder: folder.path) }
        }
    }

    @Test func bytesAfterTheEnd() throws {
        let folder = try TemporaryFolder.fixture()
        let name = "model-00002-of-000002.safetensors"
        try folder.write(name, try folder.bytes(name) + [0])
        Expected(.format, file: name, "1 bytes after the last tensor").check { _ = try Checkpoint(folder: folder.path) }
    }

    /// All types the format has are known by name and size.
    @Test(arguments: ElementType.allCases)
    func elementTypes(_ type: ElementType) throws {
        let sizes = [
            "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F16": 16,
            "BF16": 16, "F32": 32, "F64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
            "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4, "C64": 64,
        ]
        #expect(sizes[type.spelling] == type.bits)
        var tiny = SafetensorsWriter(TinyCheckpoint().tensors())
        tiny.tensors.append(.init("x", type.spelling, [4, 2], Array(repeating: 0, count: type.bits)))
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        try folder.write("model.safetensors", tiny.file())
        if type.isNarrowFloat {
            Expected(.unsupported, file: "model.safetensors", subject: "x", type.spelling).check {
                _ = try Checkpoint(folder: folder.path)
            }
        } else {
            #expect(try Checkpoint(folder: folder.path).tensor("x")?.dtype == type)
        }
    }
}
