import CKimiKernels
import KimiCore

// Multi-head latent attention in its expanded form: a head's keys and values are made of the cached latents by kv_b, a block of
// tokens at a time, and attended as in plain attention. It takes fewer multiply-adds than the absorbed form where many rows share
// what has been made. All of it is in floats, whatever the cache is kept in.

/// One item: a head of some rows of a run, from its queries to its values in `attended`.
func attendExpanded(_ job: AttentionJob, _ node: Int, _ item: ExpandedItem, worker: Int) {
    let shape = job.shape
    let rows = item.rows
    let scratch = job.plan.expanded.scratch(worker: worker)
    packQueries(job, item, scratch)
    let seen = item.tokens + rows.count - 1
    for start in stride(from: 0, to: seen, by: Int(CK_CACHE_BLOCK)) {
        let count = min(Int(CK_CACHE_BLOCK), seen - start)
        expand(job, node, item, scratch, start: start, count: count)
        var block = ck_expanded_block(
            keys: scratch.expanded, values: scratch.expanded + shape.key, stride: shape.key + shape.value, key: shape.key,
            value: shape.value, start: start, count: count, tokens: item.tokens, rows: rows.count, scale: shape.scoreScale,
            ahead: nil, ahead_bytes: 0)
        if start + count < seen {
            block.ahead = cachedTokens(job, item, start: start + count)
            block.ahead_bytes = job.tokenBytes * min(Int(CK_CACHE_BLOCK), seen - start - count)
        }
        job.kernels.pointee.expanded_attention(scratch.sums, scratch.state, scratch.queries, &block)
    }
    job.kernels.pointee.attention_finish(
        job.attended + (rows.lowerBound * shape.heads + item.head) * shape.value, shape.heads * shape.value, scratch.sums,
        scratch.state, rows.count, shape.value)
}

/// The layer's cached tokens from `start` on, the first of a block.
private func cachedTokens(_ job: AttentionJob, _ item: ExpandedItem, start: Int) -> UnsafeRawPointer? {
    job.rows[item.rows.lowerBound].sequence.blocks[start / Int(CK_CACHE_BLOCK)].map { $0 + job.layerOffset }
}

/// The head's queries as the kernel reads them, the rope part rotated and first, as in the keys.
private func packQueries(_ job: AttentionJob, _ item: ExpandedItem, _ scratch: ExpandedScratch) {
    let shape = job.shape
    let packed = Int(CK_PACKED_ROWS)
    for first in stride(from: 0, to: item.rows.count, by: packed) {
        let count = min(packed, item.rows.count - first)
        for index in 0..<count {
            let row = item.rows.lowerBound + first + index
            let query = job.query + (row * shape.heads + item.head) * shape.key
            let gathered = scratch.gathered + index * shape.key
            job.kernels.pointee.rope(gathered, query + shape.nope, job.angles + row * shape.rope, shape.rope / 2)
            (gathered + shape.rope).update(from: query, count: shape.nope)
        }
        ck_pack_queries(scratch.queries + first * shape.key, scratch.gathered, shape.key, count, shape.key)
    }
}

/// Makes the head's keys and values of the `count` tokens from `start` on: the rotated key that all heads share, then what kv_b
/// makes of the latent.
private func expand(
    _ job: AttentionJob, _ node: Int, _ item: ExpandedItem, _ scratch: ExpandedScratch, start: Int, count: Int
) {
    let shape = job.shape
    let width = shape.key + shape.value
    guard let tokens = cachedTokens(job, item, start: start) else { return }
    let latents: UnsafePointer<Float>
    if job.cacheType == Int32(CK_F32) {
        latents = tokens.assumingMemoryBound(to: Float.self)
    } else {
        for token in 0..<count {
            job.kernels.pointee.widen_token(
                scratch.latents + token * shape.token, tokens + token * job.tokenBytes, shape.latent, shape.rope, job.cacheType)
        }
        latents = UnsafePointer(scratch.latents)
    }
    for token in 0..<count {
        (scratch.expanded + token * width).update(from: latents + token * shape.token + shape.latent, count: shape.rope)
    }
    let made = shape.nope + shape.value
    var kvUp = job.latentUp.part(node).pointee.rows(item.head * made, made)
    job.kernels.pointee.matmul(scratch.expanded + shape.rope, width, latents, shape.token, count, &kvUp, 0, made)
}

/// A worker's memory for one head of some rows.
struct ExpandedScratch {
    /// Queries of some rows, [CK_PACKED_ROWS, rope + nope], on their way to `queries`.
    let gathered: UnsafeMutablePointer<Float>
    /// All queries as the kernel reads them.
    let queries: UnsafeMutablePointer<Float>
    /// What has been summed up, [rows, value], and the softmax's state, [rows, 2].
    let sums: UnsafeMutablePointer<Float>
    let state: UnsafeMutablePointer<Float>
    /// A block's cached tokens as floats, [CK_CACHE_BLOCK, latent + rope].
    let latents: UnsafeMutablePointer<Float>
    /// The same expanded, [CK_CACHE_BLOCK, rope + nope + value].
    let expanded: UnsafeMutablePointer<Float>

    /// Offsets in bytes.
    struct Places {
        let gathered, queries, sums, state, latents, expanded: Int

        init(_ layout: inout ScratchLayout, shape: AttentionShape, rows: Int) {
            let rows = Checked.roundUp(rows, to: Int(CK_PACKED_ROWS))
            gathered = layout.floats(Int(CK_PACKED_ROWS), shape.key)
            queries = layout.floats(rows, shape.key)
            sums = layout.floats(rows, shape.value)
            state = layout.floats(rows, 2)
            latents = layout.floats(Int(CK_CACHE_BLOCK), shape.token)
            expanded = layout.floats(Int(CK_CACHE_BLOCK), shape.key + shape.value)
        }
    }

    init(_ base: UnsafeMutablePointer<Float>, _ places: Places) {
        gathered = base + places.gathered / 4
        queries = base + places.queries / 4
        sums = base + places.sums / 4
        state = base + places.state / 4
        latents = base + places.latents / 4
        expanded = base + places.expanded / 4
    }
}
