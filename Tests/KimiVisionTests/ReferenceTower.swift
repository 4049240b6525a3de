import Foundation
import KimiCheckpoint
import KimiVision

/// MoonViT and its projector once more, in double precision, from the published facts: whole score matrices, one number at a time.
struct ReferenceTower {
    typealias Rows = [[Double]]
    let checkpoint: Checkpoint
    let config: VisionConfig

    struct Missing: Error { let name: String }

    init(_ checkpoint: Checkpoint) throws {
        guard let config = checkpoint.config.vision else { throw Missing(name: "vision_config") }
        (self.checkpoint, self.config) = (checkpoint, config)
    }

    // MARK: Parts

    func tensor(_ name: String) throws -> [Double] {
        guard let info = checkpoint.tensor(name) else { throw Missing(name: name) }
        var bytes = [UInt8](repeating: 0, count: info.byteCount)
        try bytes.withUnsafeMutableBytes { try checkpoint.read(info, into: $0) }
        return bytes.withUnsafeBytes { raw in
            switch info.dtype {
            case .bf16: raw.bindMemory(to: UInt16.self).map { Double(Float(bitPattern: UInt32($0) << 16)) }
            case .f16: raw.bindMemory(to: UInt16.self).map { Double(Float16(bitPattern: $0)) }
            default: raw.bindMemory(to: Float.self).map { Double($0) }
            }
        }
    }

    func linear(_ x: Rows, _ name: String) throws -> Rows {
        let (weight, bias) = (try tensor(name + ".weight"), try tensor(name + ".bias"))
        return x.map { row in
            bias.indices.map { output in
                row.indices.reduce(bias[output]) { $0 + row[$1] * weight[output * row.count + $1] }
            }
        }
    }

    func norm(_ x: Rows, _ name: String, epsilon: Double = 1e-5) throws -> Rows {
        let (weight, bias) = (try tensor(name + ".weight"), try tensor(name + ".bias"))
        return x.map { row in
            let mean = row.reduce(0, +) / Double(row.count)
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
            return row.indices.map { (row[$0] - mean) / (variance + epsilon).squareRoot() * weight[$0] + bias[$0] }
        }
    }

    static func add(_ a: Rows, _ b: Rows) -> Rows { zip(a, b).map { zip($0, $1).map { $0 + $1 } } }

    // MARK: The tower

    /// - Parameter patches: [frames * rows * columns, 3 * side * side], frame by frame, row by row.
    func encode(_ patches: [Float], _ grid: PatchGrid) throws -> [Float] {
        let width = config.patchElements
        var x: Rows = (0..<grid.count).map { patch in patches[patch * width..<(patch + 1) * width].map { Double($0) } }
        x = Self.add(try linear(x, "vision_tower.patch_embed.proj"), try positions(grid))
        for layer in 0..<config.layerCount {
            let name = "vision_tower.encoder.blocks.\(layer)."
            let made = try linear(norm(x, name + "norm0"), name + "wqkv")
            x = Self.add(x, try linear(attention(made, grid), name + "wo"))
            let inner = try linear(norm(x, name + "norm1"), name + "mlp.fc0").map { row in
                row.map { 0.5 * $0 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }
            }
            x = Self.add(x, try linear(inner, name + "mlp.fc1"))
        }
        return try project(norm(x, "vision_tower.encoder.final_layernorm"), grid)
    }

    private func positions(_ grid: PatchGrid) throws -> Rows {
        let learned = try tensor("vision_tower.patch_embed.pos_emb.weight")
        let (hidden, half) = (config.hiddenSize, config.hiddenSize / 2)
        func weight(_ x: Double) -> Double {
            let (d, a) = (abs(x), -0.75)
            if d <= 1 { return (a + 2) * d * d * d - (a + 3) * d * d + 1 }
            return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0
        }
        return (0..<grid.count).map { patch in
            let (frame, place) = (patch / (grid.rows * grid.columns), patch % (grid.rows * grid.columns))
            let y = (Double(place / grid.columns) + 0.5) * Double(config.positionRows) / Double(grid.rows) - 0.5
            let x = (Double(place % grid.columns) + 0.5) * Double(config.positionColumns) / Double(grid.columns) - 0.5
            var sum = [Double](repeating: 0, count: hidden)
            for row in Int(y.rounded(.down)) - 1...Int(y.rounded(.down)) + 2 {
                for column in Int(x.rounded(.down)) - 1...Int(x.rounded(.down)) + 2 {
                    let from = min(max(row, 0), config.positionRows - 1) * config.positionColumns
                        + min(max(column, 0), config.positionColumns - 1)
                    let share = weight(y - Double(row)) * weight(x - Double(column))
                    for c in 0..<hidden { sum[c] += share * learned[from * hidden + c] }
                }
            }
            guard grid.frames > 1 else { return sum }
            for c in 0..<half {
                let angle = Double(frame) / pow(10_000, Double(c) / Double(half))
                sum[c] += sin(angle)
                sum[half + c] += cos(angle)
            }
            return sum
        }
    }

    private func attention(_ made: Rows, _ grid: PatchGrid) -> Rows {
        let (hidden, size) = (config.hiddenSize, config.headSize)
        func turned(_ row: [Double], _ patch: Int, from: Int) -> [Double] {
            let place = patch % (grid.rows * grid.columns)
            return (0..<size).map { element in
                let pair = element / 2
                let step = Double(pair % 2 == 0 ? place % grid.columns : place / grid.columns)
                let angle = step * pow(10_000, -Double(pair / 2 * 4) / Double(size))
                let (a, b) = (row[from + 2 * pair], row[from + 2 * pair + 1])
                return element % 2 == 0 ? a * cos(angle) - b * sin(angle) : a * sin(angle) + b * cos(angle)
            }
        }
        var result = Rows(repeating: [Double](repeating: 0, count: hidden), count: made.count)
        for head in 0..<config.headCount {
            let queries = made.indices.map { turned(made[$0], $0, from: head * size) }
            let keys = made.indices.map { turned(made[$0], $0, from: hidden + head * size) }
            for (row, query) in queries.enumerated() {
                let scores = keys.map { key in zip(query, key).reduce(0) { $0 + $1.0 * $1.1 } / Double(size).squareRoot() }
                let top = scores.max() ?? 0
                let weights = scores.map { exp($0 - top) }
                let total = weights.reduce(0, +)
                for (other, weight) in weights.enumerated() {
                    for c in 0..<size { result[row][head * size + c] += weight / total * made[other][2 * hidden + head * size + c] }
                }
            }
        }
        return result
    }

    private func project(_ x: Rows, _ grid: PatchGrid) throws -> [Float] {
        var means = Rows()
        for down in 0..<grid.rows / config.mergeRows {
            for across in 0..<grid.columns / config.mergeColumns {
                for row in down * config.mergeRows..<(down + 1) * config.mergeRows {
                    for column in across * config.mergeColumns..<(across + 1) * config.mergeColumns {
                        var mean = [Double](repeating: 0, count: config.hiddenSize)
                        for frame in 0..<grid.frames {
                            let patch = x[(frame * grid.rows + row) * grid.columns + column]
                            for c in mean.indices { mean[c] += patch[c] / Double(grid.frames) }
                        }
                        means.append(mean)
                    }
                }
            }
        }
        let normed = try norm(means, "mm_projector.pre_norm", epsilon: Double(config.projectorEpsilon))
        let merged = stride(from: 0, to: normed.count, by: config.mergeCount).map {
            Array(normed[$0..<$0 + config.mergeCount].joined())
        }
        let inner = try linear(merged, "mm_projector.proj.0").map { $0.map { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) } }
        return try linear(inner, "mm_projector.proj.2").flatMap { $0.map { Float($0) } }
    }
}
