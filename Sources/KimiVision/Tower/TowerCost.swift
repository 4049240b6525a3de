import KimiCheckpoint

/// The parts of an encode that are measured apart.
package enum TowerStage: String, Sendable, CaseIterable {
    /// Pixels to patches, their product, positions.
    case patches
    /// Norm, queries, keys and values, and their rotation.
    case heads
    case attention
    /// Attention's output, and the MLP behind it.
    case mlp
    /// Merging, and the projector.
    case projector
}

/// How long each stage took, and how much there was to do.
package struct TowerTimes: Sendable, Equatable {
    /// Nanoseconds of work, without the waiting for other steps' ends; by `TowerStage`.
    private var nanoseconds = [Int](repeating: 0, count: TowerStage.allCases.count)
    /// Multiply-adds of products and attention.
    package fileprivate(set) var multiplyAdds = 0
    /// Of pictures and chunks.
    package fileprivate(set) var patches = 0

    package init() {}

    package func seconds(_ stage: TowerStage) -> Double {
        TowerStage.allCases.firstIndex(of: stage).map { Double(nanoseconds[$0]) * 1e-9 } ?? 0
    }

    package var seconds: Double { TowerStage.allCases.reduce(0) { $0 + seconds($1) } }

    mutating func add(_ stage: TowerStage, nanoseconds: Int) {
        guard let index = TowerStage.allCases.firstIndex(of: stage) else { return }
        self.nanoseconds[index] &+= nanoseconds
    }

    mutating func add(_ other: TowerTimes) {
        for index in nanoseconds.indices { nanoseconds[index] &+= other.nanoseconds[index] }
        multiplyAdds &+= other.multiplyAdds
        patches &+= other.patches
    }

    mutating func count(_ grid: PatchGrid, _ config: VisionConfig) {
        patches &+= grid.count
        multiplyAdds &+= VisionTower.multiplyAdds(of: grid, config).values.reduce(0, &+)
    }
}

extension VisionTower {
    /// Multiply-adds of a picture or chunk, one for a weight and row, or for an element of a query or value and a patch that is
    /// seen.
    package static func multiplyAdds(of grid: PatchGrid, _ config: VisionConfig) -> [TowerStage: Int] {
        let (patches, layers, hidden) = (grid.count, config.layerCount, config.hiddenSize)
        return [
            .patches: patches &* config.patchElements &* hidden,
            .heads: layers &* patches &* 3 &* hidden &* hidden,
            .attention: layers &* TowerAttention.multiplyAdds(rows: patches, config),
            .mlp: layers &* patches &* hidden &* (hidden &+ 2 &* config.intermediateSize),
            .projector: TowerBatch.tokens(grid, config) &* config.mergedSize &* (config.mergedSize &+ config.textHiddenSize),
        ]
    }

    /// Bytes of work space that encoding one picture or chunk takes, beside its features; nil if that is beyond any memory.
    ///
    /// - Parameter halves: of numbers that products in tiles (AMX) read; 0: it is computed without.
    package static func workBytes(of grid: PatchGrid, _ config: VisionConfig, halves: Int, threads: Int) -> Int? {
        TowerWorkPlaces(
            rows: TowerBatch.padded(grid.count), tokens: TowerBatch.tokens(grid, config), sides: max(grid.rows, grid.columns),
            config, halves: halves, threads: threads
        ).total
    }
}
