import CKimiKernels
import Testing

/// Stored weights made into bytes.
@Suite struct QuantizeTests {
    /// The types that bytes are made from.

    /// A matrix as bytes: what the contract says, by a reading of its own.
    struct Bytes: Equatable {
        var data: [UInt8]
        var scales: [UInt16]

        init(_ w: StoredMatrix) {
            let blocks = (w.columns + 511) / 512
            data = [UInt8](repeating: 128, count: w.rows * blocks * 512)
            scales = []
            for (j, row) in w.values.enumerated() {
                for group in 0..<w.columns / 32 {
                    let values = Array(row[group * 32..<group * 32 + 32])
                    let word = Self.scale(values)
                    scales.append(word)
                    let scale = Float(bitPattern: UInt32(word) << 16)
                    guard scale > 0 else { continue }
                    let block = (j * blocks + group / 16) * 512
                    for s in 0..<8 {
                        for b in 0..<4 {
                            let q = (values[8 * (s / 2) + s % 2 + 2 * b] / scale).rounded(.toNearestOrEven)
                            data[block + 64 * s + 4 * (4 * (group % 4) + group % 16 / 4) + b] = UInt8(Int(q) + 128)
                        }
                    }
                }
            }
        }

        /// The smallest bfloat16 that is no less than the largest magnitude / 127, above 0 unless all are zeros.
        static func scale(_ values: [Float]) -> UInt16 {
            guard values.allSatisfy(\.isFinite) else { return 0x7fc0 }
            let most = values.reduce(0) { max($0, abs($1)) }
            guard most > 0 else { return 0 }
            let least = max(most / 127, .leastNonzeroMagnitude)
            let below = UInt16(least.bitPattern >> 16)
            return Float(bitPattern: UInt32(below) << 16) == least ? below : below + 1
        }

        /// The integer at element i of group g of a row.
        func integer(row: Int, columns: Int, _ g: Int, _ i: Int) -> Int {
            let block = (row * ((columns + 511) / 512) + g / 16) * 512
            let s = i / 8 * 2 + i % 2
            return Int(data[block + 64 * s + 4 * (4 * (g % 4) + g % 16 / 4) + i % 8 / 2]) - 128
        }
    }

    static func quantize(_ level: Level, _ w: StoredMatrix, offset: Int = 0) -> Bytes {
        var bytes = Bytes(w)
        bytes.data = bytes.data.map { ~$0 }
        bytes.scales = bytes.scales.map { ~$0 }
        w.withMatrix(offset: offset) { level.kernels.quantize_rows(&bytes.data, &bytes.scales, $0) }
        return bytes
    }

    @Test("Bytes and scales are those of the contract", arguments: Level.available, Element.floats)
    func contract(level: Level, element: Element) {
        var random = Random(40)
        for round in 0..<120 {
            let columns = 32 * [1, 2, 3, 15, 16, 17, 33, 48][random.below(8)]
            let mood = Mood.allCases[round % Mood.allCases.count]
            let w = StoredMatrix(element, rows: 1 + random.below(4), columns: columns, mood: mood, &random)
            let right = Bytes(w)
            let found = Self.quantize(level, w, offset: random.below(9))
            // Any NaN would do for a bad group, but only one is written.
            #expect(found == right, "\(mood), columns \(columns)")
        }
    }

    @Test("Every size of a group, down to the smallest floats and up to the largest", arguments: Level.available)
    func sizes(level: Level) {
        var random = Random(41)
        for exponent in stride(from: -149, through: 127, by: 1) {
            let top = Float(sign: .plus, exponent: exponent, significand: 1)
            let values = (0..<32).map { _ in random.unit() * top * 1.999 } + (0..<32).map { $0 == 9 ? top : 0 }
            let w = StoredMatrix(row: values)
            let found = Self.quantize(level, w)
            #expect(found == Bytes(w), "2^\(exponent)")
            for (g, word) in found.scales.enumerated() {
                let scale = Double(Float(bitPattern: UInt32(word) << 16))
                for i in 0..<32 {
                    let q = found.integer(row: 0, columns: 64, g, i)
                    #expect(abs(q) <= 127)
                    // Half a step, and 2^-24 of a quotient of up to 127 steps.
                    #expect(abs(Double(values[32 * g + i]) - Double(q) * scale) <= scale * (0.5 + 0x1p-17), "2^\(exponent)")
                }
            }
        }
    }

    @Test("Nothing outside is touched", arguments: Level.available, Element.floats)
    func guardPages(level: Level, element: Element) {
        var random = Random(42)
        for end in Guarded.End.allCases {
            for (columns, rows) in [(32, 1), (32, 3), (480, 2), (512, 2), (544, 3), (1056, 2)] {
                let w = StoredMatrix(element, rows: rows, columns: columns, mood: .ordinary, &random)
                let right = Bytes(w)
                let data = Guarded(w.data, against: end)
                let bytes = Guarded(bytes: right.data.count, against: end)
                let scales = Guarded(bytes: right.scales.count * 2, against: end)
                var matrix = ck_matrix(
                    data: data.base, scales: nil, rows: rows, columns: columns, type: element.rawValue, reserved: 0)
                level.kernels.quantize_rows(bytes.base, scales.base.assumingMemoryBound(to: UInt16.self), &matrix)
                #expect(bytes.array(UInt8.self, right.data.count) == right.data)
                #expect(scales.array(UInt16.self, right.scales.count) == right.scales)
            }
        }
    }

    /// The product's own errors are small beside those of the bytes: half a step each.
    @Test("Products with the bytes against double precision with the stored weights", arguments: Level.available, Element.floats)
    func product(level: Level, element: Element) {
        var random = Random(43)
        for columns in [32, 96, 512, 544, 1536] {
            let rows = 5
            let w = StoredMatrix(element, rows: rows, columns: columns, mood: .ordinary, &random)
            let x = floats(columns, .ordinary, &random)
            var bytes = Self.quantize(level, w)
            var y = [Float](repeating: 7, count: rows)
            withSplit(level, x) { split in
                bytes.data.withUnsafeMutableBytes { data in
                    bytes.scales.withUnsafeBufferPointer { scales in
                        var matrix = ck_matrix(
                            data: data.baseAddress, scales: scales.baseAddress, rows: rows, columns: columns,
                            type: Int32(CK_INT8), reserved: 0)
                        var row: UnsafeRawPointer? = split
                        level.kernels.matmul_split(&y, rows, &row, 1, &matrix, 0, rows)
                    }
                }
            }
            for j in 0..<rows {
                let exact = zip(x, w.values[j]).reduce(0.0) { sum, pair in sum + Double(pair.0) * Double(pair.1) }
                let scales = bytes.scales[j * columns / 32..<(j + 1) * columns / 32].map { Float(bitPattern: UInt32($0) << 16) }
                // Each weight is off by half a step, each value of x by 1 / 65278 of its group's largest, 1 here.
                var bound = 1e-6
                for i in 0..<columns {
                    bound += Double(scales[i / 32]) * 0.51 * Double(abs(x[i]))
                    bound += 0x1p-15 * Double(abs(w.values[j][i]))
                }
                #expect(abs(Double(y[j]) - exact) <= bound, "row \(j), columns \(columns)")
                // Errors of random sign mostly cancel: a wrong order of bytes would not pass this.
                #expect(abs(Double(y[j]) - exact) <= 0.02 * Double(columns).squareRoot(), "row \(j), columns \(columns)")
            }
        }
    }

    /// x as integers, while `body` runs.
    private func withSplit(_ level: Level, _ x: [Float], _ body: (UnsafeRawPointer) -> Void) {
        let split = UnsafeMutableRawPointer.allocate(byteCount: ck_split_bytes(x.count), alignment: 64)
        defer { split.deallocate() }
        level.kernels.split(split, x, 0, x.count, x.count)
        body(split)
    }
}

extension StoredMatrix {
    /// One row of floats.
    init(row: [Float]) {
        self.init(
            element: .f32, rows: 1, columns: row.count, data: row.withUnsafeBytes { Array($0) }, scales: [], values: [row])
    }

    private init(element: Element, rows: Int, columns: Int, data: [UInt8], scales: [UInt16], values: [[Float]]) {
        self.element = element
        self.rows = rows
        self.columns = columns
        self.data = data
        self.scales = scales
        self.values = values
    }
}
