import CKimiKernels
import Foundation
import Testing

/// Products of thirds: the twin against sums in double precision, and the tiles against the twin, bit for bit.
@Suite struct ThirdsTests {
    private static let hasTiles = ck_thirds_for(Int32(CK_ISA_AMX)) != nil

    private func kernels(_ level: Level) throws -> ck_thirds { try #require(ck_thirds_for(level.rawValue)).pointee }

    /// Rows of x as thirds, each written in two parts as workers may do it, in memory that ends where it must not be touched.
    private func written(_ kernels: ck_thirds, _ x: [Float], rows: Int, columns: Int, thirds: Int) -> Guarded {
        let bytes = ck_thirds_bytes(columns, thirds)
        let form = Guarded(bytes: rows * bytes, against: .high)
        memset(form.base, 0xab, rows * bytes)
        let cut = columns / 64 * 32
        for row in 0..<rows {
            let to = form.base + row * bytes
            for (range, end) in [(cut..<columns, Guarded.End.high), (0..<cut, .low)] where !range.isEmpty {
                let part = Guarded(Array(x[row * columns + range.lowerBound..<row * columns + range.upperBound]), against: end)
                withExtendedLifetime(part) {
                    kernels.write(to, part.base.assumingMemoryBound(to: Float.self), range.lowerBound, range.count, thirds)
                }
            }
        }
        return form
    }

    /// What `body` writes to rows of `width` outputs, -7 where it writes nothing; both they and w end where memory must not be touched.
    private func outputs(
        _ w: StoredMatrix, rows: Int, width: Int, _ body: (UnsafeMutablePointer<Float>, UnsafePointer<ck_matrix>) -> Void
    ) -> [Float] {
        let data = Guarded(w.data, against: .high)
        let y = Guarded([Float](repeating: -7, count: rows * width), against: .high)
        var matrix = ck_matrix(
            data: data.base, scales: nil, rows: w.rows, columns: w.columns, type: Int32(CK_BF16), reserved: 0)
        withExtendedLifetime(data) { body(y.base.assumingMemoryBound(to: Float.self), &matrix) }
        return y.array(Float.self, rows * width)
    }

    /// The outputs `range` of all rows; what lies beside them must stay as it is.
    private func product(
        _ kernels: ck_thirds, _ x: [Float], rows: Int, _ w: StoredMatrix, _ range: Range<Int>, thirds: Int
    ) throws -> (y: [Float], form: [UInt8]) {
        let bytes = ck_thirds_bytes(w.columns, thirds)
        let form = written(kernels, x, rows: rows, columns: w.columns, thirds: thirds)
        let all = outputs(w, rows: rows, width: w.rows) { y, matrix in
            kernels.matmul(y, w.rows, form.base, bytes, rows, matrix, range.lowerBound, range.upperBound, thirds)
        }
        for row in 0..<rows {
            for output in 0..<w.rows where !range.contains(output) { try #require(all[row * w.rows + output] == -7) }
        }
        // The last 64 bytes of a row may be there for its place in the caches only.
        let own = (w.columns + 31) / 32 * 64 * thirds
        return (all, (0..<rows).flatMap { Array(form.array(UInt8.self, rows * bytes)[$0 * bytes..<$0 * bytes + own]) })
    }

    @Test("thirds add up to the float", arguments: [Mood.ordinary, .small, .wide])
    func parts(_ mood: Mood) throws {
        var random = Random(1)
        let x = floats(100, mood, &random)
        for level in [Level.scalar] + (Self.hasTiles ? [.amx] : []) {
            let form = written(try kernels(level), x, rows: 1, columns: 100, thirds: 3)
            let words = form.array(UInt16.self, ck_thirds_bytes(100, 3) / 2)
            for column in 0..<100 {
                let parts = (0..<3).map { Float(bitPattern: UInt32(words[(column / 32 * 3 + $0) * 32 + column % 32]) << 16) }
                #expect((parts[0] + parts[1]) + parts[2] == x[column] && parts[0].bitPattern & 0xffff == 0)
                #expect(abs(Double(x[column]) - Double(parts[0])) <= abs(Double(x[column])) * 0x1p-8)
            }
            for place in [100, 110, 127] { #expect((0..<3).allSatisfy { words[(3 * 3 + $0) * 32 + place - 96] == 0 }) }
        }
    }

    @Test("the twin is as near as a sum of floats", arguments: [(1, 3e-7), (2, 3e-7), (3, 3e-7)])
    func twin(thirds: Int, rounding: Double) throws {
        var random = Random(2)
        let w = StoredMatrix(.bf16, rows: 20, columns: 500, mood: .ordinary, &random)
        let x = floats(3 * 500, .ordinary, &random)
        let y = try product(try kernels(.scalar), x, rows: 3, w, 0..<20, thirds: thirds).y
        for row in 0..<3 {
            for output in 0..<20 {
                let terms = (0..<500).map { Double(x[row * 500 + $0]) * Double(w.values[output][$0]) }
                let magnitude = terms.reduce(0) { $0 + abs($1) }
                // What the thirds leave out, 2^-9 for each, and what sums round.
                let bound = magnitude * (pow(2, -9 * Double(thirds)) + rounding)
                #expect(abs(Double(y[row * 20 + output]) - terms.reduce(0, +)) <= bound)
            }
        }
    }

    @Test("tiles give the twin's bits", .enabled(if: hasTiles), arguments: [Mood.ordinary, .wide, .zeros, .hostile], [1, 2, 3])
    func tiles(_ mood: Mood, thirds: Int) throws {
        var random = Random(3 + thirds)
        for (rows, outputs, columns) in [
            (1, 1, 1), (1, 64, 32), (3, 15, 33), (16, 16, 288), (17, 100, 64), (33, 33, 96), (31, 80, 257), (48, 40, 320), (70, 200, 40),
            (5, 72, 520), (64, 128, 512),
        ] {
            let w = StoredMatrix(.bf16, rows: outputs, columns: columns, mood: mood, &random)
            let x = floats(rows * columns, mood, &random)
            let range = mood == .ordinary ? 0..<outputs : random.below(outputs)..<outputs
            let found = try product(try kernels(.amx), x, rows: rows, w, range, thirds: thirds)
            let expected = try product(try kernels(.scalar), x, rows: rows, w, range, thirds: thirds)
            #expect(mood == .hostile || found.form == expected.form, "\(rows) x \(outputs) x \(columns)")
            let difference = firstDifference(found.y, expected.y)
            #expect(difference == nil, "\(rows) x \(outputs) x \(columns)")
        }
    }

    /// Every column of rows `range` of w, which take the place of a row's weights, for all rows of x.
    private func combined(
        _ kernels: ck_thirds, _ x: [Float], rows: Int, _ w: StoredMatrix, _ range: Range<Int>, thirds: Int
    ) -> [Float] {
        let form = written(kernels, x, rows: rows, columns: range.count, thirds: thirds)
        return outputs(w, rows: rows, width: w.columns) { y, matrix in
            withExtendedLifetime(form) {
                kernels.combine(
                    y, w.columns, form.base, ck_thirds_bytes(range.count, thirds), rows, matrix, range.lowerBound, range.count, thirds)
            }
        }
    }

    @Test("rows of weights that are combined add up", arguments: [1, 2, 3])
    func combination(thirds: Int) throws {
        var random = Random(6)
        let w = StoredMatrix(.bf16, rows: 150, columns: 20, mood: .ordinary, &random)
        let x = floats(3 * 100, .ordinary, &random)
        let y = combined(try kernels(.scalar), x, rows: 3, w, 40..<140, thirds: thirds)
        for row in 0..<3 {
            for column in 0..<20 {
                let terms = (0..<100).map { Double(x[row * 100 + $0]) * Double(w.values[40 + $0][column]) }
                let bound = terms.reduce(0) { $0 + abs($1) } * (pow(2, -9 * Double(thirds)) + 3e-7)
                #expect(abs(Double(y[row * 20 + column]) - terms.reduce(0, +)) <= bound)
            }
        }
    }

    @Test(
        "tiles combine rows to the twin's bits", .enabled(if: hasTiles), arguments: [Mood.ordinary, .wide, .zeros, .hostile], [1, 2, 3])
    func combinedTiles(_ mood: Mood, thirds: Int) throws {
        var random = Random(7 + thirds)
        for (rows, range, columns) in [
            (1, 0..<1, 1), (1, 3..<35, 16), (3, 0..<33, 15), (16, 5..<133, 33), (17, 0..<300, 64), (50, 1..<129, 520), (64, 0..<128, 72),
        ] {
            let w = StoredMatrix(.bf16, rows: range.upperBound, columns: columns, mood: mood, &random)
            let x = floats(rows * range.count, mood, &random)
            let found = combined(try kernels(.amx), x, rows: rows, w, range, thirds: thirds)
            let expected = combined(try kernels(.scalar), x, rows: rows, w, range, thirds: thirds)
            let difference = firstDifference(found, expected)
            #expect(difference == nil, "\(rows) x \(range) x \(columns)")
        }
    }

    @Test("a row's result does not depend on the others, nor on how outputs are cut", .enabled(if: hasTiles))
    func invariance() throws {
        var random = Random(5)
        let (rows, outputs, columns) = (50, 90, 300)
        let w = StoredMatrix(.bf16, rows: outputs, columns: columns, mood: .ordinary, &random)
        let x = floats(rows * columns, .ordinary, &random)
        let amx = try kernels(.amx)
        let whole = try product(amx, x, rows: rows, w, 0..<outputs, thirds: 3).y
        for range in [0..<32, 32..<90, 7..<8, 60..<90] {
            for first in [0, 13, 49] {
                let part = try product(amx, Array(x[(first * columns)...]), rows: rows - first, w, range, thirds: 3).y
                for output in range { #expect(part[output] == whole[first * outputs + output]) }
            }
        }
    }
}
