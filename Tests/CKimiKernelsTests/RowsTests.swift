import CKimiKernels
import Testing

/// Rows widened and combined.
@Suite struct RowsTests {
    @Test("A widened row has the stored values exactly", arguments: Level.available, Element.allCases)
    func widen(level: Level, element: Element) {
        var random = Random(3)
        for (round, columns) in [1, 7, 16, 17, 31, 32, 64, 97, 544, 1024, 1057].enumerated() {
            let width = element == .int4 ? (columns + 31) / 32 * 32 : columns
            let w = StoredMatrix(
                element, rows: 3, columns: width, mood: Mood.allCases[round % Mood.allCases.count], &random)
            for row in 0..<3 {
                var y = [Float](repeating: 7, count: width)
                w.withMatrix(offset: round) { level.kernels.widen_row(&y, $0, row) }
                let difference = firstDifference(y, w.values[row])
                #expect(difference == nil, "row \(row), columns \(width)")
            }
        }
    }

    @Test("Every 16-bit float widens exactly", arguments: Level.available, [Element.bf16, .f16])
    func everyWord(level: Level, element: Element) {
        let words = (0...UInt16.max).map { $0 }
        var y = [Float](repeating: 7, count: words.count)
        words.withUnsafeBufferPointer { words in
            var matrix = ck_matrix(
                data: words.baseAddress, scales: nil, rows: 1, columns: words.count, type: element.rawValue, reserved: 0
            )
            level.kernels.widen_row(&y, &matrix, 0)
        }
        for word in words {
            let right = element == .f16 ? Float(Float16(bitPattern: word)) : Float(bitPattern: UInt32(word) << 16)
            #expect(same(y[Int(word)], right), "word \(word): \(y[Int(word)]) for \(right)")
        }
    }

    @Test("Combined rows have the bits of the contract", arguments: Level.available, Element.floats)
    func combine(level: Level, element: Element) {
        var random = Random(4)
        for round in 0..<50 {
            let columns = [1, 5, 16, 17, 64, 95, 512][random.below(7)]
            let rows = 1 + random.below(40)
            let first = random.below(rows)
            let count = random.below(rows - first + 1)
            let mood = Mood.allCases[round % Mood.allCases.count]
            let w = StoredMatrix(element, rows: rows, columns: columns, mood: mood, &random)
            let n = [1, 2, 3, 8, 11][round % 5]
            let x = floats(n * (count + 3), mood, &random)
            var y = [Float](repeating: 7, count: n * (columns + 2))
            w.withMatrix(offset: random.below(9)) {
                level.kernels.combine_rows(&y, columns + 2, x, count + 3, n, $0, first, count)
            }
            var right = [Float]()
            for r in 0..<n {
                right += Contract.combineRows(
                    Array(x[r * (count + 3)..<r * (count + 3) + count]), Array(w.values[first..<first + count]),
                    columns: columns) + [7, 7]
            }
            let difference = firstDifference(y, right)
            #expect(difference == nil, "\(mood): \(count) rows from \(first), columns \(columns)")
        }
    }
}
