import KimiChat
import KimiCore
import KimiModel
import KimiRuntime
import KimiVision
import Synchronization

/// A picture or clip of a conversation: read when its prompt is first made, and kept with its part as long as the conversation has
/// that. Any thread.
final class ChatMedium: Sendable {
    private let source: MediaReference
    /// What was read, once it was.
    private let pieces = Mutex<[MediaPiece]?>(nil)

    init(_ source: MediaReference) { self.source = source }

    /// What it is made of; of no more use for encoding once it was encoded.
    func read(_ eyes: any MediaReader, _ cancellation: Cancellation) throws(KimiError) -> [MediaPiece] {
        if let read = pieces.withLock({ $0 }) { return read }
        let read = try eyes.read(source, cancellation)
        guard !read.isEmpty, read.allSatisfy({ $0.tokens > 0 }) else {
            throw KimiError(.internal, "a medium without tokens", subject: source.field)
        }
        pieces.withLock { $0 = read }
        return read
    }

    /// The same with the pixels of the pieces, read again if they were let go.
    ///
    /// - Throws: `io` if what is read has changed meanwhile: the conversation is about what it was.
    func withPixels(_ eyes: any MediaReader, _ cancellation: Cancellation) throws(KimiError) -> [MediaPiece] {
        let known = try read(eyes, cancellation)
        guard known.contains(where: { $0.pixels == nil }) else { return known }
        let again = try eyes.read(source, cancellation)
        guard again.map(\.digest) == known.map(\.digest) else {
            throw KimiError(
                .io, "\(source.field) is not what it was when the conversation first showed it, and must be encoded again",
                subject: source.field)
        }
        pieces.withLock { $0 = again }
        return again
    }

    /// Lets the pixels go: features took their place.
    func forgetPixels() {
        pieces.withLock { pieces in
            guard var kept = pieces else { return }
            for index in kept.indices { kept[index].pixels = nil }
            pieces = kept
        }
    }
}

extension MediaPart {
    /// A part whose picture or clip the host has handed over.
    ///
    /// - Parameters:
    ///   - url: what stands for it in the conversation's JSON.
    ///   - path: what names it in errors and events.
    package static func held(_ kind: Kind, _ origin: MediaReference.Origin, url: String, path: String) -> MediaPart {
        let name = kind == .image ? "image_url" : "video_url"
        var (reference, json) = (JSONObject(), JSONObject())
        _ = reference.add("url", .string(url))
        _ = json.add("type", .string(name))
        _ = json.add(name, .object(reference))
        let part = MediaPart(kind, source: url, path: path, field: path, json: .object(json))
        part.companion.withLock { $0 = ChatMedium(MediaReference(kind.source, origin, allowsFiles: false, field: path)) }
        return part
    }
}

extension MediaPart.Kind {
    fileprivate var source: MediaReference.Kind { self == .image ? .image : .video }
}

/// What a request may show to a model, and how its parts become media of the conversation. Any thread.
package struct ChatEyes: Sendable {
    private let model: Model
    private let allowsFiles: Bool
    private let held: (@Sendable (String) -> MediaReference.Origin?)?

    /// The most pictures and clips of a conversation.
    package static let mostMedia = 1024
    /// The schemes of what a host holds.
    package static let heldSchemes = ["kimi-image:", "kimi-video:"]

    /// - Parameters:
    ///   - allowsFiles: whether paths and `file:` URLs may be read.
    ///   - held: finds what the host holds under a URL of its own.
    package init(_ model: Model, allowsFiles: Bool, held: (@Sendable (String) -> MediaReference.Origin?)? = nil) {
        (self.model, self.allowsFiles, self.held) = (model, allowsFiles, held)
    }

    /// Looks at the media of messages without reading them; what the host holds is held on to.
    ///
    /// - Throws: `unsupported` for a checkpoint without eyes, `invalidArgument` for too many, or for one that is not held.
    package func admit(_ messages: [ChatMessage]) throws(KimiError) {
        let parts = messages.flatMap(\.media)
        guard let first = parts.first else { return }
        guard model.eyes != nil else {
            throw KimiError(
                .unsupported, "\(first.path) is \(first.kind.words); \(VisionTower.blind(model.checkpoint).message)",
                file: model.checkpoint.folder, subject: first.path)
        }
        guard parts.count <= Self.mostMedia else {
            throw KimiError(
                .invalidArgument, "the conversation has \(parts.count) pictures and clips; at most \(Self.mostMedia) are taken",
                subject: "messages")
        }
        for part in parts { _ = try medium(part) }
    }

    /// What a part of the conversation shows.
    func medium(_ part: MediaPart) throws(KimiError) -> ChatMedium {
        if let known = part.companion.withLock({ $0 }) as? ChatMedium { return known }
        var origin = MediaReference.Origin.text(part.source)
        if let scheme = Self.heldSchemes.first(where: { part.source.hasPrefix($0) }) {
            let (right, handle) = part.kind == .image ? (Self.heldSchemes[0], "kimi_image") : (Self.heldSchemes[1], "kimi_video")
            guard scheme == right, let found = held?(part.source) else {
                throw KimiError(
                    .invalidArgument, "\(part.field) is \"\(part.source.prefix(80))\", which is the URL of no live \(handle)",
                    subject: part.field)
            }
            origin = found
        }
        let made = ChatMedium(MediaReference(part.kind.source, origin, allowsFiles: allowsFiles, field: part.field))
        return part.companion.withLock { companion in
            if let first = companion as? ChatMedium { return first }
            companion = made
            return made
        }
    }

    /// The pieces of a part, which is read if it was not before.
    func pieces(_ part: MediaPart, _ cancellation: Cancellation) throws(KimiError) -> [MediaPiece] {
        try medium(part).read(try eyes(part), cancellation)
    }

    /// What a part takes in a prompt.
    package func rooms(_ part: MediaPart, _ cancellation: Cancellation = Cancellation()) throws(KimiError) -> [MediaRoom] {
        try pieces(part, cancellation).map { MediaRoom(tokens: $0.tokens, timestamp: $0.timestamp) }
    }

    /// Features of pieces of a conversation, from the model's cache or its tower; and whether they were there.
    func features(
        _ placed: ArraySlice<PlacedMedia>, _ cancellation: Cancellation
    ) throws(KimiError) -> [(features: MediaFeatures, wasThere: Bool)] {
        guard let first = placed.first else { return [] }
        let eyes = try eyes(first.part)
        var wanted: [MediaPiece] = []
        var owner: [MediaDigest: PlacedMedia] = [:]
        for one in placed {
            let piece = try pieces(one.part, cancellation)[one.piece]
            wanted.append(piece)
            owner[piece.digest] = one
        }
        return try model.features.features(of: wanted, cancellation) { (missing) throws(KimiError) in
            var ready: [MediaPiece] = []
            for piece in missing {
                guard let one = owner[piece.digest] else { throw KimiError(.internal, "a picture of nobody's") }
                ready.append(try medium(one.part).withPixels(eyes, cancellation)[one.piece])
            }
            return try eyes.encode(ready, cancellation)
        }
    }

    private func eyes(_ part: MediaPart) throws(KimiError) -> any MediaReader {
        guard let eyes = model.eyes else { throw KimiError(.unsupported, "\(part.path) needs a vision tower", subject: part.path) }
        return eyes
    }
}
