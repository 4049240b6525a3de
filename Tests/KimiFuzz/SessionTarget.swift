import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport

/// Fuzzes the loading of saved sessions; half of the cases get a right checksum, so that what it guards is reached.
///
/// A file that loads is then used: one token more. One that is refused must leave the session as it was.
final class SessionTarget: FuzzTarget {
    private let model: Model
    private let session: Session
    private let held: [Int32]
    private let folder: TemporaryFolder
    private var seeds: [[UInt8]] = []

    /// Where the fields of the header begin, and their sizes; the ids begin at 72.
    private static let fields = [
        (0, 8), (8, 4), (12, 4), (16, 8), (40, 8), (48, 4), (52, 4), (56, 4), (56, 8), (60, 4), (64, 4), (68, 4),
        (72, 4), (76, 4),
        // Of eight tokens' pictures.
        (104, 4), (108, 4), (112, 8), (144, 4), (148, 4),
    ]

    /// Any features, two rows of a picture each.
    private func picture(_ name: UInt8, rows: Range<Int>? = nil, at start: Int) throws(KimiError) -> MediaSpan {
        let width = model.checkpoint.config.hiddenSize
        let features = try MediaFeatures(digest: MediaDigest([name]), tokens: 2, width: width, on: model.text.budget)
        for index in 0..<2 * width { features.rows[index] = Float(index % 7) - 3 }
        return MediaSpan(start: start, features: features, rows: rows)
    }

    init() throws {
        var options = Model.Options()
        (options.threads, options.contextLimit) = (1, 300)
        model = try Model(folder: Fixtures.path("shapes/mixed"), options: options)
        session = try Session(model: model)
        folder = try TemporaryFolder()
        held = [3, 1, 4]
        for count in [0, 1, 2, 5, 64, 70] {
            try session.reset()
            if count > 0 { try evaluate((0..<count).map { Int32($0 % 200) }) }
            seeds.append(try saved())
            guard count > 0 else { continue }
            try generate()
            seeds.append(try saved())
        }
        // With pictures: alone, beside text and one another, and one that was cut.
        for media in [
            [try picture(1, at: 0)], [try picture(1, at: 1), try picture(2, at: 5)], [try picture(1, at: 2), try picture(1, at: 4)],
            [try picture(1, rows: 0..<1, at: 7)],
        ] {
            try session.reset()
            try evaluate([Int32](repeating: 9, count: 8), media)
            seeds.append(try saved())
        }
        try session.reset()
        try evaluate(held)
    }

    private func evaluate(_ ids: [Int32], _ media: [MediaSpan] = []) throws(KimiError) {
        try session.call { () throws(KimiError) in
            try ids.withUnsafeBufferPointer { ids in
                Result { () throws(KimiError) in try session.evaluate(ids, media: media) }
            }.get()
        }
    }

    private func generate() throws(KimiError) {
        var options = GenerationOptions()
        (options.maxTokens, options.greedy, options.ignoreEnd) = (1, true, true)
        try session.generate([], options: options) { _ in true }
    }

    private func saved() throws -> [UInt8] {
        try session.save(to: folder.path + "/saved")
        return [UInt8](try Data(contentsOf: folder.url.appending(path: "saved")))
    }

    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws {
        var bytes = seeds[number % seeds.count]
        switch mutator.below(4) {
        case 0: bytes = mutator.mutate(bytes)
        case 1: setLatents(&bytes, &mutator)
        default: for _ in 0...mutator.below(2) { bytes.setNumber(mutator.pick(Self.fields), &mutator) }
        }
        if mutator.below(2) == 0 { bytes.seal() }
        try folder.rewrite("session", bytes)
        do {
            try session.load(from: folder.path + "/session")
            outcome.accepted += 1
        } catch {
            outcome.refuse(error, needsFile: error.status != .contextFull)
            if try session.ids() != held { outcome.wrong.append("a refused file has changed the session") }
            return
        }
        let position = session.position
        do {
            // One token more: as a prompt, or generated, for which the last id that was loaded is evaluated once more.
            if mutator.below(2) == 0 { try evaluate([7]) } else { try generate() }
            if session.position != position + 1 { outcome.wrong.append("position \(session.position) after \(position) and one token") }
        } catch {
            // Latents can be any numbers; the last token may be a picture's.
            let isExpected = error.status == .numeric
                || (error.status == .invalidArgument && (position == 0 || error.subject == "position"))
            if !isExpected { outcome.wrong.append("evaluating: \(error)") }
        }
        try session.reset()
        try evaluate(held)
    }

    /// Some words behind the header become numbers that are none, or large ones.
    private func setLatents(_ bytes: inout [UInt8], _ mutator: inout Mutator) {
        for _ in 0...mutator.below(8) {
            let word = mutator.pick([0x7FC0_0000, 0xFF80_0000, 0x7F7F_FFFF, 0x0000_0001, mutator.next()] as [UInt64])
            bytes.set(72 + mutator.below((bytes.count - 72) / 4) * 4, 4, word)
        }
    }
}
