import CKimiKernels
import KimiModel

/// One kernel at one size, as a stream of items that touch memory no item before has touched for long.
///
/// To measure another kernel is one more entry in `all`.
package struct KernelCase {
    /// What one item reads of the memory to measure with.
    struct Item {
        /// The table of the level at work.
        let kernels: ck_kernels
        /// Where the item's bytes begin: its own, out of a cache's reach.
        let data: UnsafeRawPointer
        /// Activations, the same for all items, and room for results of the worker alone; `KernelWork.roomBytes` of both.
        let input: UnsafePointer<Float>
        let output: UnsafeMutablePointer<Float>
    }

    package let name: String
    package let size: String
    /// What one item streams and computes.
    package let count: WorkCount
    /// Whether the level has the kernel.
    let isThere: (ck_kernels) -> Bool
    let run: (Item) -> Void

    private init(
        _ name: String, _ size: String, bytes: Int, multiplyAdds: Int, isThere: @escaping (ck_kernels) -> Bool = { _ in true },
        run: @escaping (Item) -> Void
    ) {
        self.name = name
        self.size = size
        count = WorkCount(bytes: bytes, multiplyAdds: multiplyAdds)
        self.isThere = isThere
        self.run = run
    }

    /// Kimi K2.5's hidden size and expert width.
    private static let hidden = 7168
    private static let width = 2048
    /// Weight rows of one item of a product: as a worker gets them.
    private static let block = 32

    package static var all: [KernelCase] {
        let counts = [1, 16, 512]
        let (bf16, int4, int8) = (("bf16", CK_BF16), ("int4", CK_INT4), ("int8", CK_INT8))
        return counts.map(matmul)
            + [int4, int8].flatMap { type in counts.map { integerMatmul(type, bits: 24, rows: $0) } }
            + [(bf16, 16), (int4, 16), (int4, 8), (int8, 8)].flatMap { type, bits in
                counts.map { integerMatmul(type, bits: bits, rows: $0) }
            }
            + [24, 16, 8].map(split) + [rmsNorm, swiglu, addScaled]
            + [("bf16", CK_BF16), ("int8", CK_INT8)].map(cacheToken)
            + [("f32", CK_F32), ("bf16", CK_BF16), ("int8", CK_INT8)].flatMap { type in
                [1, 16].map { attention(type, rows: $0) }
            } + [expandedAttention]
    }

    /// Weight rows of bfloat16 by `rows` rows of activations in floats.
    private static func matmul(rows: Int) -> KernelCase {
        KernelCase(
            "matmul bf16", sizes(rows), bytes: block * hidden * 2, multiplyAdds: block * hidden * rows
        ) { item in
            var matrix = ck_matrix(
                data: item.data, scales: nil, rows: block, columns: hidden, type: Int32(CK_BF16), reserved: 0)
            item.kernels.matmul(item.output, block, item.input, hidden, rows, &matrix, 0, block)
        }
    }

    /// Weight rows by `rows` rows of activations as integers: 24 bits are the exact path, fewer the fast one.
    private static func integerMatmul(_ type: (name: String, number: Int), bits: Int32, rows: Int) -> KernelCase {
        var matrix = ck_matrix(data: nil, scales: nil, rows: block, columns: hidden, type: Int32(type.number), reserved: 0)
        let weightBytes = block * ck_row_bytes(&matrix)
        let hasScales = type.number != CK_BF16
        let rowBytes = bits == 24 ? ck_split_bytes(hidden) : ck_narrow_bytes(hidden, bits)
        return KernelCase(
            "\(bits == 24 ? "matmul_split" : "matmul_narrow") \(type.name) \(bits) bits", sizes(rows),
            bytes: weightBytes + (hasScales ? block * hidden / 16 : 0), multiplyAdds: block * hidden * rows
        ) { item in
            var matrix = matrix
            matrix.data = item.data
            if hasScales { matrix.scales = (item.data + weightBytes).assumingMemoryBound(to: UInt16.self) }
            // Any bytes are integers, and harmless floats are harmless scales.
            withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: rows) { x in
                for row in 0..<rows { x[row] = UnsafeRawPointer(item.input) + row * rowBytes }
                if bits == 24 {
                    item.kernels.matmul_split(item.output, block, x.baseAddress, rows, &matrix, 0, block)
                } else {
                    item.kernels.matmul_narrow(item.output, block, x.baseAddress, rows, &matrix, 0, block, bits)
                }
            }
        }
    }

    private static func sizes(_ rows: Int) -> String { "\(block) x \(hidden), \(words(rows))" }
    private static func words(_ rows: Int) -> String { rows == 1 ? "1 row" : "\(rows) rows" }

    private static func split(bits: Int32) -> KernelCase {
        KernelCase(
            "\(bits == 24 ? "split" : "narrow") \(bits) bits", "\(hidden)", bytes: hidden * 4, multiplyAdds: hidden
        ) { item in
            let x = item.data.assumingMemoryBound(to: Float.self)
            if bits == 24 {
                item.kernels.split(item.output, x, 0, hidden, hidden)
            } else {
                item.kernels.narrow(item.output, x, 0, hidden, bits)
            }
        }
    }

    private static var rmsNorm: KernelCase {
        KernelCase("rms_norm", "\(hidden)", bytes: hidden * 4, multiplyAdds: 2 * hidden) { item in
            item.kernels.rms_norm(item.output, item.data.assumingMemoryBound(to: Float.self), item.input, hidden, 1e-5)
        }
    }

    private static var swiglu: KernelCase {
        KernelCase("swiglu", "\(width)", bytes: width * 8, multiplyAdds: width) { item in
            let gate = item.data.assumingMemoryBound(to: Float.self)
            item.kernels.swiglu(item.output, gate, gate + width, width)
        }
    }

    private static var addScaled: KernelCase {
        KernelCase("add_scaled", "\(hidden)", bytes: hidden * 4, multiplyAdds: hidden) { item in
            item.kernels.add_scaled(item.output, 0.5, item.data.assumingMemoryBound(to: Float.self), hidden)
        }
    }

    private static func cacheToken(_ type: (name: String, number: Int)) -> KernelCase {
        let (latent, rope) = (512, 64)
        return KernelCase("cache_token \(type.name)", "\(latent) + \(rope)", bytes: (latent + rope) * 4, multiplyAdds: 0) { item in
            item.kernels.cache_token(
                item.output, item.data.assumingMemoryBound(to: Float.self), latent, rope, Int32(type.number))
        }
    }

    /// Eight heads of one row, or of as many as a prompt has, over a span of 1,024 tokens.
    private static func attention(_ type: (name: String, number: Int), rows: Int) -> KernelCase {
        let (heads, tokens, latent, rope) = (8, 1024, 512, 64)
        let tokenBytes = ck_cache_token_bytes(Int32(type.number), latent, rope)
        let blockTokens = Int(CK_CACHE_BLOCK)
        return KernelCase(
            "attention \(type.name)", "\(heads) heads, \(tokens) tokens, \(words(rows))", bytes: tokens * tokenBytes,
            multiplyAdds: rows * heads * tokens * (2 * latent + rope)
        ) { item in
            withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: tokens / blockTokens) { blocks in
                for block in blocks.indices { blocks[block] = item.data + block * blockTokens * tokenBytes }
                var job = ck_attention()
                job.blocks = UnsafePointer(blocks.baseAddress)
                job.cache_type = Int32(type.number)
                job.scale = 0.1
                job.tokens = tokens
                job.end = tokens
                job.rows = rows
                job.heads = heads
                job.query_stride = heads * (latent + rope)
                job.latent = latent
                job.rope = rope
                item.kernels.attention(item.output + rows * heads * 2, item.output, item.input, &job)
            }
        }
    }

    /// A head of a prompt's rows over one block of expanded keys and values.
    private static var expandedAttention: KernelCase {
        let (rows, tokens, key, value) = (256, Int(CK_CACHE_BLOCK), 192, 128)
        return KernelCase(
            "expanded_attention", "1 head, \(tokens) tokens, \(words(rows))", bytes: tokens * (key + value) * 4,
            multiplyAdds: rows * tokens * (key + value)
        ) { item in
            let keys = item.data.assumingMemoryBound(to: Float.self)
            var block = ck_expanded_block(
                keys: keys, values: keys + key, stride: key + value, key: key, value: value, start: 0, count: tokens,
                tokens: tokens, rows: rows, scale: 0.1, ahead: nil, ahead_bytes: 0)
            item.kernels.expanded_attention(item.output + rows * 2, item.output, item.input, &block)
        }
    }
}
