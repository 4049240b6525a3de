import CKimiKernels
import KimiCore

/// Lays out memory before there is any: adds up sizes in cache lines.
package struct ScratchLayout {
    /// Nil once a size does not fit.
    package private(set) var total: Int? = 0

    package init() {}

    /// Room for a product of numbers, in bytes; its offset.
    package mutating func bytes(_ factors: Int?...) -> Int {
        let count = factors.reduce(Int?(1)) { product, factor in
            product.flatMap { product in factor.flatMap { Checked.product(product, $0) } }
        }
        guard let count, let offset = total, let end = Checked.sum(offset, count) else { total = nil; return 0 }
        total = Checked.roundUp(end, to: 64)
        return offset
    }

    package mutating func floats(_ rows: Int?, _ columns: Int) -> Int { bytes(rows, columns, 4) }

    /// Where an activation's parts lie.
    package struct Activation {
        let rows: Int
        let floats: Int
        let integers: Int
        let integerBytes: Int
        let table: Int
        let thirds: Int
        let thirdBytes: Int

        /// Lays the parts into the memory and points the rows' integer forms at their places.
        package func placed(in memory: MappedMemory) -> KimiModel.Activation {
            let table = memory.pointer(to: UnsafeRawPointer?.self, at: table)
            for row in 0..<rows { table[row] = UnsafeRawPointer(memory.base + integers + row * integerBytes) }
            return KimiModel.Activation(
                floats: memory.pointer(to: Float.self, at: floats), integers: table, thirds: thirdBytes > 0 ? memory.base + thirds : nil,
                thirdBytes: thirdBytes)
        }
    }

    /// Rows of floats and of integers; `integerColumns` 0 if the integers lie elsewhere. With `thirds` there is room for those, too.
    package mutating func activation(_ rows: Int?, _ columns: Int, integerColumns: Int? = nil, thirds: Bool = false) -> Activation {
        // Room for either precision; a page that the fast form does not reach takes no memory.
        let integerBytes = Arithmetic.integerBytes(columns: integerColumns ?? columns)
        let thirdBytes = thirds && columns > 0 ? ck_thirds_bytes(columns, Arithmetic.mostThirds) : 0
        return Activation(
            rows: rows ?? 0, floats: floats(rows, columns), integers: bytes(rows, integerBytes), integerBytes: integerBytes,
            table: bytes(rows, MemoryLayout<UnsafeRawPointer>.stride), thirds: bytes(rows, thirdBytes), thirdBytes: thirdBytes)
    }
}
