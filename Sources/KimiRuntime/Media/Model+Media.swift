import KimiCore
import KimiModel
import KimiVision

extension Model {
    /// The eyes of this model.
    ///
    /// - Throws: `unsupported` for a checkpoint without a tower, which says what is missing.
    package func requireEyes() throws(KimiError) -> any MediaReader {
        guard let eyes else { throw VisionTower.blind(checkpoint) }
        return eyes
    }

    /// The sizes that media are given for this model.
    ///
    /// - Throws: as `requireEyes`.
    package func mediaConfig() throws(KimiError) -> MediaConfig {
        _ = try requireEyes()
        return (eyes as? CheckpointEyes)?.config ?? MediaConfig()
    }

    /// Features of pieces that have their pixels, from the cache or the tower.
    package func encode(
        _ pieces: [MediaPiece], _ cancellation: Cancellation = Cancellation()
    ) throws(KimiError) -> [MediaFeatures] {
        let eyes = try requireEyes()
        return try features.features(of: pieces, cancellation) { (missing) throws(KimiError) in
            try eyes.encode(missing, cancellation)
        }.map(\.features)
    }

    /// Opens the eyes of a checkpoint that has them.
    ///
    /// - Parameter progress: bytes of the whole opening done and in all, those of the text model before.
    static func eyes(
        _ text: TextModel, _ vision: VisionArithmetic, folder: String, progress: (Int, Int) throws(KimiError) -> Void
    ) throws(KimiError) -> (any MediaReader)? {
        guard VisionTower.exists(in: text.checkpoint) else { return nil }
        return try CheckpointEyes(text, vision, folder: folder, progress: progress)
    }

    /// What a tower and its pictures are, as members of `vision` in `kimi_model_info`.
    func describeEyes(in json: inout JSONWriter) {
        guard let config = checkpoint.config.vision, eyes != nil else { return json.null("vision") }
        json.object("vision") { json in
            json.member("layers", config.layerCount)
            json.member("width", config.hiddenSize)
            json.member("heads", config.headCount)
            json.member("mlp_width", config.intermediateSize)
            if let own = eyes as? CheckpointEyes {
                let media = own.config
                json.member("patch_size", media.patchSize)
                json.member("token_size", media.tokenSize)
                json.member("patch_limit", media.patchLimit)
                json.member("side_limit", media.sideLimit)
                if let limit = media.frameLimit { json.member("frame_patch_limit", limit) } else { json.null("frame_patch_limit") }
                json.member("sample_fps", media.sampleRate)
                json.member("frames_per_chunk", media.framesPerChunk)
                json.member("weight_bytes", own.tower.weightBytes)
                json.member("arithmetic", own.tower.path.rawValue)
            }
            let report = features.report
            json.object("features") { json in
                json.member("limit", features.capacity)
                json.member("bytes", report.bytes)
                json.member("pictures", report.count)
                json.member("hits", report.hits)
                json.member("encoded", report.encoded)
            }
        }
    }
}
