import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport

/// A prompt with a picture or clip of the fixtures: features and logits are the reference's.
struct VisionFixture {
    let ids: [Int32]
    /// First token and features of each picture or chunk.
    let media: [MediaSpan]
    let logits: [Float]

    /// Pictures; there is a clip of two chunks besides, "clip".
    static let pictures = ["small", "wide", "tall", "big"]
    static let all = pictures + ["clip"]

    private struct Entry: Decodable {
        let tokens: Int?
        let ids_before: [Int32]?
        let ids_after: [Int32]?
        let chunk_tokens: [Int]?
        let ids: [Int32]?
    }

    static let pad: Int32 = 1557

    init(_ name: String, on model: Model) throws {
        let folder = "tiny-kimi-expected/vision/"
        guard let entry = try Fixtures.decode([String: Entry].self, folder + "vision.json")[name] else {
            throw KimiError(.internal, "no fixture \(name)")
        }
        let rows = try NPY(folder + name + ".projected.npy").floats()
        let width = model.checkpoint.config.hiddenSize
        let counts = entry.chunk_tokens ?? [entry.tokens ?? 0]
        if let ids = entry.ids {
            self.ids = ids
        } else {
            ids = (entry.ids_before ?? []) + [Int32](repeating: Self.pad, count: counts[0]) + (entry.ids_after ?? [])
        }
        var spans: [MediaSpan] = []
        var (place, row) = (0, 0)
        for (index, count) in counts.enumerated() {
            while ids[place] != Self.pad { place += 1 }
            let features = try MediaFeatures(
                digest: Self.digest(name, index), tokens: count, width: width, on: model.text.budget)
            for element in 0..<count * width { features.rows[element] = rows[row * width + element] }
            spans.append(MediaSpan(start: place, features: features))
            place += count
            row += count
        }
        media = spans
        logits = try NPY(folder + name + ".logits_last.npy").floats()
    }

    /// Any digest that is another for each name and chunk.
    static func digest(_ name: String, _ chunk: Int = 0) -> MediaDigest { MediaDigest(Array("\(name).\(chunk)".utf8)) }

    var marks: [MediaMark] { media.map { MediaMark(start: $0.start, count: $0.rows.count, digest: $0.features.digest) } }
}

extension Session {
    /// One call that appends a prompt; the logits after the last token.
    @discardableResult
    func evaluate(_ ids: [Int32], media: [MediaSpan]) throws(KimiError) -> [Float] {
        var logits = [Float](repeating: .nan, count: vocabularySize)
        try call { () throws(KimiError) in
            try logits.withUnsafeMutableBufferPointer { target in
                Result { () throws(KimiError) in
                    try ids.withUnsafeBufferPointer { ids in
                        Result { () throws(KimiError) in try evaluate(ids, media: media, into: target.baseAddress) }
                    }.get()
                }
            }.get()
        }
        return logits
    }

    /// What is held of a prompt, as a call of its own.
    func kept(_ ids: [Int32], _ media: [MediaMark]) throws(KimiError) -> Int {
        try call { () throws(KimiError) in keep(prefixOf: ids, media: media) }
    }
}

/// The largest difference of two lists; NaN counts as infinite.
func distance(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).reduce(0) { max($0, ($1.0 - $1.1).isFinite ? abs($1.0 - $1.1) : .infinity) }
}
