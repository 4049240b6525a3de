import CKimiKernels
import KimiCore
import KimiModel

/// How a tower multiplies: everything that depends on which kernels there are.
///
/// The exact way reads rows of floats, and gives the same bits at every instruction set. The fast ways, for bf16 weights, read
/// pairs of bfloat16 where the processor has tiles (AMX: within 2e-5 of the features' scale on the published vectors; if asked for,
/// single ones: 6e-3), or 16-bit integers where it has byte products (avx512vnni: 9e-5). Always a row's result depends on nothing
/// but the row: neither on the other rows nor on the threads.
struct TowerArithmetic {
    /// What a product reads.
    enum Form {
        case floats
        /// A scale for each 32 (`narrow`).
        case integers
        /// High and low halves of 16 rows, or high ones alone, tile by tile (`split_rows`).
        case tiles
    }

    let kernels: UnsafePointer<ck_kernels>
    /// Nil where there are none, or nothing may be rounded.
    let tiles: UnsafePointer<ck_tiles>?
    private let arithmetic: Arithmetic

    init(kernels: UnsafePointer<ck_kernels>, isExact: Bool, _ vision: VisionArithmetic) {
        self.kernels = kernels
        let isa = kernels.pointee.isa
        tiles = isExact || isa < Int32(CK_ISA_AMX) ? nil : ck_tiles_for(isa, vision == .bf16 ? 1 : 2)
        let isFast = !isExact && isa >= Int32(CK_ISA_AVX512_VNNI)
        arithmetic = Arithmetic(kernels: kernels, precision: isFast ? .fast : .exact, dense: .stored)
    }

    /// What products in tiles read of each number, halves: 0 where there are no tiles.
    var halves: Int { tiles?.pointee.halves ?? 0 }

    /// What products with this matrix read.
    func form(_ matrix: ck_matrix) -> Form {
        if tiles != nil, matrix.type == Int32(CK_BF16) { return .tiles }
        return arithmetic.readsIntegers(matrix) ? .integers : .floats
    }
    func form(_ linear: TowerLinear) -> Form { form(linear.matrix) }

    /// Makes the form that a product reads of elements `begin ..< end` of row `row`, given at `from`; nothing for floats. `begin`
    /// is a multiple of 32, and so is `end`, or it is the row's.
    @inline(__always)
    func prepare(_ form: Form, _ x: TowerRows, row: Int, from: UnsafePointer<Float>, begin: Int, end: Int) {
        switch form {
        case .floats: break
        case .integers: arithmetic.split(x.activation, row: row, from: from, begin: begin, end: end, width: x.width)
        case .tiles:
            tiles?.pointee.split_rows(x.block(of: row), row % TowerRows.blockRows, from, begin, end - begin)
        }
    }

    /// y[r * stride + j] = row j of the matrix times row first + r of x, for begin <= j < end and at least `rows` rows; with tiles
    /// also for what is missing to whole tiles. `begin`, and `first`, are multiples of a tile.
    ///
    /// - Parameter packed: the matrix as tiles, where the form is `tiles`.
    @inline(__always)
    func multiply(
        _ matrix: UnsafePointer<ck_matrix>, packed: UnsafeRawPointer?, _ x: TowerRows, first: Int, rows: Int,
        into y: UnsafeMutablePointer<Float>, stride: Int, from begin: Int, to end: Int
    ) {
        if let tiles, let packed {
            let tile = TowerRows.blockRows
            tiles.pointee.matmul(
                y + begin, stride, x.block(of: first), (rows + tile - 1) / tile,
                packed + begin / tile * PackedMatrix.blockBytes(columns: x.width), (end - begin + tile - 1) / tile, x.width)
        } else {
            arithmetic.multiply(
                matrix, x.activation.from(first, width: x.width), rows: rows, into: y, yStride: stride, from: begin, to: end)
        }
    }
}

/// Rows that products read, in the forms that there are: room for the one that is used.
struct TowerRows {
    let activation: Activation
    /// As halves, a block of rows after the other, and bytes of a block.
    let blocks: UnsafeMutableRawPointer
    let blockBytes: Int
    let width: Int

    /// Rows of a block of halves.
    static let blockRows = Int(CK_TILE)

    var floats: UnsafeMutablePointer<Float> { activation.floats }

    /// The block that a row is in.
    func block(of row: Int) -> UnsafeMutableRawPointer { blocks + row / Self.blockRows * blockBytes }
}

/// Matrices as tiles.
enum PackedMatrix {
    /// Of a block of rows.
    static func blockBytes(columns: Int) -> Int { ck_block_bytes(columns, 1) }
    static func bytes(rows: Int, columns: Int) -> Int {
        (rows + TowerRows.blockRows - 1) / TowerRows.blockRows * blockBytes(columns: columns)
    }
    static func bytes(_ linear: TowerLinear) -> Int { bytes(rows: linear.rows, columns: linear.columns) }
}
