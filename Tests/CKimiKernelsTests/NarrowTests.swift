import CKimiKernels
import Glibc
import Testing

/// What meets in a narrow product: the weights' type and the bits of the activations.
enum NarrowPair: String, CaseIterable {
    case int4By8, int8By8, int4By16, bf16By16

    var type: Int32 {
        switch self {
        case .int4By8, .int4By16: Int32(CK_INT4)
        case .int8By8: Int32(CK_INT8)
        case .bf16By16: Int32(CK_BF16)
        }
    }

    var bits: Int32 { self == .int4By8 || self == .int8By8 ? 8 : 16 }
}

/// A matrix of weights for narrow products as it is stored, its values, and by the contract its integers and their scales.
struct NarrowMatrix {
    let type: Int32
    let columns: Int
    let data: [UInt8]
    let stored: [UInt16]
    let weights: [[Int]]
    let scales: [[Float]]
    let values: [[Float]]

    var rows: Int { weights.count }

    init(_ type: Int32, rows: Int, columns: Int, mood: Mood, _ random: inout Random) {
        if type == Int32(CK_BF16) {
            self.init(StoredMatrix(.bf16, rows: rows, columns: columns, mood: mood, &random).values)
        } else {
            self.init(IntegerMatrix(type, rows: rows, columns: columns, mood: mood, &random))
        }
    }

    init(_ w: IntegerMatrix) {
        type = w.type
        columns = w.columns
        data = w.data
        stored = w.scales
        weights = w.weights
        scales = w.weights.indices.map(w.scales(of:))
        let scales = scales
        values = w.weights.enumerated().map { j, row in row.enumerated().map { Float($1) * scales[j][$0 / 32] } }
    }

    /// bf16 weights; the values must be such.
    init(_ values: [[Float]]) {
        type = Int32(CK_BF16)
        columns = values[0].count
        data = values.flatMap { $0.flatMap { [UInt8($0.bitPattern >> 16 & 255), UInt8($0.bitPattern >> 24)] } }
        stored = []
        let integers = values.map(Contract.NarrowWeights.init)
        weights = integers.map(\.q)
        scales = integers.map(\.scale)
        self.values = values
    }
}

/// Activations as narrow integers, and products with them, on every level.
@Suite struct NarrowTests {
    /// What lies in a row before it is written: as a scale no number, so that a group that is not there spoils whatever reads it.
    static let fill: UInt8 = 0xff

    /// Rows of integers made by a level, each against a page that must not be touched; later parts first.
    static func narrow(
        _ level: Level, _ x: [[Float]], bits: Int32, cut: Int? = nil, end: Guarded.End = .high
    ) -> [Guarded] {
        x.map { row in
            let memory = Guarded(bytes: ck_narrow_bytes(row.count, bits), against: end)
            memset(memory.base, Int32(fill), ck_narrow_bytes(row.count, bits))
            let cut = cut ?? row.count
            for first in stride(from: 0, to: row.count, by: cut).reversed() {
                let part = Guarded(Array(row[first..<min(first + cut, row.count)]), against: end)
                level.kernels.narrow(
                    memory.base, part.base.assumingMemoryBound(to: Float.self), first, min(cut, row.count - first), bits)
            }
            return memory
        }
    }

    static func bytes(_ row: Guarded, columns: Int, bits: Int32) -> [UInt8] {
        row.array(UInt8.self, ck_narrow_bytes(columns, bits))
    }

    /// y up to the last output that is asked for, 7 where none is. With an offset the weights lie at an odd address, and a page's
    /// end is that many bytes away.
    static func multiply(
        _ level: Level, _ w: NarrowMatrix, _ x: [Guarded], rows: Range<Int>, bits: Int32, ldy: Int, end: Guarded.End = .high,
        offset: Int = 0
    ) -> [Float] {
        let padding = [UInt8](repeating: 0xff, count: offset)
        let data = Guarded(end == .low ? padding + w.data : w.data + padding, against: end)
        let scales = Guarded(w.stored, against: end)
        let y = Guarded([Float](repeating: 7, count: outputs(x.count, rows, ldy: ldy)), against: end)
        let pointers = x.map { UnsafeRawPointer($0.base) as UnsafeRawPointer? }
        var matrix = ck_matrix(
            data: data.base + (end == .low ? offset : 0),
            scales: w.stored.isEmpty ? nil : UnsafePointer(scales.base.assumingMemoryBound(to: UInt16.self)), rows: w.rows,
            columns: w.columns, type: w.type, reserved: 0)
        level.kernels.matmul_narrow(
            y.base.assumingMemoryBound(to: Float.self), ldy, pointers, x.count, &matrix, rows.lowerBound, rows.upperBound, bits)
        return y.array(Float.self, outputs(x.count, rows, ldy: ldy))
    }

    static func outputs(_ n: Int, _ rows: Range<Int>, ldy: Int) -> Int { n == 0 ? 1 : (n - 1) * ldy + rows.upperBound }

    static func expected(_ w: NarrowMatrix, _ x: [[Float]], rows: Range<Int>, bits: Int32, ldy: Int) -> [Float] {
        var y = [Float](repeating: 7, count: outputs(x.count, rows, ldy: ldy))
        for (r, row) in x.enumerated() {
            let integers = Contract.NarrowRow(row, bits: bits)
            for j in rows { y[r * ldy + j] = Contract.narrowDot(integers, w.weights[j], scales: w.scales[j]) }
        }
        return y
    }

    static let widths: [Int32] = [8, 16]

    // MARK: Rows

    @Test("A row is so many bytes", arguments: widths)
    func size(bits: Int32) {
        for columns in [1, 32, 33, 511, 512] { #expect(ck_narrow_bytes(columns, bits) == (bits == 8 ? 640 : 1152)) }
        for columns in [513, 1024] { #expect(ck_narrow_bytes(columns, bits) == (bits == 8 ? 1280 : 2304)) }
    }

    @Test(
        "Rows are those of the contract: odd tails, guard pages, all kinds of numbers", arguments: Level.available, widths)
    func rows(level: Level, bits: Int32) {
        var random = Random(Int(level.rawValue) * 100 + Int(bits))
        for round in 0..<240 {
            let mood = Mood.allCases[round % Mood.allCases.count]
            let columns = round < 140 ? 1 + round / 2 : [96, 480, 511, 512, 513, 530, 544, 1000, 1024, 1056, 1537][random.below(11)]
            // Flat groups meet the limit of the sum of squares, and so do a few outliers; fewer do not.
            let x = floats(columns, mood, &random).enumerated().map { round % 3 == 1 && $0 % 37 == 5 ? $1 * 40 : $1 }
            let end = Guarded.End.allCases[round / Mood.allCases.count % 2]
            let found = Self.narrow(level, [x], bits: bits, end: end)[0]
            let right = Contract.NarrowRow(x, bits: bits).bytes(fill: Self.fill)
            #expect(Self.bytes(found, columns: columns, bits: bits) == right, "\(mood), columns \(columns)")
        }
    }

    @Test("A row narrowed in parts, in any order, is the same row", arguments: Level.available, widths)
    func parts(level: Level, bits: Int32) {
        var random = Random(3)
        for columns in [32, 45, 96, 512, 530, 544, 1504] {
            let x = [floats(columns, .wide, &random)]
            let whole = Self.bytes(Self.narrow(level, x, bits: bits)[0], columns: columns, bits: bits)
            for cut in [32, 64, 320] {
                let parts = Self.bytes(Self.narrow(level, x, bits: bits, cut: cut)[0], columns: columns, bits: bits)
                #expect(parts == whole, "columns \(columns), \(cut) at a time")
            }
        }
    }

    /// Each of the factors from x to q and back is rounded, and so are their products: 4 roundings, and 4 more of 16 bits.
    @Test(
        "Every size of a group, down to the smallest floats and up to the largest: half a step and a few roundings",
        arguments: Level.available, widths)
    func sizes(level: Level, bits: Int32) {
        var random = Random(41)
        for exponent in -149...127 {
            let top = Float(sign: .plus, exponent: exponent, significand: 1)
            // A flat group, a single spike, a few equal ones, and an odd rest.
            var x = (0..<32).map { _ in random.unit() * top * 1.999 } + (0..<32).map { $0 == 9 ? -top : 0 }
            x += (0..<32).map { $0 % 7 == 2 ? top : random.unit() * top * 0x1p-9 } + [top, -top, top * 0x1p-16]
            let found = Self.bytes(Self.narrow(level, [x], bits: bits)[0], columns: x.count, bits: bits)
            let right = Contract.NarrowRow(x, bits: bits)
            #expect(found == right.bytes(fill: Self.fill), "2^\(exponent)")
            for g in right.scale.indices {
                let scale = Double(right.scale[g])
                let q = right.q[32 * g..<32 * g + 32].map(Double.init)
                let group = x[32 * g..<min(32 * g + 32, x.count)]
                if group.allSatisfy({ abs($0) < 0x1p-100 }) {
                    #expect(scale == 0 && q.allSatisfy { $0 == 0 })
                    continue
                }
                #expect(q.allSatisfy { abs($0) <= (bits == 8 ? 127 : 32767) })
                // Each of 32 integers may have been rounded up by a half.
                if bits == 16 { #expect(q.reduce(0) { $0 + $1 * $1 }.squareRoot() <= 65000 + 3) }
                for (i, value) in group.enumerated() {
                    let bound = scale / 2 + 8 * 0x1p-24 * abs(Double(value))
                    #expect(abs(Double(value) - q[i] * scale) <= bound, "2^\(exponent), group \(g), element \(i)")
                }
            }
        }
    }

    // MARK: Products

    @Test(
        "Products are those of the contract: odd tails, any rows, any address, guard pages, all kinds of numbers",
        arguments: Level.available, NarrowPair.allCases)
    func contract(level: Level, pair: NarrowPair) {
        var random = Random(Int(level.rawValue) * 100 + Int(pair.type) * 20 + Int(pair.bits))
        for round in 0..<120 {
            let mood = Mood.allCases[round % Mood.allCases.count]
            var columns = 32 * [1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 32, 33, 40][random.below(13)]
            if pair == .bf16By16, round % 2 == 0 { columns -= random.below(32) }
            let rows = 1 + random.below(75)
            let n = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 24, 50][round % 13]
            let begin = random.below(rows)
            let end = begin + 1 + random.below(rows - begin)
            let ldy = rows + random.below(3)
            let w = NarrowMatrix(pair.type, rows: rows, columns: columns, mood: round % 5 == 4 ? .ordinary : mood, &random)
            // Some so large that sums, and even values, are infinite.
            let size: Float = round % 7 == 6 ? 0x1p100 : 1
            let x = (0..<n).map { _ in floats(columns, round % 5 == 3 ? .ordinary : mood, &random).map { $0 * size } }
            let offset = round % 4 < 2 ? 0 : 1 + random.below(17)
            let found = Self.multiply(
                level, w, Self.narrow(level, x, bits: pair.bits), rows: begin..<end, bits: pair.bits, ldy: ldy,
                end: round % 2 == 0 ? .high : .low, offset: offset)
            let difference = firstDifference(found, Self.expected(w, x, rows: begin..<end, bits: pair.bits, ldy: ldy))
            #expect(
                difference == nil, "\(mood) n \(n) rows \(begin)..<\(end) of \(rows), columns \(columns), offset \(offset)")
        }
    }

    @Test("Every width of bf16 weights from 1 to 70, up to both guard pages", arguments: Level.available)
    func everyWidth(level: Level) {
        var random = Random(5)
        for columns in 1...70 {
            for end in Guarded.End.allCases {
                let w = NarrowMatrix(Int32(CK_BF16), rows: 35, columns: columns, mood: .ordinary, &random)
                let x = (0..<3).map { _ in floats(columns, .ordinary, &random) }
                let found = Self.multiply(
                    level, w, Self.narrow(level, x, bits: 16, end: end), rows: 0..<35, bits: 16, ldy: 35, end: end)
                let difference = firstDifference(found, Self.expected(w, x, rows: 0..<35, bits: 16, ldy: 35))
                #expect(difference == nil, "columns \(columns)")
            }
        }
    }

    @Test("From 1 to 50 rows of x, and from 1 to 70 of weights", arguments: Level.available, NarrowPair.allCases)
    func everyCount(level: Level, pair: NarrowPair) {
        var random = Random(6)
        let w = NarrowMatrix(pair.type, rows: 70, columns: 544, mood: .ordinary, &random)
        let x = (0..<50).map { _ in floats(544, .ordinary, &random) }
        let integers = Self.narrow(level, x, bits: pair.bits)
        let all = Self.expected(w, x, rows: 0..<70, bits: pair.bits, ldy: 70)
        for n in 1...50 {
            let found = Self.multiply(level, w, Array(integers[0..<n]), rows: 0..<70, bits: pair.bits, ldy: 70)
            let difference = firstDifference(found, Array(all[0..<n * 70]))
            #expect(difference == nil, "n \(n)")
        }
        for rows in 1...70 {
            // So that ranges begin anywhere, too.
            let begin = 70 - rows
            let found = Self.multiply(level, w, Array(integers[0..<3]), rows: begin..<70, bits: pair.bits, ldy: 70)
            for r in 0..<3 {
                let place = r * 70 + begin..<r * 70 + 70
                let difference = firstDifference(Array(found[place]), Array(all[place]))
                #expect(difference == nil, "\(rows) rows of weights")
            }
        }
    }

    @Test("The split over calls does not matter", arguments: Level.available, NarrowPair.allCases)
    func calls(level: Level, pair: NarrowPair) {
        var random = Random(17)
        let w = NarrowMatrix(pair.type, rows: 45, columns: 1056, mood: .wide, &random)
        let x = Self.narrow(level, (0..<23).map { _ in floats(1056, .wide, &random) }, bits: pair.bits)
        let whole = Self.multiply(level, w, x, rows: 0..<45, bits: pair.bits, ldy: 45)
        for (part, step) in [(1, 45), (2, 7), (3, 1), (5, 13), (8, 16), (12, 32), (23, 33)] {
            for r in stride(from: 0, to: 23, by: part) {
                for begin in stride(from: 0, to: 45, by: step) {
                    let rows = begin..<min(begin + step, 45)
                    let some = Array(x[r..<min(r + part, 23)])
                    let found = Self.multiply(level, w, some, rows: rows, bits: pair.bits, ldy: 45)
                    for k in some.indices {
                        let difference = firstDifference(
                            rows.map { found[k * 45 + $0] }, rows.map { whole[(r + k) * 45 + $0] })
                        #expect(difference == nil, "\(part) rows of x and \(step) weight rows at a time")
                    }
                }
            }
        }
    }

    // MARK: Integers of bf16 weights

    /// Products with bf16 weights against the contract, and how many bits each row's first group dropped.
    static func drops(_ level: Level, _ weights: [[Float]]) -> [Int] {
        var random = Random(9)
        let w = NarrowMatrix(weights)
        let x = (0..<2).map { _ in floats(w.columns, .ordinary, &random) }
        let found = multiply(level, w, narrow(level, x, bits: 16), rows: 0..<w.rows, bits: 16, ldy: w.rows)
        let difference = firstDifference(found, expected(w, x, rows: 0..<w.rows, bits: 16, ldy: w.rows))
        #expect(difference == nil)
        return weights.map { Contract.NarrowWeights($0).drop[0] }
    }

    @Test("Groups of any number of equal weights, of every significand", arguments: Level.available)
    func equalWeights(level: Level) {
        var weights = [[Float]]()
        for count in 1...32 {
            for significand in 128..<256 {
                var row = [Float](repeating: 0, count: 32)
                for i in 0..<count { row[(i + significand) % 32] = Float(significand) * (i % 3 == 1 ? -0x1p-9 : 0x1p-9) }
                weights.append(row)
            }
        }
        #expect(Set(Self.drops(level, weights)) == [0, 1, 2, 3])
    }

    /// The squares of 255, 21, 2, 1 and 1, times 2^14, make L; those of `little` are less than half of its last bit.
    @Test("Sums of squares at the limits, and the order of their additions", arguments: Level.available)
    func squares(level: Level) {
        let little: Float = 5.25 / 128
        func row(_ big: [Float], at places: [Int], little littles: [Int] = []) -> [Float] {
            var row = [Float](repeating: 0, count: 32)
            for (value, place) in zip(big, places) { row[place] = place % 8 == 4 ? -value : value }
            for place in littles { row[place] = little }
            return row
        }
        let limit: [Float] = [255, 21, 2, 1, 1]
        let first = [0, 4, 8, 12, 16]
        let four = [Float](repeating: 255, count: 4) + [42, 4, 2, 2]
        let sixteen = [Float](repeating: 255, count: 16) + [84, 9, 3, 2, 1, 1]
        let places = Array(0..<32)
        let more: Float = 1.0078125
        let weights = [
            // At a limit, and a last bit or two above it.
            row(limit, at: first), row(limit.dropLast() + [more], at: first), row(four, at: places),
            row(four.dropLast() + [2 * more], at: places), row(sixteen, at: places),
            row(sixteen.dropLast() + [1.0625], at: places),
            // Little after big in the same part is lost; in another part, or before the big ones, it adds up.
            row(limit, at: first, little: [20, 24, 28]), row(limit, at: first, little: [1, 5, 9, 13, 17, 21, 25]),
            row(limit, at: [12, 16, 20, 24, 28], little: [0, 4, 8]),
            // Parts 0 and 2 are added before the others are.
            row(limit, at: first, little: [1, 3]), row(limit, at: first, little: [1, 2]),
        ]
        #expect(Self.drops(level, weights) == [0, 1, 1, 2, 2, 3, 0, 1, 1, 1, 0])
    }

    @Test("bf16 weights of every size, and groups of which some do not count", arguments: Level.available)
    func weightSizes(level: Level) {
        var random = Random(10)
        let weights = (-133...127).map { exponent in
            (0..<96).map { i -> Float in
                let size = Float(sign: .plus, exponent: exponent, significand: 1)
                // A flat group, a spike above little ones, and one with something that is no number in some rows.
                if i == 70, exponent % 5 == 0 { return [.infinity, -.infinity, .nan][abs(exponent) % 3] }
                let value = i / 32 == 1 && i != 40 ? random.unit() * size * 0x1p-7 : random.unit() * size * 1.9
                return Float(bitPattern: value.bitPattern & 0xffff_0000)
            }
        }
        _ = Self.drops(level, weights)
    }

    // MARK: Numbers

    /// Of a group: |x - q s| <= s / 2 and 8 roundings; a bf16 weight is off by half its scale at most, and not at all from 128
    /// scales on. The sum of integers as a float and the product of scales are rounded, and y once a group.
    @Test("The scalar level against double precision, with its error bound", arguments: NarrowPair.allCases)
    func accuracy(pair: NarrowPair) {
        var random = Random(8)
        for columns in [32, 512, 2048, 7168] + (pair == .bf16By16 ? [45, 1000] : []) {
            let w = NarrowMatrix(pair.type, rows: 5, columns: columns, mood: .ordinary, &random)
            // Outliers, as real activations have them.
            let x = floats(columns, .ordinary, &random).enumerated().map { $0 % 97 == 5 ? $1 * 40 : $1 }
            let steps = Contract.NarrowRow(x, bits: pair.bits).scale
            let y = Self.multiply(
                .scalar, w, Self.narrow(.scalar, [x], bits: pair.bits), rows: 0..<5, bits: pair.bits, ldy: 5)
            for j in 0..<5 {
                var exact = 0.0
                var bound = 0.0
                for i in 0..<columns {
                    let (a, b) = (Double(x[i]), Double(w.values[j][i]))
                    let scale = Double(w.scales[j][i / 32])
                    let offA = Double(steps[i / 32]) / 2 + 8 * 0x1p-24 * abs(a)
                    let offB = pair == .bf16By16 && abs(b) < 128 * scale ? scale / 2 : 0
                    exact += a * b
                    bound += offA * (abs(b) + offB) + offB * abs(a)
                    bound += (Double(columns) / 32 + 3) * 0x1p-24 * (abs(a) + offA) * (abs(b) + offB)
                }
                #expect(abs(Double(y[j]) - exact) <= bound, "row \(j) of \(columns): \(y[j]) for \(exact), bound \(bound)")
                // Errors of random sign mostly cancel: what is lost is far less than the bound allows.
                #expect(abs(Double(y[j]) - exact) <= bound * 8 / Double(columns).squareRoot(), "row \(j) of \(columns)")
            }
        }
    }

    @Test("bf16 weights keep their bits, but for those much smaller than their group's largest")
    func weightBits() {
        var random = Random(14)
        for mood in Mood.allCases where mood != .hostile {
            for _ in 0..<200 {
                let w = StoredMatrix(.bf16, rows: 1, columns: 32, mood: mood, &random).values[0]
                let integers = Contract.NarrowWeights(w)
                let scale = Double(integers.scale[0])
                if scale == 0 { continue }
                #expect(integers.q.reduce(0) { $0 + $1 * $1 } <= 1 << 30)
                for (weight, q) in zip(w, integers.q) {
                    #expect(abs(q) <= 1 << 15)
                    let off = abs(Double(weight) - Double(q) * scale)
                    #expect(off <= (abs(Double(weight)) < 128 * scale ? scale / 2 : 0))
                }
            }
        }
    }

    /// Shapes of a group of magnitudes of at most 255 that make its sums as large as they get: equal values, from a spike to
    /// all, and those that meet the limit of squares exactly.
    static let shapes: [[Float]] = {
        var shapes = [[Float]]()
        for count in [1, 2, 3, 4, 5, 8, 16, 32] {
            for from in [0, 5, 32 - count] { shapes.append((0..<32).map { ($0 + 32 - from) % 32 < count ? Float(255) : 0 }) }
        }
        let rest: [Float] = [84, 9, 3, 2, 1, 1]
        shapes.append([255, 255, 255, 255, 42, 4, 2, 2] + [Float](repeating: 0, count: 24))
        shapes.append([Float](repeating: 255, count: 16) + rest + [Float](repeating: 0, count: 10))
        return shapes
    }()

    /// A shape with all signs alike, with alternating ones and with two and two alike.
    static func signed(_ shape: [Float]) -> [[Float]] {
        func with(_ isNegative: (Int) -> Bool) -> [Float] { shape.indices.map { isNegative($0) ? -shape[$0] : shape[$0] } }
        return [shape, with { _ in true }, with { $0 % 2 == 1 }, with { $0 % 4 > 1 }]
    }

    static func largestMatrix(_ pair: NarrowPair) -> NarrowMatrix {
        if pair == .bf16By16 { return NarrowMatrix(shapes.flatMap(signed)) }
        let (least, most) = pair.type == Int32(CK_INT4) ? (-8, 7) : (-128, 127)
        let weights = shapes.flatMap(signed).map { $0.map { $0 == 0 ? 0 : $0 > 0 ? most : least } }
        return NarrowMatrix(IntegerMatrix(pair.type, weights, scales: weights.map { _ in 0x3f80 }))
    }

    @Test("The largest sums are exact: 32 bits suffice", arguments: Level.available, NarrowPair.allCases)
    func largest(level: Level, pair: NarrowPair) {
        let w = Self.largestMatrix(pair)
        let x = Self.shapes.flatMap(Self.signed)
        let integers = Self.narrow(level, x, bits: pair.bits)
        let found = Self.multiply(level, w, integers, rows: 0..<w.rows, bits: pair.bits, ldy: w.rows)
        var most = 0
        for r in x.indices {
            let row = Contract.NarrowRow(x[r], bits: pair.bits)
            for j in 0..<w.rows {
                let sum = Contract.groupSum(row, w.weights[j], 0)
                most = max(most, abs(sum))
                // Where the sum is 0 either sign of y would be right.
                #expect(found[r * w.rows + j] == Float(sum) * (row.scale[0] * w.scales[j][0]), "\(x[r]) and row \(j)")
            }
        }
        #expect(most <= Int(Int32.max))
        switch pair {
        // The limits of the roots of squares are met together, so these sums are as large as any.
        case .bf16By16: #expect(most > 65000 * 32750)
        case .int4By16: #expect(most == 8 * 32 * 11490)
        case .int4By8: #expect(most == 8 * 32 * 127)
        case .int8By8: #expect(most == 128 * 32 * 127)
        }
    }

    @Test("A value that is no number spoils the row, and no other", arguments: Level.available, NarrowPair.allCases)
    func notFinite(level: Level, pair: NarrowPair) {
        var random = Random(12)
        let w = NarrowMatrix(pair.type, rows: 40, columns: 1056, mood: .small, &random)
        for bad in [Float.infinity, -.infinity, .nan] {
            var x = (0..<3).map { _ in floats(1056, .ordinary, &random) }
            x[1][700] = bad
            let y = Self.multiply(level, w, Self.narrow(level, x, bits: pair.bits), rows: 0..<40, bits: pair.bits, ldy: 40)
            for r in 0..<3 { #expect(y[r * 40..<r * 40 + 40].allSatisfy { $0.isNaN == (r == 1) }) }
        }
    }

    @Test("A weight that is no number spoils its output, and no other", arguments: Level.available)
    func notFiniteWeight(level: Level) {
        var random = Random(13)
        for bad in [Float.infinity, -.infinity, .nan] {
            var values = StoredMatrix(.bf16, rows: 40, columns: 530, mood: .small, &random).values
            values[21][529] = bad
            let x = Self.narrow(level, (0..<3).map { _ in floats(530, .ordinary, &random) }, bits: 16)
            let y = Self.multiply(level, NarrowMatrix(values), x, rows: 0..<40, bits: 16, ldy: 40)
            for r in 0..<3 { for j in 0..<40 { #expect(y[r * 40 + j].isNaN == (j == 21)) } }
        }
    }

    @Test("Nothing asked, nothing written", arguments: Level.available, NarrowPair.allCases)
    func empty(level: Level, pair: NarrowPair) {
        var random = Random(1)
        let w = NarrowMatrix(pair.type, rows: 3, columns: 64, mood: .ordinary, &random)
        let x = Self.narrow(level, [floats(64, .ordinary, &random)], bits: pair.bits)
        #expect(Self.multiply(level, w, [], rows: 0..<3, bits: pair.bits, ldy: 3) == [7])
        #expect(Self.multiply(level, w, x, rows: 2..<2, bits: pair.bits, ldy: 3) == [7, 7])
    }
}
