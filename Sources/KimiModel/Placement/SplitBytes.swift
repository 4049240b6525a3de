import KimiCheckpoint

/// What each node has of everything that is split, by the rows that the engine gives it.
struct SplitBytes {
    /// For each node, of the matrices of each kind, and of all.
    let kinds: [[WeightKind: Int]]
    let matrixBytes: [Int]
    /// What it reads of them for a token.
    let matrixReads: [Int]
    /// For each matrix that is read: bytes of each node, one after another; a job waits for the one that takes longest.
    let jobs: [[Int]]
    /// Of experts' gates and ups the rows of each node, by phase; of downs, by phase.
    let gateUpRows: [[Int]]
    let downRows: [[Int]]

    init(_ inventory: ModelInventory, _ placement: Placement) {
        let nodes = placement.nodes.indices
        var kinds = [[WeightKind: Int]](repeating: [:], count: nodes.count)
        var all = [Int](repeating: 0, count: nodes.count)
        var reads = all
        var jobs: [[Int]] = []
        for matrix in inventory.matrices {
            let parts = nodes.map { placement.rows(matrix.rows, of: $0, phase: matrix.phase, unit: matrix.unit).count * matrix.rowBytes }
            for k in nodes {
                kinds[k][matrix.kind, default: 0] += parts[k]
                all[k] += parts[k]
                if matrix.isRead { reads[k] += parts[k] }
            }
            if matrix.isRead { jobs.append(parts) }
        }
        self.kinds = kinds
        matrixBytes = all
        matrixReads = reads
        self.jobs = jobs
        gateUpRows = nodes.map { phase in
            nodes.map { placement.rows(inventory.expertWidth, of: $0, phase: phase).count }
        }
        downRows = nodes.map { phase in
            nodes.map { placement.rows(inventory.hiddenSize, of: $0, phase: phase).count }
        }
    }

    /// Bytes of a split expert on node k.
    func bytes(_ expert: ModelInventory.Expert, layer: Int, number: Int, of k: Int) -> Int {
        gateUpRows[number % gateUpRows.count][k] * expert.gateUpRowBytes + downRows[layer % downRows.count][k] * expert.downRowBytes
    }
}
