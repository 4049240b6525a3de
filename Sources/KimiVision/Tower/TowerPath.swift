import CKimiKernels
import KimiCheckpoint

/// How a tower multiplies.
package enum TowerPath: String, Sendable {
    case floats, integers, pairs

    package var words: String {
        switch self {
        case .floats: "floats"
        case .integers: "16-bit integers"
        case .pairs: "pairs of bfloat16 in tiles"
        }
    }
}

extension VisionTower {
    /// What the products of its blocks read; others follow the type of their own weights.
    package var path: TowerPath {
        switch form {
        case .floats: .floats
        case .integers: .integers
        case .pairs: .pairs
        }
    }

    /// What the processor multiplies and adds for a picture or chunk. With tiles that is more than one for a weight and row: both
    /// halves of a pair count, and whole steps; elsewhere it is `multiplyAdds`.
    package func executedMultiplyAdds(of grid: PatchGrid) -> Int {
        let plain = Self.multiplyAdds(of: grid, config)
        guard path == .pairs else { return plain.values.reduce(0, &+) }
        let (patches, hidden, inner, merged) = (grid.count, config.hiddenSize, config.intermediateSize, config.mergedSize)
        func product(_ columns: Int, _ rows: Int) -> Int { 2 &* Self.steps(columns) &* rows }
        let block = product(hidden, 4 &* hidden) &+ product(hidden, inner) &+ product(inner, hidden)
        let pair = Self.executedOfPair(headSize: config.headSize, patches: patches)
        let attention = patches &* patches &* config.headCount &* pair
        return patches &* product(config.patchElements, hidden)
            &+ config.layerCount &* (patches &* block &+ attention)
            &+ TowerBatch.tokens(grid, config) &* product(merged, merged &+ config.textHiddenSize)
    }

    /// Columns, rounded up to whole steps.
    private static func steps(_ columns: Int) -> Int {
        let step = Int(CK_TILE_STEP)
        return (columns + step - 1) / step * step
    }

    /// Of a query and a key: high, low and high halves of the one against high, high and low ones of the other; the weight's high
    /// half times both halves of the value, its low half, if it has one, times the high one.
    private static func executedOfPair(headSize: Int, patches: Int) -> Int {
        let tile = Int(CK_TILE)
        func tiles(_ columns: Int) -> Int { (columns + tile - 1) / tile * tile }
        return steps(3 * headSize) + tiles(2 * headSize) + (patches < Int(CK_TILE_AVERAGED) ? tiles(headSize) : 0)
    }
}
