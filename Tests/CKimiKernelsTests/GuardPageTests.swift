import CKimiKernels
import Testing

/// Every buffer of every kernel against a page that must not be touched, at its low end and at its high end. A read or
/// write outside kills the process; results are checked against the contract as well.
@Suite struct GuardPageTests {
    @Test("The product and rows of a matrix stay inside", arguments: Level.available, Element.allCases)
    func matmul(level: Level, element: Element) {
        var random = Random(30)
        for end in Guarded.End.allCases {
            for (columns, rows, n) in [
                (1, 1, 1), (31, 5, 2), (32, 9, 1), (33, 8, 3), (517, 17, 4), (544, 9, 5), (1041, 3, 18), (1056, 20, 7),
            ] {
                let width = element == .int4 ? (columns + 31) / 32 * 32 : columns
                let w = StoredMatrix(element, rows: rows, columns: width, mood: .ordinary, &random)
                let values = floats(n * width, .ordinary, &random)
                let data = Guarded(w.data, against: end)
                let scales = Guarded(w.scales, against: end)
                let x = Guarded(values, against: end)
                let y = Guarded(bytes: n * rows * 4, against: end)
                var matrix = ck_matrix(
                    data: data.base, scales: scales.base.assumingMemoryBound(to: UInt16.self), rows: rows,
                    columns: width,
                    type: element.rawValue, reserved: 0)
                let row = Guarded(bytes: width * 4, against: end)
                level.kernels.widen_row(row.base.assumingMemoryBound(to: Float.self), &matrix, rows - 1)
                #expect(row.array(Float.self, width) == w.values[rows - 1])
                if element == .int4 { continue }

                level.kernels.matmul(
                    y.base.assumingMemoryBound(to: Float.self), rows, x.base.assumingMemoryBound(to: Float.self), width,
                    n, &matrix, 0, rows)
                let right = MatmulTests.expected(w, x: values, ldx: width, n: n, ldy: rows, rows: 0..<rows)
                let difference = firstDifference(y.array(Float.self, n * rows), right)
                #expect(difference == nil)

                let a = Guarded(floats(rows, .ordinary, &random), against: end)
                level.kernels.combine_rows(
                    row.base.assumingMemoryBound(to: Float.self), width, a.base.assumingMemoryBound(to: Float.self), rows,
                    1, &matrix, 0, rows)
                #expect(
                    row.array(Float.self, width)
                        == Contract.combineRows(a.array(Float.self, rows), w.values, columns: width))
            }
        }
    }

    @Test("The element by element kernels stay inside", arguments: Level.available)
    func elementwise(level: Level) {
        var random = Random(31)
        for end in Guarded.End.allCases {
            for n in Array(1...33) + [517] {
                let a = Guarded(floats(n, .ordinary, &random), against: end)
                let b = Guarded(floats(n, .ordinary, &random), against: end)
                let y = Guarded(bytes: 4 * n, against: end)
                let words = Guarded(bytes: 2 * n, against: end)
                let x = a.base.assumingMemoryBound(to: Float.self)
                let w = b.base.assumingMemoryBound(to: Float.self)
                let out = y.base.assumingMemoryBound(to: Float.self)
                level.kernels.rms_norm(out, x, w, n, 1e-5)
                #expect(
                    y.array(Float.self, n)
                        == Contract.rmsNorm(a.array(Float.self, n), b.array(Float.self, n), eps: 1e-5))
                level.kernels.rope(out, x, w, n / 2)
                #expect(
                    y.array(Float.self, n / 2 * 2)
                        == Contract.rope(a.array(Float.self, n / 2 * 2), b.array(Float.self, n / 2 * 2)))
                level.kernels.swiglu(out, x, w, n)
                #expect(y.array(Float.self, n) == Contract.swiglu(a.array(Float.self, n), b.array(Float.self, n)))
                level.kernels.add_scaled(out, 0.5, x, n)
                level.kernels.cache_token(words.base, x, n, 0, Int32(CK_BF16))
                #expect(words.array(UInt16.self, n) == a.array(Float.self, n).map(Contract.roundBF16))
                #expect(level.kernels.all_finite(x, n) == 1)
            }
        }
    }

    @Test("Attention stays inside", arguments: Level.available, [Element.bf16, .f32])
    func attention(level: Level, element: Element) {
        var random = Random(32)
        for end in Guarded.End.allCases {
            for (heads, tokens, latent, rope) in [(1, 1, 1, 0), (5, 3, 17, 2), (9, 70, 33, 16), (17, 67, 48, 16)] {
                let size = latent + rope
                var blocks = [Guarded]()
                var values = [[Float]]()
                for start in stride(from: 0, to: tokens, by: 64) {
                    let w = StoredMatrix(
                        element, rows: min(64, tokens - start), columns: size, mood: .ordinary, &random)
                    blocks.append(Guarded(w.data, against: end))
                    values += w.values
                }
                let query = floats(heads * size, .ordinary, &random)
                let q = Guarded(query, against: end)
                let out = Guarded(bytes: heads * latent * 4, against: end)
                let state = Guarded(bytes: heads * 8, against: end)
                let result = Guarded(bytes: heads * latent * 4, against: end)
                let pointers = blocks.map { UnsafeRawPointer($0.base) as UnsafeRawPointer? }
                pointers.withUnsafeBufferPointer { pointers in
                    var a = ck_attention(
                        blocks: pointers.baseAddress, layer_offset: 0, cache_type: element.rawValue, scale: 0.4,
                        tokens: tokens, begin: 0, end: 512, rows: 1, heads: heads, query_stride: heads * size,
                        latent: latent, rope: rope)
                    let sum = out.base.assumingMemoryBound(to: Float.self)
                    let sumState = state.base.assumingMemoryBound(to: Float.self)
                    level.kernels.attention(sum, sumState, q.base.assumingMemoryBound(to: Float.self), &a)
                    level.kernels.attention_finish(
                        result.base.assumingMemoryBound(to: Float.self), latent, sum, sumState, heads, latent)
                    // Folding a part into itself stays inside as well.
                    level.kernels.attention_fold(sum, sumState, sum, sumState, heads, latent)
                }
                var right = [Float]()
                for h in 0..<heads {
                    right += Contract.attention(
                        Array(query[h * size..<(h + 1) * size]), values, latent: latent, scale: 0.4, span: 512)
                }
                let difference = firstDifference(result.array(Float.self, heads * latent), right)
                #expect(difference == nil)
            }
        }
    }

    @Test("Expanded attention stays inside", arguments: Level.available)
    func expandedAttention(level: Level) {
        var random = Random(33)
        let packed = Int(CK_PACKED_ROWS)
        for end in Guarded.End.allCases {
            for (rows, tokens, key, value) in [(1, 1, 1, 1), (5, 5, 17, 3), (16, 70, 24, 33), (33, 67, 40, 48), (50, 130, 9, 17)] {
                let c = ExpandedAttentionTests.Case(rows: rows, tokens: tokens, key: key, value: value)
                let all = ExpandedAttentionTests.Tokens(c, &random)
                let q = ExpandedAttentionTests.queries(c, &random)
                let room = (rows + packed - 1) / packed * packed
                let plain = Guarded(q.flatMap { $0 }, against: end)
                let queries = Guarded(bytes: room * key * 4, against: end)
                let out = Guarded(bytes: room * value * 4, against: end)
                let state = Guarded(bytes: room * 8, against: end)
                func floats(_ memory: Guarded) -> UnsafeMutablePointer<Float> { memory.base.assumingMemoryBound(to: Float.self) }
                ck_pack_queries(floats(queries), floats(plain), key, rows, key)
                for start in stride(from: 0, to: tokens, by: 64) {
                    let held = start..<min(start + 64, tokens)
                    let keys = Guarded(held.flatMap { all.keys[$0] }, against: end)
                    // Keys and values share a stride: values with room for a key behind all but the last.
                    let spread = held.flatMap { all.keys[$0] + all.values[$0] }
                    let values = Guarded(Array(spread.dropFirst(key)), against: end)
                    let whole = Guarded(spread, against: end)
                    var block = ck_expanded_block(
                        keys: floats(whole), values: floats(values), stride: key + value, key: key, value: value, start: start,
                        count: held.count, tokens: c.seen(0), rows: rows, scale: c.scale, ahead: keys.base,
                        ahead_bytes: held.count * key * 4)
                    withExtendedLifetime((keys, values, whole, queries)) {
                        level.kernels.expanded_attention(floats(out), floats(state), floats(queries), &block)
                    }
                }
                let right = all.right(c, q: q)
                #expect(firstDifference(out.array(Float.self, rows * value), right.out) == nil)
                #expect(firstDifference(state.array(Float.self, rows * 2), right.state) == nil)
            }
        }
    }

    @Test("A widened token stays inside", arguments: Level.available, AttentionTests.CacheKind.allCases)
    func widenToken(level: Level, kind: AttentionTests.CacheKind) {
        var random = Random(34)
        for end in Guarded.End.allCases {
            for (latent, rope) in [(2, 0), (15, 1), (16, 16), (33, 7)] {
                let x = Guarded(floats(latent + rope, .ordinary, &random), against: end)
                let token = Guarded(bytes: ck_cache_token_bytes(kind.rawValue, latent, rope), against: end)
                let y = Guarded(bytes: (latent + rope) * 4, against: end)
                level.kernels.cache_token(token.base, x.base.assumingMemoryBound(to: Float.self), latent, rope, kind.rawValue)
                withExtendedLifetime(token) {
                    level.kernels.widen_token(y.base.assumingMemoryBound(to: Float.self), token.base, latent, rope, kind.rawValue)
                }
                let (written, found) = (x.array(Float.self, latent + rope), y.array(Float.self, latent + rope))
                #expect(zip(written, found).allSatisfy { abs($0 - $1) <= 0x1p-7 })
            }
        }
    }
}
