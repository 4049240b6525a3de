import KimiCore
import KimiModel
import KimiVision

/// What a request wants the model to see, as it came.
package struct MediaReference: Sendable {
    package enum Kind: Sendable { case image, video }

    package enum Origin: Sendable {
        /// A URL of any scheme, or a path.
        case text(String)
        case picture(Picture)
        /// A file, or the bytes of one, that the host hands over.
        case encoded(MediaSource)
        /// Frames with their seconds from the beginning; without those they are as far apart as the model samples them.
        case frames([Picture], seconds: [Double]?)
    }

    package let kind: Kind
    package let origin: Origin
    /// Whether paths and `file:` URLs may be read.
    package let allowsFiles: Bool
    /// The field of the request that it stands in, for errors.
    package let field: String

    package init(_ kind: Kind, _ origin: Origin, allowsFiles: Bool, field: String) {
        self.kind = kind
        self.origin = origin
        self.allowsFiles = allowsFiles
        self.field = field
    }
}

/// What the tower sees at once, read and measured: a picture, or a chunk of a clip.
package struct MediaPiece: Sendable {
    package let digest: MediaDigest
    /// How many tokens it takes in a prompt, at least 1.
    package let tokens: Int
    /// Where in its clip the chunk begins, as the prompt says it: "00:00:02.000". nil: a picture.
    package let timestamp: String?
    /// Its pixels, in the form of the reader that made it. nil: let go, the medium must be read again.
    package var pixels: (any Sendable)?

    package init(digest: MediaDigest, tokens: Int, timestamp: String? = nil, pixels: any Sendable) {
        self.digest = digest
        self.tokens = tokens
        self.timestamp = timestamp
        self.pixels = pixels
    }
}

/// What makes features of media: decoding, sizes, and the vision tower of a checkpoint. Any thread.
package protocol MediaReader: Sendable {
    /// The pieces of a medium: one for a picture, those of a clip in their order. Nothing is encoded yet.
    ///
    /// - Throws: `invalidArgument`, `unsupported`, `format`, `io`, naming the field; `cancelled`.
    func read(_ source: MediaReference, _ cancellation: Cancellation) throws(KimiError) -> [MediaPiece]

    /// The features of pieces that have their pixels, in the same order.
    ///
    /// - Throws: `outOfMemory`, `cancelled`, `io`.
    func encode(_ pieces: [MediaPiece], _ cancellation: Cancellation) throws(KimiError) -> [MediaFeatures]
}
