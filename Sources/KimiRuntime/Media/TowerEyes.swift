import KimiCore
import KimiModel
import KimiVision

/// A checkpoint's own eyes: what decodes media and makes them as large as the model takes them, and its tower. Any thread.
package final class TowerEyes: MediaReader {
    package let tower: VisionTower
    package let config: MediaConfig
    package let limits: MediaLimits

    /// - Parameter folder: of the checkpoint, which may have a `preprocessor_config.json`.
    /// - Throws: `unsupported` for a checkpoint without a tower, or one whose preprocessing does not fit its tower; `format`; `io`;
    ///   `outOfMemory`.
    package init(_ text: TextModel, folder: String, limits: MediaLimits = MediaLimits()) throws(KimiError) {
        config = try MediaConfig(folder: folder)
        tower = try VisionTower(text: text)
        self.limits = limits
        let file = folder + "/preprocessor_config.json"
        func compare(_ name: String, _ found: Int, _ right: Int) throws(KimiError) {
            guard found == right else {
                throw KimiError(
                    .unsupported, "\(found), but the vision tower of config.json is made for \(right)", file: file, subject: name)
            }
        }
        try compare("patch_size", config.patchSize, tower.config.patchSize)
        try compare("merge_kernel_size", config.mergeSize * config.mergeSize, tower.config.mergeCount)
    }

    // MARK: Reading

    package func read(_ source: MediaReference, _ cancellation: Cancellation) throws(KimiError) -> [MediaPiece] {
        try cancellation.check()
        switch source.kind {
        case .image: return [try piece(of: try picture(source))]
        case .video: return try clip(source, cancellation).chunks.map { (chunk) throws(KimiError) in piece(of: chunk) }
        }
    }

    /// A picture as the prompt has it.
    package func piece(of picture: Picture) throws(KimiError) -> MediaPiece {
        let patches = try Patches(picture, config: config)
        return MediaPiece(digest: patches.digest, tokens: patches.plan.tokens, pixels: patches)
    }

    private func piece(of chunk: ClipChunk) -> MediaPiece {
        MediaPiece(
            digest: chunk.digest, tokens: chunk.plan.tokens, timestamp: chunk.timestamp, pixels: Patches(chunk, config: config))
    }

    private func picture(_ source: MediaReference) throws(KimiError) -> Picture {
        switch source.origin {
        case .picture(let picture): return picture
        case .text(let text):
            let place = try Self.place(text, source, limit: limits.encodedBytes)
            return try Picture.decode(place, limits: limits, subject: source.field)
        case .frames(let frames, _):
            guard let first = frames.first else {
                throw KimiError(.invalidArgument, "no frames; a picture must be here", subject: source.field)
            }
            return first
        }
    }

    private func clip(_ source: MediaReference, _ cancellation: Cancellation) throws(KimiError) -> Clip {
        switch source.origin {
        case .picture(let picture): return try Clip(frames: [picture], config: config, limits: limits, subject: source.field)
        case .frames(let frames, let seconds):
            return try Clip(frames: frames, timestamps: seconds, config: config, limits: limits, subject: source.field)
        case .text(let text):
            let place = try Self.place(text, source, limit: min(limits.videoBytes, 1 << 30))
            return try Clip.decode(place, config: config, limits: limits, subject: source.field) {
                (try? cancellation.check()) == nil
            }
        }
    }

    private static func place(_ text: String, _ source: MediaReference, limit: Int) throws(KimiError) -> MediaSource {
        var policy = MediaPolicy()
        policy.allowsFiles = source.allowsFiles
        return MediaSource.isURL(text)
            ? try MediaSource(url: text, policy: policy, limit: limit, subject: source.field)
            : try MediaSource(path: text, policy: policy, subject: source.field)
    }

    // MARK: Seeing

    package func encode(_ pieces: [MediaPiece], _ cancellation: Cancellation) throws(KimiError) -> [MediaFeatures] {
        var sources: [(source: any PatchSource, digest: MediaDigest)] = []
        for piece in pieces {
            guard let patches = piece.pixels as? Patches else { throw KimiError(.internal, "a picture without its pixels") }
            sources.append((patches, piece.digest))
        }
        return try tower.encode(sources, cancellation: cancellation)
    }
}
