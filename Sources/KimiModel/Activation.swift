import CKimiKernels
import KimiCheckpoint

/// Rows of activations [rows, width] in the forms that products read: floats for bf16, f16 and f32 weights, integers in groups of
/// 32 for int4 and int8 weights and, on the fast path, bf16 weights; on processors with tiles thirds for bf16 weights.
///
/// Who makes the rows makes each form that the weights behind them need, once for all products.
package struct Activation {
    package let floats: UnsafeMutablePointer<Float>
    /// The integer form of each row; the rows need not lie side by side.
    package let integers: UnsafeMutablePointer<UnsafeRawPointer?>
    /// The thirds of the rows, `thirdBytes` apart; nil where bf16 weights do not read them.
    let thirds: UnsafeMutableRawPointer?
    let thirdBytes: Int

    package init(
        floats: UnsafeMutablePointer<Float>, integers: UnsafeMutablePointer<UnsafeRawPointer?>, thirds: UnsafeMutableRawPointer? = nil,
        thirdBytes: Int = 0
    ) {
        (self.floats, self.integers, self.thirds, self.thirdBytes) = (floats, integers, thirds, thirdBytes)
    }

    /// The rows from `row` on.
    package func from(_ row: Int, width: Int) -> Activation {
        Activation(
            floats: floats + row * width, integers: integers + row, thirds: thirds.map { $0 + row * thirdBytes }, thirdBytes: thirdBytes)
    }
}

/// The forms of an activation, beside floats, that the products behind it read.
struct ActivationForms: OptionSet {
    let rawValue: Int
    static let integers = ActivationForms(rawValue: 1)
    static let thirds = ActivationForms(rawValue: 2)
}

/// How precise the arithmetic of a step is. A step has one precision for all of its rows.
package enum Precision: Sendable {
    /// As precise as float arithmetic: products with stored integers take activations of 24 bits, as many as a float has, unless
    /// `DecodeBits` says otherwise.
    case exact
    /// Activations of 16 bits, also for bf16 weights; with `dense=int8`, whose weights are rounded more than that, of 8 bits. Twice
    /// or more the speed where arithmetic is the limit.
    case fast

    /// The fewest rows of a step that takes the fast path; below, it gains little. With 8 bits it gains early; with 16 as many rows
    /// are asked for as pay to be attended expanded (ExpandedPlan), so that there is one border.
    package static func fastRows(_ dense: DenseFormat) -> Int {
        switch dense {
        case .stored: 160
        case .int8: 64
        }
    }
}

/// To how many bits activations are rounded where a step is not on the fast path: for generated tokens and short prompts.
package enum DecodeBits: Int, Sendable {
    /// As many as a float has.
    case exact = 24
    /// As on the fast path; not with `dense=int8`, whose weights are rounded more than that.
    case sixteen = 16
    /// With bf16 weights in tiles, where there are some, plain bfloat16.
    case eight = 8
}

/// The arithmetic of a step: which kernels, and how precise.
package struct Arithmetic {
    package let kernels: UnsafePointer<ck_kernels>
    package let precision: Precision
    /// Bits of integer activations: 24 (`split` in CKimiKernels.h), 16 or 8 (`narrow`).
    private let bits: Int32
    /// The types of weights, a bit for each, that are multiplied by integer activations.
    private let integerTypes: Int32
    /// The products of bf16 weights and thirds of activations, where there are tiles for them; else nil. They take the place of the other
    /// products with bf16 weights wherever an activation has room for thirds.
    private let thirds: UnsafePointer<ck_thirds>?
    /// How many thirds: as many as hold the bits of the integers, on the fast path at least two.
    private let thirdCount: Int
    static let mostThirds = 3

    /// - Parameters:
    ///   - decodeBits: for the exact path, which they make less so.
    ///   - thirds: of the same level as the kernels.
    package init(
        kernels: UnsafePointer<ck_kernels>, precision: Precision, dense: DenseFormat, decodeBits: DecodeBits = .exact,
        thirds: UnsafePointer<ck_thirds>? = nil
    ) {
        self.kernels = kernels
        self.precision = precision
        self.thirds = thirds
        switch (precision, dense) {
        case (.exact, _):
            bits = Int32(decodeBits.rawValue)
            integerTypes = ck_matrix.bit(CK_INT4) | ck_matrix.bit(CK_INT8)
        case (.fast, .stored):
            bits = 16
            integerTypes = ck_matrix.bit(CK_INT4) | ck_matrix.bit(CK_BF16)
        case (.fast, .int8):
            bits = 8
            integerTypes = ck_matrix.bit(CK_INT4) | ck_matrix.bit(CK_INT8)
        }
        thirdCount = precision == .fast ? 2 : decodeBits.rawValue / 8
    }
}

extension ck_matrix {
    static func bit(_ type: some BinaryInteger) -> Int32 { 1 << Int32(type) }
    /// The bit of its type in a set of types.
    var typeBit: Int32 { Self.bit(type) }
}

extension Arithmetic {
    /// Whether products with this matrix read the integer form of activations.
    package func readsIntegers(_ matrix: ck_matrix) -> Bool { integerTypes & matrix.typeBit != 0 }
    /// Whether products with any matrix of these types read floats.
    func readsFloats(anyOf types: Int32) -> Bool { ~integerTypes & types != 0 }

    /// What products with matrices of these types read.
    ///
    /// - Parameter gathered: types of matrices whose rows of activations are gathered: those have no thirds.
    func forms(of types: Int32, gathered: Int32 = 0) -> ActivationForms {
        let byThirds = thirds == nil ? 0 : types & ck_matrix.bit(CK_BF16)
        let isRead = integerTypes & (types & ~byThirds | gathered) != 0
        return (isRead ? .integers : ActivationForms()).union(byThirds != 0 ? .thirds : [])
    }

    /// y[r][begin ..< end] = matrix * x[r] for n rows, y's rows `yStride` apart.
    @inline(__always)
    package func multiply(
        _ matrix: UnsafePointer<ck_matrix>, _ x: Activation, rows n: Int, into y: UnsafeMutablePointer<Float>, yStride: Int,
        from begin: Int, to end: Int
    ) {
        if matrix.pointee.type == Int32(CK_BF16), let thirds, let from = x.thirds {
            thirds.pointee.matmul(y, yStride, from, x.thirdBytes, n, matrix, begin, end, thirdCount)
        } else if !readsIntegers(matrix.pointee) {
            multiplyFloats(matrix, x, rows: n, into: y, yStride: yStride, from: begin, to: end)
        } else if bits == 24 {
            kernels.pointee.matmul_split(y, yStride, x.integers, n, matrix, begin, end)
        } else {
            kernels.pointee.matmul_narrow(y, yStride, x.integers, n, matrix, begin, end, bits)
        }
    }

    /// The same, by floats whatever the precision is; not for int4 and int8 weights.
    @inline(__always)
    func multiplyFloats(
        _ matrix: UnsafePointer<ck_matrix>, _ x: Activation, rows n: Int, into y: UnsafeMutablePointer<Float>, yStride: Int,
        from begin: Int, to end: Int
    ) {
        kernels.pointee.matmul(y, yStride, x.floats, matrix.pointee.columns, n, matrix, begin, end)
    }

    /// Thirds and the functions that read them, for products of activations in no `Activation`; nil where such products go by floats.
    func thirds(for matrix: ck_matrix) -> (functions: UnsafePointer<ck_thirds>, count: Int)? {
        guard let thirds, matrix.type == Int32(CK_BF16) else { return nil }
        return (thirds, thirdCount)
    }

    /// Asks for what the next product begins to read of a matrix, from `row` on, with n rows of activations: the first lines of a
    /// stream, or of the block that many rows share. Between the two a product asks ahead well enough itself.
    @inline(__always)
    func fetch(_ matrix: UnsafePointer<ck_matrix>, row: Int, for n: Int) {
        if bits < 24 && readsIntegers(matrix.pointee) {
            ck_fetch_block(matrix, row, min(32, matrix.pointee.rows - row))
        } else if n <= 4 {
            ck_fetch_row(matrix, row)
        }
    }

    /// Makes the integer form of elements `begin ..< end` of row `row`, given at `from`, of a row of `width` elements.
    @inline(__always)
    package func split(_ x: Activation, row: Int, from: UnsafePointer<Float>, begin: Int, end: Int, width: Int) {
        let to = UnsafeMutableRawPointer(mutating: x.integers[row])
        if bits == 24 {
            kernels.pointee.split(to, from, begin, end - begin, width)
        } else {
            kernels.pointee.narrow(to, from, begin, end - begin, bits)
        }
    }

    /// Makes some forms of elements `begin ..< end` of row `row`, likewise.
    @inline(__always)
    func make(
        _ forms: ActivationForms, _ x: Activation, row: Int, from: UnsafePointer<Float>, begin: Int, end: Int, width: Int
    ) {
        if forms.contains(.integers) { split(x, row: row, from: from, begin: begin, end: end, width: width) }
        if forms.contains(.thirds), let thirds, let to = x.thirds {
            thirds.pointee.write(to + row * x.thirdBytes, from, begin, end - begin, thirdCount)
        }
    }

    /// The bytes of a row in its largest integer form.
    static func integerBytes(columns: Int) -> Int {
        max(ck_split_bytes(columns), ck_narrow_bytes(columns, 16), ck_narrow_bytes(columns, 8))
    }
}
