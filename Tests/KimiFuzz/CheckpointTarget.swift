import Foundation
import KimiCheckpoint
import KimiCore
import KimiTestSupport

/// Fuzzes the reading of checkpoints. A case is right if it opens or ends in a `KimiError`; another error is reported, a trap
/// or a signal ends the process, and the seed and number printed last say which case it was.
///
/// Seeds are checkpoints of a few shapes and the fixture's own headers. Weights are sparse: a case rewrites one small file.
/// What opens is then used: every tensor's first and last byte is read, and the look-ups are asked for the weights of the
/// model that the damaged configuration describes.
final class CheckpointTarget: FuzzTarget {
    enum Part: String, CaseIterable { case headers, config, index }

    private struct Seed {
        let folder: TemporaryFolder
        /// The file that is damaged, and what it holds when it is not.
        let file: String
        let text: [UInt8]
        /// For a weight file: how many bytes of data follow the header.
        let dataLength: Int?
    }

    private let part: Part
    private var seeds: [Seed] = []

    init(_ part: Part) throws {
        self.part = part
        for (shards, change) in Self.shapes {
            var tiny = TinyCheckpoint()
            change(&tiny)
            let folder = try TemporaryFolder()
            try tiny.write(to: folder, shards: shards)
            try addSeed(folder, shards: shards)
        }
        let fixture = try TemporaryFolder()
        try fixture.copyFixture("tiny-kimi")
        try addSeed(fixture, shards: 2)
    }

    private static var shapes: [(Int, (inout TinyCheckpoint) -> Void)] {
        [
            (1, { _ in }),
            (2, { $0.modelType = "kimi_k2"; $0.ropeParameters = true; $0.layers = 2 }),
            (3, { $0.modelType = "deepseek_v3"; $0.queryRank = nil; $0.yarn = false; $0.packed = false; $0.groups = 2 }),
        ]
    }

    private func addSeed(_ folder: TemporaryFolder, shards: Int) throws {
        let file: String
        switch part {
        case .config: file = "config.json"
        case .index:
            guard shards > 1 else { return }
            file = "model.safetensors.index.json"
        case .headers: file = shards > 1 ? SafetensorsWriter.shardName(0, of: shards) : "model.safetensors"
        }
        var text = [UInt8](try Data(contentsOf: folder.url.appending(path: file)))
        var dataLength: Int?
        if part == .headers {
            let length = 8 + text.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            dataLength = text.count - length
            text = Array(text[..<length])
        }
        seeds.append(Seed(folder: folder, file: file, text: text, dataLength: dataLength))
    }

    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws {
        let seed = seeds[number % seeds.count]
        if let dataLength = seed.dataLength {
            let header = damagedShard(seed.text, &mutator)
            try seed.folder.rewrite(seed.file, header, length: header.count + dataLength)
        } else {
            try seed.folder.rewrite(seed.file, mutator.mutate(seed.text))
        }
        do {
            let checkpoint = try Checkpoint(folder: seed.folder.path)
            try use(checkpoint)
            outcome.accepted += 1
        } catch {
            outcome.refuse(error)
        }
    }

    /// A header with damage; mostly its length in front is right again, since wrong lengths are found at once.
    private func damagedShard(_ text: [UInt8], _ mutator: inout Mutator) -> [UInt8] {
        if mutator.below(8) == 0 { return mutator.mutate(text) }
        let header = mutator.mutate(Array(text[8...]))
        return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header
    }

    // MARK: Use

    private func use(_ checkpoint: Checkpoint) throws {
        var sum = 0
        try checkpoint.forEachTensor { _, tensor in
            let bytes = try checkpoint.bytes(of: tensor)
            sum &+= Int(bytes.first ?? 0) &+ Int(bytes.last ?? 0)
        }
        try checkpoint.checkIntact()
        let config = checkpoint.config
        let model = checkpoint.namePrefix + "model."
        _ = try checkpoint.matrix(model + "embed_tokens.weight", rows: config.vocabularySize, columns: config.hiddenSize)
        for layer in 0..<min(config.layerCount, 8) {
            let name = "\(model)layers.\(layer).mlp."
            if config.isDense(layer: layer) {
                _ = try checkpoint.linear(name + "gate_proj", rows: config.intermediateSize, columns: config.hiddenSize)
                continue
            }
            for expert in 0..<min(config.expertCount, 16) {
                _ = try checkpoint.linear(
                    "\(name)experts.\(expert).down_proj", rows: config.hiddenSize, columns: config.moeIntermediateSize)
            }
        }
    }
}
