import CKimiKernels
import CKimiSystem
import KimiTopology

// Multi-head latent attention in its absorbed form (DeepSeek-V2 report, section 2.1.2): instead of expanding every cached latent
// to per-head keys and values, the key half of kv_b is folded into the query and the value half is applied to the attended
// latent. On the exact path this form serves one decoded token and a chunk of prompt alike, which is what makes results
// independent of chunking; large chunks of a fast step are attended expanded (ExpandedAttention.swift).

/// What the workers need; the rows' positions and caches come from the batch.
struct AttentionJob {
    let arithmetic: Arithmetic
    let rows: UnsafePointer<StepRow>
    let rowCount: Int
    let layer: Int
    let layerOffset: Int
    let cacheType: Int32
    /// Bytes of a cached token in one layer.
    let tokenBytes: Int
    let latentNorm: Vector
    let latentUp: Matrix
    let query: UnsafePointer<Float>
    let latent: UnsafeMutablePointer<Float>
    let angles: UnsafePointer<Float>
    let attended: UnsafeMutablePointer<Float>
    let shape: AttentionShape
    unowned(unsafe) let plan: AttentionPlan
    /// How many nodes there are, and the node of each worker.
    let nodes: Int
    let nodeOfWorker: UnsafePointer<UInt8>
    /// Rows that share a head's weights in one item of the jobs that go by head.
    let band: Int
    /// A single row that is not split, on one node: its items go on to the values, so that there is a barrier less.
    let isWhole: Bool

    var kernels: UnsafePointer<ck_kernels> { arithmetic.kernels }
    var bands: Int { (rowCount + band - 1) / band }

    /// The heads whose part of kv_b a node has.
    func heads(of node: Int) -> Range<Int> {
        let rows = latentUp.rows(of: node)
        return rows.lowerBound / (shape.nope + shape.value)..<rows.upperBound / (shape.nope + shape.value)
    }
    /// A node's items of the jobs that go by head: none if all rows are expanded.
    func byHead(of node: Int) -> Int { plan.expanded.leavesRows ? heads(of: node).count * bands : 0 }
    /// The items of a node among those that belong to none, `count` in all.
    func share(of count: Int, node: Int) -> Range<Int> { count * node / nodes..<count * (node + 1) / nodes }

    /// Calls `body` with the rows of a band that are not expanded, as ranges.
    func absorbedRows(band index: Int, _ body: (Range<Int>) -> Void) {
        let end = min((index + 1) * band, rowCount)
        var next = index * band
        while let rows = plan.expanded.absorbed(from: next, to: end) {
            body(rows)
            next = rows.upperBound
        }
    }

    /// The absorbed query of a row and head.
    func absorbed(_ row: Int, _ head: Int) -> UnsafeMutablePointer<Float> {
        plan.absorbed + (row * shape.heads + head) * shape.token
    }
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
    /// Elements of a head's query, and of its key where that is expanded.
    var key: Int { nope + rope }
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
                w.queryLatent.floats, into: w.queryLatent, weight: queryNorm, forms: arithmetic.forms(of: weights.queryUp.typeBit),
                width: queryDown.rows, epsilon: latentEpsilon, rows: count)
            multiply(Product(matrix: weights.queryUp, x: w.queryLatent, y: w.query), rows: count)
        } else {
            multiply(Product(matrix: weights.queryUp, x: w.normed, y: w.query), latentDown, rows: count)
        }
        attend(weights, layer: layer, rows: rows, count: count)
        make(arithmetic.forms(of: weights.output.typeBit), of: w.attended, width: weights.output.columns, rows: count)
        multiply(Product(matrix: weights.output, x: w.attended, y: w.delta, finish: .add(to: w.hidden)), rows: count)
    }

    /// From queries and latents to the heads' values: two jobs for a single row of few tokens and for rows that are all expanded,
    /// else three.
    private func attend(_ weights: AttentionWeights, layer: Int, rows: UnsafePointer<StepRow>, count: Int) {
        let w = workspace
        let plan = attentionPlan
        // The same for all layers of the step.
        if layer == 0 { plan.divide(rows, count: count, precision: arithmetic.precision) }
        // Bands of rows where there are fewer heads than would keep all workers busy.
        let shares = max(1, 4 * pool.threads / attentionShape.heads)
        let band = max(8, (count + shares - 1) / shares)
        var job = AttentionJob(
            arithmetic: arithmetic, rows: rows, rowCount: count, layer: layer, layerOffset: layer * cache.layerBytes,
            cacheType: cache.type.kernelType, tokenBytes: cache.tokenBytes, latentNorm: weights.latentNorm,
            latentUp: weights.latentUp, query: w.query, latent: w.latent, angles: w.angles, attended: w.attended.floats,
            shape: attentionShape, plan: plan, nodes: pool.groupCount, nodeOfWorker: pool.groupOfWorker, band: band,
            isWhole: count == 1 && !plan.isSplit && pool.groupCount == 1)
        func run(_ task: cks_node_task, items: (Int) -> Int) {
            for node in 0..<job.nodes { w.itemCounts[node] = items(node) }
            pool.run(task, &job, counts: w.itemCounts, grain: 1)
        }
        // Every row's latent must be in the cache before any row looks back.
        run(absorbAndCache) { job.byHead(of: $0) + job.share(of: (count + cachedRows - 1) / cachedRows, node: $0).count }
        run(attendItems) {
            plan.expanded.itemCount(heads: job.heads(of: $0).count) + job.share(of: plan.itemCount, node: $0).count
        }
        if !job.isWhole { run(applyValues) { job.byHead(of: $0) } }
    }
}

/// Rows whose latents go to the cache in one item.
private let cachedRows = 4

/// Item i is a band of rows of the node's head i / bands, whose queries are absorbed; after those, rows whose latents go to the cache.
private func absorbAndCache(
    _ context: UnsafeMutableRawPointer?, _ node: Int, _ begin: Int, _ end: Int, _ worker: Int
) {
    // Safe because `attend` passes exactly this type and waits for the job; so too below.
    guard let job = context?.assumingMemoryBound(to: AttentionJob.self).pointee else { return }
    let byHead = job.byHead(of: node)
    let heads = job.heads(of: node)
    let norm = job.latentNorm.on(Int(job.nodeOfWorker[worker]))
    let firstCached = job.share(of: (job.rowCount + cachedRows - 1) / cachedRows, node: node).lowerBound
    for item in begin..<end {
        if item < byHead {
            job.absorbedRows(band: item % job.bands) {
                absorb(job, node, head: heads.lowerBound + item / job.bands, rows: $0, worker)
            }
        } else {
            let first = (firstCached + item - byHead) * cachedRows
            for row in first..<min(first + cachedRows, job.rowCount) { cache(job, row: row, norm: norm) }
        }
    }
}

/// Folds the key half of kv_b into the queries of a head and rotates their rope parts.
private func absorb(_ job: AttentionJob, _ node: Int, head: Int, rows: Range<Int>, _ worker: Int) {
    let shape = job.shape
    let queryWidth = shape.nope + shape.rope
    let query = job.query + (rows.lowerBound * shape.heads + head) * queryWidth
    let (absorbed, stride) = (job.absorbed(rows.lowerBound, head), shape.heads * shape.token)
    let (keys, first) = (job.latentUp.part(node), head * (shape.nope + shape.value))
    if let thirds = job.arithmetic.thirds(for: keys.pointee) {
        inThirds(job, thirds, query, stride: shape.heads * queryWidth, width: shape.nope, rows: rows.count, worker) { x, from, count in
            thirds.functions.pointee.combine(
                absorbed + from * stride, stride, x, job.plan.thirdBytes, count, keys, first, shape.nope, thirds.count)
        }
    } else {
        job.kernels.pointee.combine_rows(
            absorbed, stride, query, shape.heads * queryWidth, rows.count, keys, first, shape.nope)
    }
    for row in rows {
        job.kernels.pointee.rope(
            job.absorbed(row, head) + shape.latent, job.query + (row * shape.heads + head) * queryWidth + shape.nope,
            job.angles + row * shape.rope, shape.rope / 2)
    }
    if job.cacheType == Int32(CK_INT8) {
        job.kernels.pointee.query_int8(
            job.absorbed(rows.lowerBound, head), shape.heads * shape.token, rows.count, shape.latent)
    }
}

/// Norms the latent of a row, rotates its key, and writes both to the cache.
private func cache(_ job: AttentionJob, row: Int, norm: UnsafePointer<Float>) {
    let shape = job.shape
    let latent = job.latent + row * shape.token
    job.kernels.pointee.rms_norm(latent, latent, norm, shape.latent, latentEpsilon)
    let key = latent + shape.latent
    job.kernels.pointee.rope(key, key, job.angles + row * shape.rope, shape.rope / 2)
    guard let slot = job.rows[row].sequence.slot(position: job.rows[row].position, layer: job.layer) else { return }
    job.kernels.pointee.cache_token(slot, latent, shape.latent, shape.rope, job.cacheType)
}

/// First the items of expanded rows of the node's heads, which are the longest; then those of a run: its groups of heads, each with all
/// spans or, where spans are shared out, span after span. The latter read no weights.
private func attendItems(
    _ context: UnsafeMutableRawPointer?, _ node: Int, _ begin: Int, _ end: Int, _ worker: Int
) {
    guard let job = context?.assumingMemoryBound(to: AttentionJob.self).pointee else { return }
    let plan = job.plan
    let ownHeads = job.heads(of: node)
    let expanded = plan.expanded.itemCount(heads: ownHeads.count)
    let firstItem = job.share(of: plan.itemCount, node: node).lowerBound
    for number in begin..<end {
        if number < expanded {
            attendExpanded(job, node, plan.expanded.item(number, of: ownHeads), worker: worker)
            continue
        }
        let item = firstItem + number - expanded
        let run = plan.run(item: item)
        let group = (item - run.firstItem) % plan.groups
        let heads = plan.heads(of: group)
        if let firstPart = run.firstPart {
            let span = (item - run.firstItem) / plan.groups
            // Summed up in the worker's scratch, which lies in its core's cache, and then moved.
            let sum = plan.scratch(worker: worker, part: 0)
            attend(job, run, span: span, heads: heads, into: sum)
            let blind = run.blind(to: span * run.span) * heads.count
            sum.from(blind).move(
                to: plan.part(of: run, firstPart, span: span, group: group).from(blind), queries: run.rows * heads.count - blind)
            continue
        }
        let sum = plan.scratch(worker: worker, part: 0)
        attend(job, run, span: 0, heads: heads, into: sum)
        for span in 1..<max(1, run.spans) {
            let part = plan.scratch(worker: worker, part: 1)
            attend(job, run, span: span, heads: heads, into: part)
            let blind = run.blind(to: span * run.span) * heads.count
            fold(job, part.from(blind), into: sum.from(blind), queries: run.rows * heads.count - blind)
        }
        for row in 0..<run.rows {
            let result = sum.from(row * heads.count)
            job.kernels.pointee.attention_finish(
                job.absorbed(run.row + row, heads.lowerBound), job.shape.token, result.out, result.state, heads.count,
                job.shape.latent)
        }
        if job.isWhole { for head in heads { applyValues(job, node, head: head, rows: 0..<1, worker) } }
    }
}

/// One span of some heads of a run. The results of rows that do not see the span are left as they are.
private func attend(_ job: AttentionJob, _ run: QueryRun, span: Int, heads: Range<Int>, into sum: AttentionSum) {
    let shape = job.shape
    let begin = span * run.span
    let blind = run.blind(to: begin)
    let target = sum.from(blind * heads.count)
    var attention = ck_attention(
        blocks: UnsafePointer(job.rows[run.row].sequence.blocks), layer_offset: job.layerOffset, cache_type: job.cacheType,
        scale: shape.scoreScale, tokens: run.tokens + blind, begin: begin, end: begin + run.span, rows: run.rows - blind,
        heads: heads.count, query_stride: shape.heads * shape.token, latent: shape.latent, rope: shape.rope)
    job.kernels.pointee.attention(
        target.out, target.state, job.absorbed(run.row + blind, heads.lowerBound), &attention)
}

private func fold(_ job: AttentionJob, _ part: AttentionSum, into sum: AttentionSum, queries: Int) {
    job.kernels.pointee.attention_fold(sum.out, sum.state, part.out, part.state, queries, job.shape.latent)
}

/// Item i is a band of rows of the node's head i / bands: spans that were shared out are folded, then the value half of kv_b is applied.
private func applyValues(
    _ context: UnsafeMutableRawPointer?, _ node: Int, _ begin: Int, _ end: Int, _ worker: Int
) {
    guard let job = context?.assumingMemoryBound(to: AttentionJob.self).pointee else { return }
    let heads = job.heads(of: node)
    for item in begin..<end {
        let head = heads.lowerBound + item / job.bands
        job.absorbedRows(band: item % job.bands) { rows in
            if job.plan.isSplit { for row in rows { foldSpans(job, row: row, head: head) } }
            applyValues(job, node, head: head, rows: rows, worker)
        }
    }
}

/// Folds and finishes the parts of a query in place of its absorbed query.
private func foldSpans(_ job: AttentionJob, row: Int, head: Int) {
    let plan = job.plan
    let run = plan.run(row: row)
    guard let firstPart = run.firstPart else { return }
    let group = head / plan.width
    let heads = plan.heads(of: group)
    let query = (row - run.row) * heads.count + head - heads.lowerBound
    let sum = plan.part(of: run, firstPart, span: 0, group: group).from(query)
    let seen = run.tokens + row - run.row
    for span in 1..<max(1, (seen + run.span - 1) / run.span) {
        fold(job, plan.part(of: run, firstPart, span: span, group: group).from(query), into: sum, queries: 1)
    }
    job.kernels.pointee.attention_finish(
        job.absorbed(row, head), job.shape.token, sum.out, sum.state, 1, job.shape.latent)
}

/// The values of a head from its attended latents.
private func applyValues(_ job: AttentionJob, _ node: Int, head: Int, rows: Range<Int>, _ worker: Int) {
    let shape = job.shape
    var values = job.latentUp.part(node).pointee.rows(head * (shape.nope + shape.value) + shape.nope, shape.value)
    let (to, toStride) = (job.attended + (rows.lowerBound * shape.heads + head) * shape.value, shape.heads * shape.value)
    let (attended, stride) = (job.absorbed(rows.lowerBound, head), shape.heads * shape.token)
    if let thirds = job.arithmetic.thirds(for: values) {
        inThirds(job, thirds, attended, stride: stride, width: shape.latent, rows: rows.count, worker) { x, from, count in
            thirds.functions.pointee.matmul(
                to + from * toStride, toStride, x, job.plan.thirdBytes, count, &values, 0, shape.value, thirds.count)
        }
    } else {
        job.kernels.pointee.matmul(to, toStride, attended, stride, rows.count, &values, 0, shape.value)
    }
}

/// Writes rows of `width` floats, `stride` apart, as thirds, as many at a time as a worker has room for, and calls `body` with them, the
/// first one's number and how many there are.
@inline(__always)
private func inThirds(
    _ job: AttentionJob, _ thirds: (functions: UnsafePointer<ck_thirds>, count: Int), _ floats: UnsafePointer<Float>, stride: Int,
    width: Int, rows: Int, _ worker: Int, _ body: (UnsafeRawPointer, _ first: Int, _ count: Int) -> Void
) {
    let to = job.plan.thirds(worker: worker)
    for first in Swift.stride(from: 0, to: rows, by: AttentionPlan.thirdRows) {
        let count = min(AttentionPlan.thirdRows, rows - first)
        for row in 0..<count {
            thirds.functions.pointee.write(to + row * job.plan.thirdBytes, floats + (first + row) * stride, 0, width, thirds.count)
        }
        body(to, first, count)
    }
}
