public import CKimi
import KimiCore
import KimiModel
import KimiRuntime
import KimiVision

@c @implementation public func kimi_media_tokens(
    _ handle: OpaquePointer?, _ width: Int64, _ height: Int64, _ outTokens: UnsafeMutablePointer<Int64>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outTokens?.pointee = 0
        let config = try model(handle).mediaConfig()
        guard let outTokens else { throw KimiError(.invalidArgument, "out_tokens is NULL", subject: "out_tokens") }
        outTokens.pointee = Int64(try config.tokens(width: Int(width), height: Int(height)))
    }
}

@c @implementation public func kimi_video_tokens(
    _ handle: OpaquePointer?, _ seconds: Double, _ rate: Double, _ width: Int64, _ height: Int64,
    _ outTokens: UnsafeMutablePointer<Int64>?, _ outChunks: UnsafeMutablePointer<Int64>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outTokens?.pointee = 0
        outChunks?.pointee = 0
        let config = try model(handle).mediaConfig()
        guard let outTokens else { throw KimiError(.invalidArgument, "out_tokens is NULL", subject: "out_tokens") }
        let found = try config.videoTokens(seconds: seconds, rate: rate, width: Int(width), height: Int(height))
        outTokens.pointee = Int64(found.tokens)
        outChunks?.pointee = Int64(found.chunks)
    }
}

/// Counts and encodes a medium.
private func encode(
    _ model: Model, _ kind: MediaReference.Kind, _ origin: MediaReference.Origin, _ rows: UnsafeMutablePointer<Float>?,
    _ capacity: Int, _ outTokens: UnsafeMutablePointer<Int>?
) throws(KimiError) {
    let eyes = try model.requireEyes()
    guard let outTokens else { throw KimiError(.invalidArgument, "out_tokens is NULL", subject: "out_tokens") }
    guard capacity >= 0 else { throw KimiError(.invalidArgument, "the capacity of rows is beyond any memory", subject: "rows") }
    let reference = MediaReference(kind, origin, allowsFiles: true, field: kind == .image ? "image" : "video")
    let pieces = try eyes.read(reference, Cancellation())
    let tokens = pieces.reduce(0) { $0 + $1.tokens }
    outTokens.pointee = tokens
    guard let rows else {
        guard capacity == 0 else { throw KimiError(.invalidArgument, "rows is NULL", subject: "rows") }
        return
    }
    guard let needed = Checked.product(tokens, model.checkpoint.config.hiddenSize), needed <= capacity else {
        throw KimiError(
            .tooSmall, "rows holds \(capacity) floats; \(tokens) rows of \(model.checkpoint.config.hiddenSize) are needed",
            subject: "rows")
    }
    var target = rows
    for piece in pieces {
        // One after another, so that no more than one has to lie in memory twice.
        for features in try model.encode([piece]) {
            target.update(from: features.rows, count: features.tokens * features.width)
            target += features.tokens * features.width
        }
    }
}

@c @implementation public func kimi_model_encode_image(
    _ handle: OpaquePointer?, _ imageHandle: OpaquePointer?, _ rows: UnsafeMutablePointer<Float>?, _ capacity: Int,
    _ outTokens: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outTokens?.pointee = 0
        let (model, image) = (try model(handle), try image(imageHandle))
        try encode(model, .image, .picture(image.picture), rows, capacity, outTokens)
    }
}

@c @implementation public func kimi_model_encode_video(
    _ handle: OpaquePointer?, _ videoHandle: OpaquePointer?, _ rows: UnsafeMutablePointer<Float>?, _ capacity: Int,
    _ outTokens: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outTokens?.pointee = 0
        let (model, video) = (try model(handle), try video(videoHandle))
        try encode(model, .video, video.origin, rows, capacity, outTokens)
    }
}
