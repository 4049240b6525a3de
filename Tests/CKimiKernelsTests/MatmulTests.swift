import CKimiKernels
import Testing

/// The product with stored floats, on every level.
@Suite struct MatmulTests {
    /// y of an n-row product over the rows begin ..< end; other elements stay 7.
    static func multiply(
        _ level: Level, _ w: StoredMatrix, x: [Float], ldx: Int, n: Int, ldy: Int, rows: Range<Int>, offset: Int = 0
    ) -> [Float] {
        var y = [Float](repeating: 7, count: max(n * ldy, 1))
        w.withMatrix(offset: offset) { matrix in
            level.kernels.matmul(&y, ldy, x, ldx, n, matrix, rows.lowerBound, rows.upperBound)
        }
        return y
    }

    static func expected(_ w: StoredMatrix, x: [Float], ldx: Int, n: Int, ldy: Int, rows: Range<Int>) -> [Float] {
        var y = [Float](repeating: 7, count: max(n * ldy, 1))
        for r in 0..<n {
            for j in rows { y[r * ldy + j] = Contract.dot(x[r * ldx..<r * ldx + w.columns], w.values[j]) }
        }
        return y
    }

    static let widths = [1, 2, 15, 16, 17, 31, 32, 33, 47, 63, 100, 511, 512, 513, 527, 1030, 1536, 1545]

    @Test(
        "Bits are those of the contract: odd sizes, unaligned data, all kinds of numbers", arguments: Level.available,
        Element.floats)
    func contract(level: Level, element: Element) {
        var random = Random(Int(level.rawValue) * 10 + Int(element.rawValue))
        for round in 0..<60 {
            let mood = Mood.allCases[round % Mood.allCases.count]
            let columns = Self.widths[random.below(Self.widths.count)]
            let rows = 1 + random.below(columns > 600 ? 20 : 40)
            let n = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 35][round % 13]
            let begin = random.below(rows)
            let end = begin + 1 + random.below(rows - begin)
            let ldx = columns + random.below(4)
            let ldy = rows + random.below(4)
            let w = StoredMatrix(element, rows: rows, columns: columns, mood: mood, &random)
            let x = floats(n * ldx, mood, &random)
            let offset = random.below(17)
            let found = Self.multiply(level, w, x: x, ldx: ldx, n: n, ldy: ldy, rows: begin..<end, offset: offset)
            let right = Self.expected(w, x: x, ldx: ldx, n: n, ldy: ldy, rows: begin..<end)
            let difference = firstDifference(found, right)
            #expect(
                difference == nil,
                "\(mood) n \(n) rows \(begin)..<\(end) of \(rows), columns \(columns), offset \(offset)")
        }
    }

    @Test("Every width from 1 to 70", arguments: Level.available, Element.floats)
    func everyWidth(level: Level, element: Element) {
        var random = Random(5)
        for columns in 1...70 {
            for n in [1, 3, 5] {
                let w = StoredMatrix(element, rows: 9, columns: columns, mood: .tiny, &random)
                let x = floats(n * columns, .tiny, &random)
                let found = Self.multiply(level, w, x: x, ldx: columns, n: n, ldy: 9, rows: 0..<9)
                let right = Self.expected(w, x: x, ldx: columns, n: n, ldy: 9, rows: 0..<9)
                let difference = firstDifference(found, right)
                #expect(difference == nil, "columns \(columns), n \(n)")
            }
        }
    }

    /// Products too small for a float leave -0 in every lane, and adding an absent element's 0 * 0 would make it +0.
    @Test(
        "A sum of vanishing negative products is -0 at every width", arguments: Level.available,
        Element.floats)
    func negativeZero(level: Level, element: Element) {
        var random = Random(6)
        for columns in 16...50 {
            for n in [1, 2, 3, 4, 5, 8] {
                let w = StoredMatrix(element, rows: 9, columns: columns, mood: .small, &random)
                // Against each weight's sign, so every product is negative for row 4.
                let x = (0..<n).flatMap { _ in w.values[4].map { $0.sign == .plus ? -0x1p-149 : 0x1p-149 } as [Float] }
                let found = Self.multiply(level, w, x: x, ldx: columns, n: n, ldy: 9, rows: 0..<9)
                let difference = firstDifference(found, Self.expected(w, x: x, ldx: columns, n: n, ldy: 9, rows: 0..<9))
                #expect(difference == nil, "columns \(columns), n \(n)")
            }
        }
    }

    /// Each of the 16 sums takes at most ceil(n / 16) roundings and their addition 4 more, so the error is at most
    /// (n / 16 + 5) 2^-24 of the sum of the products' absolute values.
    @Test("The scalar level against double precision, with its error bound", arguments: Element.floats)
    func accuracy(element: Element) {
        var random = Random(99)
        for columns in [32, 256, 2048, 7168] {
            let w = StoredMatrix(element, rows: 6, columns: columns, mood: .ordinary, &random)
            let x = floats(columns, .ordinary, &random)
            let y = Self.multiply(.scalar, w, x: x, ldx: columns, n: 1, ldy: 6, rows: 0..<6)
            for j in 0..<6 {
                var exact = 0.0
                var size = 0.0
                for (a, b) in zip(x, w.values[j]) {
                    exact += Double(a) * Double(b)
                    size += abs(Double(a) * Double(b))
                }
                let bound = (Double(columns) / 16 + 5) * 0x1p-24 * size
                #expect(abs(Double(y[j]) - exact) <= bound, "row \(j): \(y[j]) for \(exact), bound \(bound)")
            }
        }
    }

    @Test("The split over calls does not matter", arguments: Level.available, Element.floats)
    func split(level: Level, element: Element) {
        var random = Random(17)
        let rows = 45
        let columns = 1056
        let n = 37
        let w = StoredMatrix(element, rows: rows, columns: columns, mood: .ordinary, &random)
        let x = floats(n * columns, .ordinary, &random)
        let whole = Self.multiply(level, w, x: x, ldx: columns, n: n, ldy: rows, rows: 0..<rows)
        for (part, step) in [(1, 45), (2, 7), (3, 1), (4, 13), (5, 8), (12, 3), (17, 44), (37, 16)] {
            var y = [Float](repeating: .nan, count: n * rows)
            w.withMatrix { matrix in
                for r in stride(from: 0, to: n, by: part) {
                    for begin in stride(from: 0, to: rows, by: step) {
                        y.withUnsafeMutableBufferPointer { y in
                            x.withUnsafeBufferPointer { x in
                                // Safe because r < n.
                                level.kernels.matmul(
                                    y.baseAddress.unsafelyUnwrapped + r * rows, rows,
                                    x.baseAddress.unsafelyUnwrapped + r * columns, columns, min(part, n - r), matrix,
                                    begin,
                                    min(begin + step, rows))
                            }
                        }
                    }
                }
            }
            let difference = firstDifference(y, whole)
            #expect(difference == nil, "\(part) rows of x and \(step) weight rows at a time")
        }
    }

    @Test("Nothing asked, nothing written", arguments: Level.available)
    func empty(level: Level) {
        var random = Random(1)
        let w = StoredMatrix(.bf16, rows: 3, columns: 5, mood: .ordinary, &random)
        #expect(Self.multiply(level, w, x: [], ldx: 5, n: 0, ldy: 3, rows: 0..<3) == [7])
        #expect(Self.multiply(level, w, x: [1, 2, 3, 4, 5], ldx: 5, n: 1, ldy: 3, rows: 2..<2) == [7, 7, 7])
    }
}
