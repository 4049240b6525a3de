import CKimiKernels
import KimiCheckpoint
import KimiModel

/// What the projector reads: the patches of a token side by side, each the mean over the frames of what the tower's last norm made,
/// normed once more.
struct TowerMergeJob {
    let arithmetic: TowerArithmetic
    let config: VisionConfig
    let batch: TowerBatch
    let work: TowerWork
    let finalNorm: TowerNorm
    let mergeNorm: TowerNorm
    /// The first token of the chunk.
    let first: Int
    /// What the product that follows reads.
    let form: TowerArithmetic.Form

    /// merged = one token of the chunk.
    func merge(_ number: Int, worker: Int) {
        let kernels = arithmetic.kernels
        let picture = batch.pictures[batch.picture(of: first + number, by: \.firstToken)]
        let (hidden, width) = (config.hiddenSize, config.mergedSize)
        let grid = picture.grid
        let scratch = work.scratch(worker: worker, config)
        let token = first + number - picture.firstToken
        let (down, across) = token.quotientAndRemainder(dividingBy: grid.columns / config.mergeColumns)
        let merged = work.merged.floats + number * width
        let share = 1 / Float(grid.frames)
        for index in 0..<config.mergeCount {
            let row = down * config.mergeRows + index / config.mergeColumns
            let column = across * config.mergeColumns + index % config.mergeColumns
            let mean = merged + index * hidden
            mean.update(repeating: 0, count: hidden)
            for frame in 0..<grid.frames {
                let patch = (frame * grid.rows + row) * grid.columns + column
                kernels.pointee.layer_norm(
                    scratch.row, work.stream + (picture.firstRow + patch) * hidden, finalNorm.weight, finalNorm.bias, hidden,
                    VisionConfig.normEpsilon)
                kernels.pointee.add_scaled(mean, share, scratch.row, hidden)
            }
            kernels.pointee.layer_norm(mean, mean, mergeNorm.weight, mergeNorm.bias, hidden, config.projectorEpsilon)
        }
        arithmetic.prepare(form, work.merged, row: number, from: merged, begin: 0, end: width)
    }

    /// Copies finished tokens of the chunk to where their pictures want them.
    func deliver(_ count: Int) {
        let width = config.textHiddenSize
        var done = 0
        while done < count {
            let picture = batch.pictures[batch.picture(of: first + done, by: \.firstToken)]
            let token = first + done - picture.firstToken
            let part = min(count - done, picture.features.tokens - token)
            (picture.features.rows + token * width).update(from: work.projected + done * width, count: part * width)
            done += part
        }
    }
}
