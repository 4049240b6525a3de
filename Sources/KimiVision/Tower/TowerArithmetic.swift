import CKimiKernels
import KimiModel

/// How a tower multiplies: everything that depends on which kernels there are.
///
/// The exact way reads rows of floats, and gives the same bits at every instruction set. The fast way, where the processor has
/// byte products (avx512vnni) and weights are bf16, reads rows of 16-bit integers: 9e-5 of the features' scale, measured on the
/// published vectors. Either way a row's result depends on nothing but the row: not on the other rows, nor on the threads.
struct TowerArithmetic {
    let kernels: UnsafePointer<ck_kernels>
    private let arithmetic: Arithmetic

    init(kernels: UnsafePointer<ck_kernels>, isExact: Bool) {
        self.kernels = kernels
        let hasBytes = kernels.pointee.isa >= Int32(CK_ISA_AVX512_VNNI)
        arithmetic = Arithmetic(kernels: kernels, precision: isExact || !hasBytes ? .exact : .fast, dense: .stored)
    }

    /// Whether products with this matrix read the integer form of rows, which `prepare` makes.
    func readsIntegers(_ matrix: ck_matrix) -> Bool { arithmetic.readsIntegers(matrix) }

    /// Makes the integer form of elements `begin ..< end`, given at `from`, of row `row`, which has `width` of them. `begin` is a
    /// multiple of 32, and so is `end`, or the row's.
    @inline(__always)
    func prepare(_ x: Activation, row: Int, from: UnsafePointer<Float>, begin: Int, end: Int, width: Int) {
        arithmetic.split(x, row: row, from: from, begin: begin, end: end, width: width)
    }

    /// y[r * stride + j] = matrix row j * x[first + r], for `rows` rows of x and begin <= j < end.
    @inline(__always)
    func multiply(
        _ matrix: UnsafePointer<ck_matrix>, _ x: Activation, first: Int, rows: Int, into y: UnsafeMutablePointer<Float>, stride: Int,
        from begin: Int, to end: Int
    ) {
        arithmetic.multiply(
            matrix, x.from(first, width: matrix.pointee.columns), rows: rows, into: y, yStride: stride, from: begin, to: end)
    }
}
