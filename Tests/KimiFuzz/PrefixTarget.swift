import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport

/// Fuzzes the loading of beginnings from a file; half of the cases get a right checksum.
///
/// After a file that loads a prompt that begins so is evaluated, whatever the file says its latents are. One that is refused must leave
/// nothing.
final class PrefixTarget: FuzzTarget {
    private let model: Model
    private let folder: TemporaryFolder
    private var seeds: [[UInt8]] = []
    /// Blocks that are kept at most.
    private static let most = 6

    private static let prompts: [[Int32]] = [
        (0..<150).map { $0 }, (0..<64).map { $0 } + (0..<90).map { 100 + $0 }, (0..<130).map { 7 + $0 },
    ]

    init() throws {
        var options = Model.Options()
        (options.threads, options.contextLimit, options.prefixBytes) = (1, 300, 1 << 30)
        let source = try Model(folder: Fixtures.path("shapes/mixed"), options: options)
        options.prefixBytes = Self.most * source.text.cache.blockBytes
        model = try Model(folder: Fixtures.path("shapes/mixed"), options: options)
        folder = try TemporaryFolder()
        seeds.append(try saved(source))
        for prompt in Self.prompts {
            try Self.evaluate(prompt, on: source)
            seeds.append(try saved(source))
        }
        // With rows of a picture in two blocks.
        let features = try MediaFeatures(
            digest: MediaDigest([1]), tokens: 40, width: source.checkpoint.config.hiddenSize, on: source.text.budget)
        for index in 0..<40 * source.checkpoint.config.hiddenSize { features.rows[index] = Float(index % 7) - 3 }
        try Self.evaluate([Int32](repeating: 9, count: 140), [MediaSpan(start: 50, features: features, rows: nil)], on: source)
        seeds.append(try saved(source))
    }

    private static func evaluate(_ ids: [Int32], _ media: [MediaSpan] = [], on model: Model) throws(KimiError) {
        let session = try Session(model: model)
        try session.call { () throws(KimiError) in
            try ids.withUnsafeBufferPointer { ids in
                Result { () throws(KimiError) in try session.evaluate(ids, media: media) }
            }.get()
        }
    }

    private func saved(_ model: Model) throws -> [UInt8] {
        try model.savePrefixes(to: folder.path + "/saved")
        return [UInt8](try Data(contentsOf: folder.url.appending(path: "saved")))
    }

    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws {
        var bytes = seeds[number % seeds.count]
        if mutator.below(4) == 0 {
            bytes = mutator.mutate(bytes)
        } else {
            // In the header, in what is said of the first block, or of any.
            for _ in 0...mutator.below(2) {
                let place = mutator.pick([mutator.below(26), 26 + mutator.below(70), mutator.below(max(1, bytes.count / 4))])
                bytes.setNumber((4 * place, 4), &mutator)
            }
        }
        if mutator.below(2) == 0 { bytes.seal() }
        try folder.rewrite("prefixes", bytes)
        let before = model.prefixes?.report.blocks
        do {
            try model.loadPrefixes(from: folder.path + "/prefixes")
            outcome.accepted += 1
        } catch {
            outcome.refuse(error)
            if model.prefixes?.report.blocks != before { outcome.wrong.append("a refused file has left something") }
            return
        }
        if model.prefixes?.report.blocks ?? 0 > Self.most { outcome.wrong.append("more blocks than the limit allows") }
        do { try Self.evaluate(Self.prompts[number % 3], on: model) } catch {
            // Latents can be any numbers.
            if error.status != .numeric { outcome.wrong.append("evaluating: \(error)") }
        }
    }
}
