import CKimiKernels
import Glibc
import Testing

/// A random matrix of int4 or int8 weights, stored as the kernels read it, and its integers by the test's own reading.
struct IntegerMatrix {
    let type: Int32
    let columns: Int
    let data: [UInt8]
    let scales: [UInt16]
    let weights: [[Int]]

    init(_ type: Int32, rows: Int, columns: Int, mood: Mood, _ random: inout Random) {
        var scales = [UInt16]()
        var weights = [[Int]]()
        for _ in 0..<rows {
            scales += (0..<columns / 32).map { _ in mood.word(&random, .bf16) }
            weights.append((0..<columns).map { _ in type == Int32(CK_INT4) ? random.below(16) - 8 : random.below(255) - 127 })
        }
        self.init(type, weights, scales: scales)
    }

    init(_ type: Int32, _ weights: [[Int]], scales: [UInt16]) {
        self.type = type
        self.weights = weights
        self.scales = scales
        columns = weights[0].count
        var data = [UInt8]()
        for row in weights {
            if type == Int32(CK_INT4) {
                for i in stride(from: 0, to: columns, by: 2) { data.append(UInt8(row[i] + 8) | UInt8(row[i + 1] + 8) << 4) }
            } else {
                var blocks = [UInt8](repeating: 128, count: (columns + 511) / 512 * 512)
                for (i, weight) in row.enumerated() {
                    let (block, g, e) = (i / 512, i % 512 / 32, i % 32)
                    let (s, b) = (e / 8 * 2 + e % 2, e % 8 / 2)
                    blocks[512 * block + 64 * s + 4 * (4 * (g % 4) + g / 4) + b] = UInt8(weight + 128)
                }
                data += blocks
            }
        }
        self.data = data
    }

    func scales(of row: Int) -> [Float] {
        scales[row * (columns / 32)..<(row + 1) * (columns / 32)].map { Float(bitPattern: UInt32($0) << 16) }
    }
}

/// Activations as integers and products with integer weights, on every level.
@Suite struct IntegerMatmulTests {
    /// Rows of integers made by a level, each at its own place in memory.
    static func split(_ level: Level, _ x: [[Float]], cut: Int? = nil) -> [Guarded] {
        x.map { row in
            let memory = Guarded(bytes: ck_split_bytes(row.count), against: .high)
            memset(memory.base, 0xA5, ck_split_bytes(row.count))
            let cut = cut ?? row.count
            // Later parts first: the order must not matter.
            for first in stride(from: 0, to: row.count, by: cut).reversed() {
                let part = Guarded(Array(row[first..<min(first + cut, row.count)]), against: .high)
                level.kernels.split(
                    memory.base, part.base.assumingMemoryBound(to: Float.self), first, min(cut, row.count - first), row.count)
            }
            return memory
        }
    }

    static func multiply(
        _ level: Level, _ w: IntegerMatrix, _ x: [Guarded], rows: Range<Int>, ldy: Int, end: Guarded.End = .high
    ) -> [Float] {
        let data = Guarded(w.data, against: end)
        let scales = Guarded(w.scales, against: end)
        var y = [Float](repeating: 7, count: max(x.count * ldy, 1))
        let pointers = x.map { UnsafeRawPointer($0.base) as UnsafeRawPointer? }
        var matrix = ck_matrix(
            data: data.base, scales: scales.base.assumingMemoryBound(to: UInt16.self), rows: w.weights.count,
            columns: w.columns, type: w.type, reserved: 0)
        level.kernels.matmul_split(&y, ldy, pointers, x.count, &matrix, rows.lowerBound, rows.upperBound)
        return y
    }

    static let types = [Int32(CK_INT4), Int32(CK_INT8)]

    @Test(
        "Bits are those of the contract: odd tails, guard pages, all kinds of numbers", arguments: Level.available, types)
    func contract(level: Level, type: Int32) {
        var random = Random(Int(level.rawValue) * 100 + Int(type) * 10 + 3)
        for round in 0..<60 {
            let mood = Mood.allCases[round % Mood.allCases.count]
            let columns = 32 * [1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 40][random.below(11)]
            let rows = 1 + random.below(40)
            let n = [1, 2, 3, 4, 5, 7, 8, 16, 17, 24, 25, 50][round % 12]
            let begin = random.below(rows)
            let end = begin + 1 + random.below(rows - begin)
            let w = IntegerMatrix(type, rows: rows, columns: columns, mood: mood, &random)
            let x = (0..<n).map { _ in floats(columns, mood, &random) }
            let found = Self.multiply(
                level, w, Self.split(level, x), rows: begin..<end, ldy: rows, end: round % 2 == 0 ? .high : .low)
            var right = [Float](repeating: 7, count: n * rows)
            for r in 0..<n {
                let integers = Contract.IntegerRow(x[r])
                for j in begin..<end {
                    right[r * rows + j] = Contract.integerDot(integers, w.weights[j], scales: w.scales(of: j))
                }
            }
            let difference = firstDifference(found, right)
            #expect(difference == nil, "\(mood) n \(n) rows \(begin)..<\(end) of \(rows), columns \(columns)")
        }
    }

    @Test("A row split in parts, in any order, is the same row", arguments: Level.available)
    func parts(level: Level) {
        var random = Random(3)
        for columns in [32, 96, 512, 544, 1504] {
            let x = [floats(columns, .wide, &random)]
            let size = ck_split_bytes(columns)
            let whole = Self.split(level, x)[0].array(UInt8.self, size)
            for cut in [32, 64, 320] {
                #expect(Self.split(level, x, cut: cut)[0].array(UInt8.self, size) == whole, "columns \(columns)")
            }
        }
    }

    /// Per group |x - q scale| <= m / (2 limit) plus three roundings of x; the sums add 2^-23 of themselves and the lanes'
    /// roundings, columns / 512 + 4 of them.
    @Test("The scalar level against double precision, with its error bound", arguments: types)
    func accuracy(type: Int32) {
        var random = Random(8)
        let limit: Double = 8_355_000
        for columns in [32, 512, 2048, 7168] {
            let w = IntegerMatrix(type, rows: 5, columns: columns, mood: .ordinary, &random)
            // Outliers, as real activations have them.
            let x = floats(columns, .ordinary, &random).enumerated().map { $0 % 97 == 5 ? $1 * 40 : $1 }
            let y = Self.multiply(.scalar, w, Self.split(.scalar, [x]), rows: 0..<5, ldy: 5)
            for j in 0..<5 {
                let scales = w.scales(of: j)
                var exact = 0.0
                var bound = 0.0
                for i in 0..<columns {
                    let weight = Double(w.weights[j][i]) * Double(scales[i / 32])
                    let most = x[i / 32 * 32..<i / 32 * 32 + 32].map { Double($0.magnitude) }.max() ?? 0
                    exact += Double(x[i]) * weight
                    let size = abs(Double(x[i]) * weight)
                    bound += abs(weight) * (most / (2 * limit)) + size * 0x1p-24 * (3 + 2 + Double(columns) / 512 + 5)
                }
                #expect(abs(Double(y[j]) - exact) <= bound, "row \(j): \(y[j]) for \(exact), bound \(bound)")
            }
        }
    }

    @Test("A value that is no number spoils the row, and no other", arguments: Level.available, types)
    func notFinite(level: Level, type: Int32) {
        var random = Random(12)
        let w = IntegerMatrix(type, rows: 20, columns: 1056, mood: .small, &random)
        for bad in [Float.infinity, -.infinity, .nan] {
            var x = (0..<3).map { _ in floats(1056, .ordinary, &random) }
            x[1][700] = bad
            let y = Self.multiply(level, w, Self.split(level, x), rows: 0..<20, ldy: 20)
            for r in 0..<3 { #expect(y[r * 20..<r * 20 + 20].allSatisfy { $0.isNaN == (r == 1) }) }
        }
    }

    @Test("Nothing asked, nothing written", arguments: Level.available)
    func empty(level: Level) {
        var random = Random(1)
        let w = IntegerMatrix(Int32(CK_INT4), rows: 3, columns: 64, mood: .ordinary, &random)
        let x = Self.split(level, [floats(64, .ordinary, &random)])
        #expect(Self.multiply(level, w, [], rows: 0..<3, ldy: 3) == [7])
        #expect(Self.multiply(level, w, x, rows: 2..<2, ldy: 3) == [7, 7, 7])
    }
}
