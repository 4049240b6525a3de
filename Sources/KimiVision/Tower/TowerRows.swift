import CKimiKernels
import KimiCheckpoint
import KimiModel

// What is done to each row by itself: the jobs of a tower between its products. A job's items are groups of `TowerBatch.unit` rows,
// so that a group belongs to one picture.

/// What such a job needs; a pointer to it goes to the workers.
struct TowerRowJob {
    let arithmetic: TowerArithmetic
    let config: VisionConfig
    let batch: TowerBatch
    let work: TowerWork
    let grid: PositionGrid
    /// The first row of the chunk.
    let first: Int
    /// The norm, if the job has one.
    var norm: TowerNorm?
    /// What the product that follows reads.
    var form = TowerArithmetic.Form.floats

    private var kernels: UnsafePointer<ck_kernels> { arithmetic.kernels }

    /// The chunk's group, as its picture, the first row and its number within the picture.
    private func group(_ number: Int) -> (picture: TowerPicture, row: Int, patch: Int) {
        let row = first + number * TowerBatch.unit
        let picture = batch.pictures[batch.picture(of: row, by: \.firstRow)]
        return (picture, row, row - picture.firstRow)
    }

    // MARK: Patches

    /// patches = the group's pixels, zeros where there is no patch.
    func fill(_ number: Int) {
        let (picture, row, patch) = group(number)
        let width = config.patchElements
        let base = work.patches.floats + (row - first) * width
        let count = min(TowerBatch.unit, picture.rows - patch)
        picture.source.fill(patch..<patch + count, into: base)
        (base + count * width).update(repeating: 0, count: (TowerBatch.unit - count) * width)
        for index in 0..<TowerBatch.unit {
            arithmetic.prepare(form, work.patches, row: row - first + index, from: base + index * width, begin: 0, end: width)
        }
    }

    /// stream += the positions of the group's patches.
    func place(_ number: Int, worker: Int) {
        let (picture, row, patch) = group(number)
        let scratch = work.scratch(worker: worker, config)
        for index in 0..<min(TowerBatch.unit, picture.rows - patch) {
            grid.add(
                to: work.stream + (row + index) * config.hiddenSize, patch: patch + index, of: picture.grid, point: scratch.row,
                line: scratch.otherRow, kernels)
        }
    }

    // MARK: In a block

    /// normed = the norm of the group's rows of the stream, in the form that the next product reads.
    func normalize(_ number: Int, worker: Int) {
        guard let norm else { return }
        let width = config.hiddenSize
        let scratch = work.scratch(worker: worker, config)
        for row in number * TowerBatch.unit..<(number + 1) * TowerBatch.unit {
            let y = form == .floats ? work.normed.floats + row * width : scratch.row
            kernels.pointee.layer_norm(
                y, work.stream + (first + row) * width, norm.weight, norm.bias, width, VisionConfig.normEpsilon)
            arithmetic.prepare(form, work.normed, row: row, from: y, begin: 0, end: width)
        }
    }

    /// heads = what attention reads, made of the group's queries, keys and values.
    func rotate(_ number: Int, worker: Int) {
        let (picture, row, patch) = group(number)
        let (width, size, heads) = (config.hiddenSize, config.headSize, config.headCount)
        let scratch = work.scratch(worker: worker, config)
        let source = work.queryKeyValue + (row - first) * 3 * width
        let count = min(TowerBatch.unit, picture.rows - patch)
        for index in 0..<TowerBatch.unit {
            // A row that is no patch turns like the last one that is.
            grid.angles(patch + min(index, count - 1), of: picture.grid, turns: work.turns, into: scratch.angles)
            let made = source + index * 3 * width
            for head in 0..<2 * heads {
                kernels.pointee.rope(made + head * size, made + head * size, scratch.angles, size / 2)
            }
        }
        for head in 0..<heads { work.heads.store(source + head * size, width: width, picture, head: head, row: patch) }
    }

    /// What the group's rows attended, in the form that the next product reads.
    func prepareAttended(_ number: Int) {
        let width = config.hiddenSize
        for row in number * TowerBatch.unit..<(number + 1) * TowerBatch.unit {
            arithmetic.prepare(form, work.normed, row: row, from: work.attended + (first + row) * width, begin: 0, end: width)
        }
    }
}
