import Foundation
import KimiAgent
import KimiChat
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Synchronization

/// Eyes without a tower: `paint:NAME:TOKENS` is a picture, `film:NAME:TOKENS:CHUNKS` a clip, `fixture:NAME` one of the fixtures
/// with the reference's features. Others are what the name makes of them. Counts what it is asked for.
final class PaintedEyes: MediaReader {
    struct Counts: Sendable, Equatable {
        var reads = 0
        var encoded: [String] = []
        var batches = 0
    }

    let counts = Mutex(Counts())
    let budget = Mutex<MemoryBudget?>(nil)
    /// What a source is taken for; a file that changes, so to say.
    let aliases = Mutex<[String: String]>([:])
    /// Called before each batch.
    let hook = Mutex<(@Sendable () -> Void)?>(nil)

    private static let width = 192

    static func digest(_ name: String) -> MediaDigest { MediaDigest(Array(name.utf8)) }

    func read(_ reference: MediaReference, _ cancellation: Cancellation) throws(KimiError) -> [MediaPiece] {
        counts.withLock { $0.reads += 1 }
        try cancellation.check()
        guard case .text(let source) = reference.origin else {
            if case .picture(let picture) = reference.origin {
                return [MediaPiece(digest: Self.digest("held \(picture.width)"), tokens: picture.width, pixels: "held \(picture.width)")]
            }
            throw KimiError(.unsupported, "frames", subject: reference.field)
        }
        let parts = (aliases.withLock { $0[source] } ?? source).split(separator: ":").map(String.init)
        switch parts.first {
        case "paint":
            return [MediaPiece(digest: Self.digest(parts[1]), tokens: Int(parts[2]) ?? 1, pixels: parts[1])]
        case "film":
            return (0..<(Int(parts[3]) ?? 1)).map { chunk in
                let name = "\(parts[1]).\(chunk)"
                return MediaPiece(digest: Self.digest(name), tokens: Int(parts[2]) ?? 1, timestamp: "00:00:0\(chunk * 2).000", pixels: name)
            }
        case "fixture":
            return [MediaPiece(digest: Self.digest(source), tokens: ["small": 1, "wide": 40, "tall": 60][parts[1]] ?? 1, pixels: source)]
        default:
            throw KimiError(.invalidArgument, "\(reference.field) is not paint", subject: reference.field)
        }
    }

    func encode(_ pieces: [MediaPiece], _ cancellation: Cancellation) throws(KimiError) -> [MediaFeatures] {
        hook.withLock { $0 }?()
        try cancellation.check()
        var made: [MediaFeatures] = []
        guard let budget = budget.withLock({ $0 }) else { throw KimiError(.internal, "no budget") }
        for piece in pieces {
            guard let name = piece.pixels as? String else { throw KimiError(.internal, "a piece without pixels") }
            let features = try MediaFeatures(digest: piece.digest, tokens: piece.tokens, width: Self.width, on: budget)
            try fill(features, name)
            made.append(features)
            counts.withLock { $0.encoded.append(name) }
        }
        counts.withLock { $0.batches += 1 }
        return made
    }

    private func fill(_ features: MediaFeatures, _ name: String) throws(KimiError) {
        let count = features.tokens * Self.width
        if name.hasPrefix("fixture:") {
            let file = "tiny-kimi-expected/vision/\(name.dropFirst(8)).projected.npy"
            guard let rows = try? NPY(file).floats(), rows.count == count else { throw KimiError(.io, "no fixture", file: file) }
            for index in 0..<count { features.rows[index] = rows[index] }
            return
        }
        var random = SplitMix(name.utf8.reduce(1) { $0 &* 31 &+ UInt64($1) })
        for index in 0..<count { features.rows[index] = Float.random(in: -1...1, using: &random) }
    }

    func take() -> Counts {
        counts.withLock { counts in
            defer { counts = Counts() }
            return counts
        }
    }
}

/// The fixture checkpoint with eyes of paint.
struct Seeing {
    let model: Model
    let eyes = PaintedEyes()

    init(featureBytes: Int = 16 << 20, prefixBytes: Int = 0) throws {
        var options = Model.Options()
        (options.threads, options.prefixBytes) = (2, prefixBytes)
        options.eyes = eyes
        options.featureBytes = featureBytes
        options.chunkSize = 48
        model = try Model(folder: Fixtures.path("tiny-kimi"), options: options)
        eyes.budget.withLock { [model] in $0 = model.text.budget }
    }

    func chat(contextLimit: Int? = nil) throws -> ChatSession { ChatSession(try Session(model: model, contextLimit: contextLimit)) }
}

/// A message's part.
func picture(_ url: String) -> String { #"{"type":"image_url","image_url":{"url":"\#(url)"}}"# }
func clip(_ url: String) -> String { #"{"type":"video_url","video_url":{"url":"\#(url)"}}"# }
func words(_ text: String) -> String { #"{"type":"text","text":"\#(text)"}"# }
func says(_ role: String = "user", _ parts: String...) -> String {
    #"{"role":"\#(role)","content":[\#(parts.joined(separator: ","))]}"#
}
func asks(_ messages: String..., tokens: Int = 3, more: String = "") -> String {
    #"{"messages":[\#(messages.joined(separator: ","))],"max_tokens":\#(tokens)\#(more)}"#
}
