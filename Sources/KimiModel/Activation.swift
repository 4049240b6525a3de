import CKimiKernels

/// Rows of activations [rows, width] in the forms that products read: floats for bf16, f16 and f32 weights, integers in groups of
/// 32 (`split` in CKimiKernels.h) for int4 and int8 weights.
///
/// Who makes the rows makes each form that the weights behind them need, once for all products.
struct Activation {
    let floats: UnsafeMutablePointer<Float>
    /// The integer form of each row; the rows need not lie side by side.
    let integers: UnsafeMutablePointer<UnsafeRawPointer?>

    /// The rows from `row` on.
    func from(_ row: Int, width: Int) -> Activation {
        Activation(floats: floats + row * width, integers: integers + row)
    }
}

/// How precise the integer form of activations is. A row's path depends on nothing but the call it came with, so that results do
/// not depend on what else is in a step.
package enum Precision: Sendable {
    /// 24 bits a value, as many as a float has: products with int4 weights are as exact as float arithmetic.
    case exact
    /// 8 bits a value: a third of the arithmetic, and errors of a few parts in a thousand.
    case fast

    /// Bytes of a value, as the kernels count them.
    var parts: Int32 {
        switch self {
        case .exact: Int32(CK_EXACT_PARTS)
        case .fast: Int32(CK_FAST_PARTS)
        }
    }
}

/// The arithmetic of a step: which kernels, and how precise.
struct Arithmetic {
    let kernels: UnsafePointer<ck_kernels>
    let precision: Precision
    /// Bytes of an integer activation.
    let parts: Int32

    init(kernels: UnsafePointer<ck_kernels>, precision: Precision) {
        self.kernels = kernels
        self.precision = precision
        parts = precision.parts
    }
}

extension ck_matrix {
    /// Whether products with this matrix read the integer form of activations.
    var readsIntegers: Bool { type == Int32(CK_INT4) || type == Int32(CK_INT8) }
}

extension Arithmetic {
    /// y[r][begin ..< end] = matrix * x[r] for n rows, y's rows `yStride` apart.
    @inline(__always)
    func multiply(
        _ matrix: UnsafePointer<ck_matrix>, _ x: Activation, rows n: Int, into y: UnsafeMutablePointer<Float>, yStride: Int,
        from begin: Int, to end: Int
    ) {
        if matrix.pointee.readsIntegers {
            kernels.pointee.matmul_split(y, yStride, x.integers, n, matrix, begin, end, parts)
        } else {
            kernels.pointee.matmul(y, yStride, x.floats, matrix.pointee.columns, n, matrix, begin, end)
        }
    }

    /// Makes the integer form of elements `begin ..< end` of row `row`, given at `from`, of a row of `width` elements.
    @inline(__always)
    func split(_ x: Activation, row: Int, from: UnsafePointer<Float>, begin: Int, end: Int, width: Int) {
        kernels.pointee.split(UnsafeMutableRawPointer(mutating: x.integers[row]), from, begin, end - begin, width, parts)
    }
}
