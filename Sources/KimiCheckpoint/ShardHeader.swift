import KimiCore

/// Reads the header of one safetensors file into the table: eight bytes of length, that many bytes of JSON, then the data.
///
/// All that the format demands is checked: known types, sizes that agree with shapes, ranges inside the data section that
/// neither overlap nor leave holes, and no name twice. Beyond that the reader is strict where the format is silent: other
/// members than `dtype`, `shape` and `data_offsets` are refused, as are names of more than 1,024 bytes.
struct ShardHeader {
    /// The longest header, as in the reference implementation.
    static let maxLength = 100_000_000

    private var json: JSONReader
    private let shard: Int32
    /// Where the data section begins in the file, and its length.
    private let dataStart: Int
    private let dataLength: Int
    /// With an index, each tensor must be in the shard that it says.
    private let shardNames: [String]
    /// The entries of this shard in the order of the header.
    private var entries: [UInt32] = []

    /// Adds the file's tensors to `table` and returns their entries in the order of their bytes.
    ///
    /// - Parameters:
    ///   - shard: the number of the file; `shardNames` are the names of all, for messages.
    static func read(
        _ file: OpenFile, shard: Int32, shardNames: [String], into table: inout TensorTable
    ) throws(KimiError) -> [UInt32] {
        let length = try headerLength(file)
        let memory = try MappedMemory(byteCount: length, what: "header of \(file.path)")
        let bytes = UnsafeMutableRawBufferPointer(start: memory.base, count: length)
        try file.read(into: bytes, at: 8)
        guard bytes.first == 0x7B else {
            throw KimiError(.format, "the header does not begin with '{': this is no safetensors file", file: file.path)
        }
        var header = ShardHeader(
            json: JSONReader(UnsafeRawBufferPointer(bytes), file: file.path, what: "header"), shard: shard,
            dataStart: 8 + length, dataLength: file.size - 8 - length, shardNames: shardNames)
        // Safe because the reader and its strings do not leave this scope, in which `memory` is held.
        defer { withExtendedLifetime(memory) {} }
        try header.document(&table)
        try header.checkRanges(table)
        return header.entries
    }

    private static func headerLength(_ file: OpenFile) throws(KimiError) -> Int {
        guard file.size >= 8 else {
            throw KimiError(
                .format, "\(file.size) bytes long; a safetensors file begins with 8 bytes of header length: truncated?",
                file: file.path)
        }
        var word: UInt64 = 0
        let outcome = withUnsafeMutableBytes(of: &word) { buffer in
            Result { () throws(KimiError) in try file.read(into: buffer, at: 0) }
        }
        try outcome.get()
        let length = UInt64(littleEndian: word)
        guard length >= 2, length <= UInt64(maxLength) else {
            throw KimiError(
                .format, "header length \(length); 2 to \(maxLength) bytes are possible", file: file.path)
        }
        guard length <= UInt64(file.size - 8) else {
            throw KimiError(
                .format, "header length \(length), but the file is \(file.size) bytes long: truncated?", file: file.path)
        }
        return Int(length)
    }

    // MARK: The document

    private mutating func document(_ table: inout TensorTable) throws(KimiError) {
        var sawMetadata = false
        try json.expect(0x7B)
        if !json.take(0x7D) {
            repeat {
                json.subject = nil
                let name = try json.text()
                json.subject = name
                try json.expect(0x3A)
                if name.equals("__metadata__") {
                    guard !sawMetadata else { throw json.fault("stands twice") }
                    sawMetadata = true
                    try metadata()
                } else {
                    try tensor(name, &table)
                }
            } while json.take(0x2C)
            json.subject = nil
            try json.expect(0x7D)
        }
        try json.end()
    }

    private mutating func metadata() throws(KimiError) {
        var keys: Set<String> = []
        try json.expect(0x7B)
        if json.take(0x7D) { return }
        repeat {
            let key = try json.key()
            guard keys.insert(key.string).inserted else { throw json.fault("key \(key.quoted) stands twice") }
            _ = try json.text()
        } while json.take(0x2C)
        try json.expect(0x7D)
    }

    private mutating func tensor(_ name: JSONText, _ table: inout TensorTable) throws(KimiError) {
        if let reason = TensorTable.faultInName(name) { throw json.fault(reason) }
        let info = try description()
        let entry: Int
        if let known = name.withBytes({ table.find($0) }) {
            let promised = table.infos[known]
            guard !table.isDefined(known) else {
                let place = promised.shard == shard ? "stands twice in the file" : "is also in \(shardName(promised.shard))"
                throw json.fault("the tensor \(place)")
            }
            guard promised.shard == shard else {
                throw json.fault("the index places the tensor in \(shardName(promised.shard)), but this shard holds it")
            }
            entry = known
        } else {
            guard let new = name.withBytes({ table.promise($0, shard: shard) }) else {
                throw KimiError(.unsupported, "more than \(TensorTable.maxTensors) tensors", file: json.file)
            }
            entry = new
        }
        table.define(entry, info)
        entries.append(UInt32(entry))
    }

    private func shardName(_ number: Int32) -> String {
        shardNames.indices.contains(Int(number)) ? shardNames[Int(number)] : "another shard"
    }

    // MARK: One tensor

    private mutating func description() throws(KimiError) -> TensorInfo {
        var dtype: ElementType?
        var shape: Shape?
        var range: (begin: Int, end: Int)?
        try json.expect(0x7B)
        if !json.take(0x7D) {
            repeat {
                let key = try json.key()
                if key.equals("dtype") {
                    guard dtype == nil else { throw json.fault("dtype stands twice") }
                    dtype = try elementType()
                } else if key.equals("shape") {
                    guard shape == nil else { throw json.fault("shape stands twice") }
                    shape = try extents()
                } else if key.equals("data_offsets") {
                    guard range == nil else { throw json.fault("data_offsets stands twice") }
                    try json.expect(0x5B)
                    let begin = try json.unsigned()
                    try json.expect(0x2C)
                    let end = try json.unsigned()
                    try json.expect(0x5D)
                    range = (begin, end)
                } else {
                    throw json.fault("member \(key.quoted); a tensor has dtype, shape and data_offsets")
                }
            } while json.take(0x2C)
            try json.expect(0x7D)
        }
        guard let dtype else { throw json.fault("the tensor has no dtype") }
        guard let shape else { throw json.fault("the tensor has no shape") }
        guard let range else { throw json.fault("the tensor has no data_offsets") }
        return try checked(dtype, shape, range.begin, range.end)
    }

    private mutating func elementType() throws(KimiError) -> ElementType {
        let spelling = try json.text()
        guard let type = spelling.withBytes({ ElementType(spelling: $0) }) else {
            throw json.fault("dtype \(spelling.quoted) is not one of safetensors'")
        }
        return type
    }

    private mutating func extents() throws(KimiError) -> Shape {
        var shape = Shape()
        try json.expect(0x5B)
        if json.take(0x5D) { return shape }
        repeat {
            guard shape.append(try json.unsigned()) else {
                throw KimiError(
                    .unsupported, "more than \(Shape.maxCount) axes", file: json.file, subject: json.subject?.string)
            }
        } while json.take(0x2C)
        try json.expect(0x5D)
        return shape
    }

    private func checked(_ dtype: ElementType, _ shape: Shape, _ begin: Int, _ end: Int) throws(KimiError) -> TensorInfo {
        guard let elements = shape.elementCount, let bits = Checked.product(elements, dtype.bits) else {
            throw json.fault("shape \(shape) of \(dtype.spelling) is more than any file can hold")
        }
        guard bits % 8 == 0 else { throw json.fault("shape \(shape) of \(dtype.spelling) is no whole number of bytes") }
        guard begin <= end else { throw json.fault("data_offsets [\(begin), \(end)] end before they begin") }
        guard end <= dataLength else {
            throw json.fault(
                "data_offsets [\(begin), \(end)] leave the data section of \(dataLength) bytes: truncated file or wrong offsets")
        }
        guard end - begin == bits / 8 else {
            throw json.fault(
                "\(dtype.spelling) \(shape) is \(bits / 8) bytes, but data_offsets [\(begin), \(end)] are \(end - begin)")
        }
        return TensorInfo(dtype: dtype, shape: shape, shard: shard, offset: dataStart + begin, byteCount: end - begin)
    }

    // MARK: All of them

    /// The data section is covered from its first to its last byte, once.
    private mutating func checkRanges(_ table: TensorTable) throws(KimiError) {
        func isBefore(_ a: UInt32, _ b: UInt32) -> Bool {
            let x = table.infos[Int(a)], y = table.infos[Int(b)]
            return (x.offset, x.byteCount, a) < (y.offset, y.byteCount, b)
        }
        if !zip(entries, entries.dropFirst()).allSatisfy({ isBefore($0, $1) }) { entries.sort(by: isBefore) }

        func fault(_ entry: UInt32, _ message: String) -> KimiError {
            KimiError(.format, message, file: json.file, subject: table.name(Int(entry)))
        }
        var covered = dataStart
        var previous: UInt32?
        for entry in entries {
            let info = table.infos[Int(entry)]
            if info.offset < covered, let previous {
                throw fault(
                    entry, "its data overlaps that of \(table.name(Int(previous))) by \(covered - info.offset) bytes")
            }
            guard info.offset == covered else {
                throw fault(entry, "\(info.offset - covered) bytes before its data belong to no tensor")
            }
            covered = info.offset + info.byteCount
            previous = entry
        }
        guard covered == dataStart + dataLength else {
            let rest = dataStart + dataLength - covered
            throw KimiError(
                .format, "\(rest) bytes after the last tensor belong to no tensor", file: json.file,
                subject: previous.map { table.name(Int($0)) })
        }
    }
}
