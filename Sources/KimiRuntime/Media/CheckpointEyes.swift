import KimiCore
import KimiModel
import KimiVision

/// The eyes of a checkpoint: its vision tower, and the sizes that its preprocessor file asks for.
package final class CheckpointEyes: MediaReader {
    package let tower: VisionTower
    package let config: MediaConfig
    private let limits = MediaLimits()

    /// - Throws: as `VisionTower`; `mismatch` where the preprocessor makes other patches than the tower takes.
    init(
        _ text: TextModel, _ vision: VisionArithmetic, folder: String, progress: (Int, Int) throws(KimiError) -> Void
    ) throws(KimiError) {
        config = try MediaConfig(folder: folder)
        tower = try VisionTower(text: text, vision, progress: progress)
        let pairs = [
            ("patch_size", config.patchSize, tower.config.patchSize),
            ("merge_kernel_size", config.mergeSize, tower.config.mergeRows),
            ("merge_kernel_size", config.mergeSize, tower.config.mergeColumns),
        ]
        for (name, here, there) in pairs where here != there {
            throw KimiError(
                .mismatch, "\(name) is \(here); the vision tower in config.json has \(there)",
                file: folder + "/preprocessor_config.json", subject: name)
        }
    }

    package func read(_ reference: MediaReference, _ cancellation: Cancellation) throws(KimiError) -> [MediaPiece] {
        try cancellation.check()
        switch reference.kind {
        case .image: return [piece(try Patches(try picture(reference), config: config), timestamp: nil)]
        case .video:
            return try clip(reference, cancellation).chunks.map { piece(Patches($0, config: config), timestamp: $0.timestamp) }
        }
    }

    private func piece(_ patches: Patches, timestamp: String?) -> MediaPiece {
        MediaPiece(digest: patches.digest, tokens: patches.plan.tokens, timestamp: timestamp, pixels: patches)
    }

    private func picture(_ reference: MediaReference) throws(KimiError) -> Picture {
        switch reference.origin {
        case .picture(let picture): return picture
        case .frames(let frames, _):
            guard let first = frames.first else {
                throw KimiError(.invalidArgument, "\(reference.field) has no frames", subject: reference.field)
            }
            return first
        case .text(let text):
            let source = try source(text, reference, limit: limits.encodedBytes)
            return try Picture.decode(source, limits: limits, subject: reference.field)
        case .encoded(let source): return try Picture.decode(source, limits: limits, subject: reference.field)
        }
    }

    private func clip(_ reference: MediaReference, _ cancellation: Cancellation) throws(KimiError) -> Clip {
        let source: MediaSource
        switch reference.origin {
        case .picture(let picture):
            return try Clip(frames: [picture], config: config, limits: limits, subject: reference.field)
        case .frames(let frames, let seconds):
            return try Clip(frames: frames, timestamps: seconds, config: config, limits: limits, subject: reference.field)
        case .text(let text): source = try self.source(text, reference, limit: limits.videoBytes)
        case .encoded(let encoded): source = encoded
        }
        return try Clip.decode(source, config: config, limits: limits, subject: reference.field) { cancellation.isRequested }
    }

    private func source(_ text: String, _ reference: MediaReference, limit: Int) throws(KimiError) -> MediaSource {
        var policy = MediaPolicy()
        policy.allowsFiles = reference.allowsFiles
        guard !MediaSource.isURL(text) else {
            return try MediaSource(url: text, policy: policy, limit: limit, subject: reference.field)
        }
        return try MediaSource(path: text, policy: policy, subject: reference.field)
    }

    package func encode(_ pieces: [MediaPiece], _ cancellation: Cancellation) throws(KimiError) -> [MediaFeatures] {
        var sources: [(source: any PatchSource, digest: MediaDigest)] = []
        for piece in pieces {
            guard let patches = piece.pixels as? Patches else { throw KimiError(.internal, "a picture without its pixels") }
            sources.append((patches, piece.digest))
        }
        return try tower.encode(sources, cancellation: cancellation)
    }
}
