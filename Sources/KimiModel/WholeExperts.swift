import CKimiKernels
import KimiCore
import KimiTopology

// Experts that are not split over all nodes alike, or that come from the files in waves: each has its output [slots, hidden] apart, made where the expert lies, and a last
// job adds them up in rising order, as they are added where all are split. One barrier more; the same bits.

/// What the workers need beyond `ExpertJob`.
struct WholeExpertJob {
    var job: ExpertJob
    /// How many experts are listed for each node.
    let listCounts: UnsafePointer<Int32>
    /// Whether the shared expert is computed in this wave.
    let withShared: Bool
    /// Each slot's output [slots, hidden].
    let output: UnsafeMutablePointer<Float>
    /// The slots of each row's choices [rows, top-k], in rising order of experts.
    let slotOfChoice: UnsafePointer<Int32>
    let perToken: Int
    /// Columns that are added up as one item.
    static let columns = 512
    var columnBlocks: Int { (job.hidden + Self.columns - 1) / Self.columns }
}

extension TextModel {
    func runWholeExperts(_ weights: ExpertWeights, rows: Int, _ active: UnsafeBufferPointer<Int32>) {
        runWave(weights, rows: rows, active, withShared: true)
        sumExperts(weights, rows: rows)
    }

    /// Experts that `store` has been asked for: wave after wave of those that are there.
    func runStreamedExperts(
        _ weights: ExpertWeights, _ store: ExpertStore, rows: Int, _ cancellation: Cancellation
    ) throws(KimiError) {
        do throws(KimiError) {
            var withShared = true
            while let wave = try store.next(cancellation) {
                runWave(weights, rows: rows, wave, withShared: withShared)
                withShared = false
            }
        } catch {
            store.abandon()
            throw error
        }
        sumExperts(weights, rows: rows)
    }

    /// Computes the outputs of some of the active experts, and of the shared one.
    func runWave(_ weights: ExpertWeights, rows: Int, _ experts: UnsafeBufferPointer<Int32>, withShared: Bool) {
        let w = workspace
        assign(experts, weights.experts)
        var job = wholeJob(weights, rows: rows, withShared: withShared)
        for node in 0..<pool.groupCount { w.itemCounts[node] = Int(w.listCounts[node]) * job.job.gateBlocks(of: node) }
        pool.run(expertsGateUp, &job.job, counts: w.itemCounts, grain: 1)
        for node in 0..<pool.groupCount {
            let shared = withShared ? weights.experts.downBounds[node + 1] - weights.experts.downBounds[node] : 0
            w.itemCounts[node] = ExpertBlocks.count(shared) + Int(w.listCounts[node]) * job.job.downBlocks(of: node)
        }
        pool.run(downsApart, &job, counts: w.itemCounts, grain: 1)
    }

    /// Adds up what the waves have computed.
    func sumExperts(_ weights: ExpertWeights, rows: Int) {
        var job = wholeJob(weights, rows: rows, withShared: true)
        pool.run(addOutputs, &job, count: rows * job.columnBlocks, grain: 1)
    }

    private func wholeJob(_ weights: ExpertWeights, rows: Int, withShared: Bool) -> WholeExpertJob {
        let w = workspace
        var job = expertJob(weights, rows: rows)
        job.list = UnsafePointer(w.lists)
        job.listStride = router.experts
        return WholeExpertJob(
            job: job, listCounts: UnsafePointer(w.listCounts), withShared: withShared, output: w.expertOutput,
            slotOfChoice: UnsafePointer(w.slotOfChoice), perToken: router.perToken)
    }

    /// Gives each expert to the nodes that are to compute it: a split one to all, another to the one of its homes that has the
    /// fewest whole ones so far.
    private func assign(_ experts: UnsafeBufferPointer<Int32>, _ table: ExpertTable) {
        let (counts, whole, nodes) = (workspace.listCounts, workspace.wholeCounts, pool.groupCount)
        counts.update(repeating: 0, count: nodes)
        whole.update(repeating: 0, count: nodes)
        func add(_ expert: Int32, to node: Int) {
            workspace.lists[node * router.experts + Int(counts[node])] = expert
            counts[node] += 1
        }
        for expert in experts {
            let homes = table.homes(Int(expert))
            if homes == 0 {
                for node in 0..<nodes { add(expert, to: node) }
                continue
            }
            var best = homes.trailingZeroBitCount
            for node in best + 1..<max(nodes, best + 1) where homes >> UInt64(node) & 1 == 1 && whole[node] < whole[best] {
                best = node
            }
            add(expert, to: best)
            whole[best] += 1
        }
    }
}

/// First the node's blocks of the shared expert, then its experts' downs, block after block.
private func downsApart(_ context: UnsafeMutableRawPointer?, _ node: Int, _ begin: Int, _ end: Int, _ worker: Int) {
    // Safe because `runWave` passes exactly this type and waits for the job; so too below.
    guard let whole = context?.assumingMemoryBound(to: WholeExpertJob.self) else { return }
    let stretch = whole.pointee.job.stretch
    let bounds = whole.pointee.job.experts.downBounds
    let shared = whole.pointee.withShared ? ExpertBlocks.count(bounds[node + 1] - bounds[node]) : 0
    let perExpert = whole.pointee.job.downBlocks(of: node)
    var item = begin
    while item < end {
        if item < shared {
            let from = bounds[node] + item * ExpertBlocks.size
            let to = min(from + stretch, bounds[node + 1], from + (end - item) * ExpertBlocks.size)
            sharedDown(&whole.pointee.job, node, from, to)
            item += ExpertBlocks.count(to - from)
            continue
        }
        let (index, block) = (item - shared).quotientAndRemainder(dividingBy: perExpert)
        let expert = whole.pointee.job.expert(index, of: node)
        let rows = whole.pointee.job.downRows(expert, of: node)
        let from = rows.lowerBound + block * ExpertBlocks.size
        guard from < rows.upperBound else {
            item = shared + (index + 1) * perExpert
            continue
        }
        let to = min(from + stretch, rows.upperBound, from + (end - item) * ExpertBlocks.size)
        let (first, hidden) = (Int(whole.pointee.job.start[expert]), whole.pointee.job.hidden)
        whole.pointee.job.arithmetic.multiply(
            whole.pointee.job.experts.down(expert, on: node),
            whole.pointee.job.inner.from(first, width: whole.pointee.job.width),
            rows: Int(whole.pointee.job.start[expert + 1]) - first, into: whole.pointee.output + first * hidden, yStride: hidden,
            from: from, to: to)
        item += ExpertBlocks.count(to - from)
    }
}

/// Item i is some columns of row i / blocks: delta += weight * expert, experts in rising order, then hidden += delta.
private func addOutputs(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let whole = context?.assumingMemoryBound(to: WholeExpertJob.self) else { return }
    let hidden = whole.pointee.job.hidden
    guard let addScaled = whole.pointee.job.arithmetic.kernels.pointee.add_scaled else { return }
    for item in begin..<end {
        let (row, block) = item.quotientAndRemainder(dividingBy: whole.pointee.columnBlocks)
        let from = block * WholeExpertJob.columns
        let count = min(WholeExpertJob.columns, hidden - from)
        let delta = whole.pointee.job.delta + row * hidden + from
        for choice in row * whole.pointee.perToken..<(row + 1) * whole.pointee.perToken {
            let slot = Int(whole.pointee.slotOfChoice[choice])
            addScaled(delta, whole.pointee.job.slotWeight[slot], whole.pointee.output + slot * hidden + from, count)
        }
        addScaled(whole.pointee.job.residual + row * hidden + from, 1, delta, count)
    }
}
