import CKimiKernels
import KimiTopology

// Multi-head latent attention in its absorbed form (DeepSeek-V2 report, section 2.1.2): instead of expanding every cached latent
// to per-head keys and values, the key half of kv_b is folded into the query and the value half is applied to the attended
// latent. The same path serves one decoded token and a chunk of prompt, which is what makes results independent of chunking.

/// What the workers need; the rows' positions and caches come from the batch.
private struct AttentionJob {
    let kernels: UnsafePointer<ck_kernels>
    let rows: UnsafePointer<StepRow>
    let rowCount: Int
    let layer: Int
    let layerOffset: Int
    let cacheType: Int32
    let latentNorm: UnsafePointer<Float>
    let latentUp: ck_matrix
    let query: UnsafePointer<Float>
    let latent: UnsafeMutablePointer<Float>
    let angles: UnsafePointer<Float>
    let attended: UnsafeMutablePointer<Float>
    let scratch: UnsafeMutablePointer<Float>
    let scratchPerWorker: Int
    let headGroup: Int
    let shape: AttentionShape
}

/// The sizes of attention, apart so that a job carries plain numbers only.
struct AttentionShape {
    let heads: Int
    let nope: Int
    let rope: Int
    let value: Int
    let latent: Int
    let scoreScale: Float

    /// Elements of a cached token.
    var token: Int { latent + rope }
}

extension TextModel {
    /// The attention block: reads `normed`, appends each row's latent to its sequence's cache, adds the result to `hidden`.
    func attention(_ weights: AttentionWeights, layer: Int, rows: UnsafePointer<StepRow>, count: Int) {
        let w = workspace
        // Down-projections of query and latent read the same input: one job.
        let latentDown = Product(matrix: weights.latentDown, x: w.normed, y: w.latent)
        if let queryDown = weights.queryDown, let queryNorm = weights.queryNorm {
            multiply(Product(matrix: queryDown, x: w.normed, y: w.queryLatent.floats), latentDown, rows: count)
            normalize(
                w.queryLatent.floats, into: w.queryLatent, weight: queryNorm, integers: weights.queryUp.readsIntegers,
                width: queryDown.rows, epsilon: latentEpsilon, rows: count)
            multiply(Product(matrix: weights.queryUp, x: w.queryLatent, y: w.query), rows: count)
        } else {
            multiply(Product(matrix: weights.queryUp, x: w.normed, y: w.query), latentDown, rows: count)
        }
        var job = AttentionJob(
            kernels: kernels, rows: rows, rowCount: count, layer: layer, layerOffset: layer * cache.layerBytes,
            cacheType: cache.type.kernelType, latentNorm: weights.latentNorm, latentUp: weights.latentUp,
            query: w.query, latent: w.latent, angles: w.angles, attended: w.attended.floats,
            scratch: w.absorbed, scratchPerWorker: w.absorbedPerWorker, headGroup: headGroup, shape: attentionShape)
        // Every row's latent must be in the cache before any row looks back: two jobs.
        pool.run(cacheRows, &job, count: count, grain: 4)
        let groups = (attentionShape.heads + headGroup - 1) / headGroup
        pool.run(attendPieces, &job, count: groups * count, grain: max(1, count / 16))
        if weights.output.readsIntegers { split(w.attended, width: weights.output.columns, rows: count) }
        multiply(Product(matrix: weights.output, x: w.attended, y: w.delta, finish: .add(to: w.hidden)), rows: count)
    }
}

/// Norms the latent, rotates the key, and writes both to the cache, for rows `begin ..< end`.
private func cacheRows(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `attention` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: AttentionJob.self).pointee else { return }
    let shape = job.shape
    for index in begin..<end {
        let latent = job.latent + index * shape.token
        job.kernels.pointee.rms_norm(latent, latent, job.latentNorm, shape.latent, latentEpsilon)
        let key = latent + shape.latent
        rotate(key, into: key, table: job.angles + index * shape.rope, pairs: shape.rope / 2)
        guard let slot = job.rows[index].sequence.slot(position: job.rows[index].position, layer: job.layer) else { continue }
        if job.cacheType == Int32(CK_BF16) {
            job.kernels.pointee.round_bf16(slot.assumingMemoryBound(to: UInt16.self), latent, shape.token)
        } else {
            slot.assumingMemoryBound(to: Float.self).update(from: latent, count: shape.token)
        }
    }
}

/// Item i is row i % rows of head group i / rows: rows inner, so that a group's part of kv_b stays in the core's cache.
private func attendPieces(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `attention` passes exactly this type and waits for the job.
    guard let job = context?.assumingMemoryBound(to: AttentionJob.self).pointee else { return }
    let shape = job.shape
    let queryWidth = shape.nope + shape.rope
    let absorbed = job.scratch + worker * job.scratchPerWorker
    let attendedLatent = absorbed + job.headGroup * shape.token
    for item in begin..<end {
        let row = item % job.rowCount
        let firstHead = item / job.rowCount * job.headGroup
        let heads = min(job.headGroup, shape.heads - firstHead)
        var kvUp = job.latentUp
        for head in 0..<heads {
            let query = job.query + (row * shape.heads + firstHead + head) * queryWidth
            let target = absorbed + head * shape.token
            let firstKeyRow = (firstHead + head) * (shape.nope + shape.value)
            job.kernels.pointee.combine_rows(target, query, &kvUp, firstKeyRow, shape.nope)
            rotate(
                query + shape.nope, into: target + shape.latent, table: job.angles + row * shape.rope,
                pairs: shape.rope / 2)
        }
        var attention = ck_attention(
            blocks: UnsafePointer(job.rows[row].sequence.blocks), layer_offset: job.layerOffset,
            cache_type: job.cacheType, reserved: 0, tokens: job.rows[row].position + 1,
            latent: shape.latent, rope: shape.rope, scale: shape.scoreScale)
        job.kernels.pointee.attention(attendedLatent, absorbed, heads, &attention)
        for head in 0..<heads {
            let firstValueRow = (firstHead + head) * (shape.nope + shape.value) + shape.nope
            var values = job.latentUp.rows(firstValueRow, shape.value)
            job.kernels.pointee.matmul(
                job.attended + (row * shape.heads + firstHead + head) * shape.value, 0,
                attendedLatent + head * shape.latent, 0, 1, &values, 0, shape.value)
        }
    }
}
