import CKimiKernels
import KimiCheckpoint

/// How a tower multiplies.
package enum TowerPath: String, Sendable {
    case floats, integers, pairs, bf16

    package var words: String {
        switch self {
        case .floats: "floats"
        case .integers: "16-bit integers"
        case .pairs: "pairs of bfloat16 in tiles"
        case .bf16: "bfloat16 in tiles"
        }
    }
}

extension VisionTower {
    /// What the products of its blocks read; others follow the type of their own weights.
    package var path: TowerPath {
        switch form {
        case .floats: .floats
        case .integers: .integers
        case .tiles: halves == 1 ? .bf16 : .pairs
        }
    }

    /// What the processor multiplies and adds for a picture or chunk. With tiles that is more than one for a weight and row: each
    /// half counts, and whole steps; elsewhere it is `multiplyAdds`.
    package func executedMultiplyAdds(of grid: PatchGrid) -> Int {
        let plain = Self.multiplyAdds(of: grid, config)
        guard path == .pairs || path == .bf16 else { return plain.values.reduce(0, &+) }
        let (patches, hidden, inner, merged) = (grid.count, config.hiddenSize, config.intermediateSize, config.mergedSize)
        func product(_ columns: Int, _ rows: Int) -> Int { halves &* Self.steps(columns) &* rows }
        let block = product(hidden, 4 &* hidden) &+ product(hidden, inner) &+ product(inner, hidden)
        let pair = path == .bf16
            ? Self.executedOfHalves(headSize: config.headSize) : Self.executedOfPair(headSize: config.headSize, patches: patches)
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

    /// Outputs, or elements of a value, rounded up to whole tiles.
    private static func tiles(_ columns: Int) -> Int {
        let tile = Int(CK_TILE)
        return (columns + tile - 1) / tile * tile
    }

    /// Of a query and a key as high halves alone; the value has one element more, which makes the total.
    private static func executedOfHalves(headSize: Int) -> Int { steps(headSize) + tiles(headSize + 1) }

    /// Of a query and a key in pairs: high, low and high halves of the one against high, high and low ones of the other; the
    /// weight's high half times both halves of the value, its low half, if it has one, times the high one.
    private static func executedOfPair(headSize: Int, patches: Int) -> Int {
        steps(3 * headSize) + tiles(2 * headSize) + (patches < Int(CK_TILE_AVERAGED) ? tiles(headSize) : 0)
    }
}
