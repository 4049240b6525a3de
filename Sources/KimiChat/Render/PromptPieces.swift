import KimiCore
import KimiTokenizer

/// A prompt before it is text or ids: markers, and what stands between them.
///
/// What is between two markers is one text to the tokenizer, however many messages' parts it came from.
struct PromptPieces {
    enum Piece: Equatable {
        case marker(Marker)
        case text(String)
        /// A picture or clip, with the path of the part that it came from.
        case image(path: String)
        case video(path: String)
    }

    private(set) var pieces: [Piece] = []

    mutating func add(_ marker: Marker) { pieces.append(.marker(marker)) }

    mutating func add(_ text: String) {
        if case .text(var before)? = pieces.last {
            // Out of the array first, so that the text is not copied.
            pieces.removeLast()
            before += text
            pieces.append(.text(before))
        } else if !text.isEmpty {
            pieces.append(.text(text))
        }
    }

    mutating func addImage(_ path: String) { pieces.append(.image(path: path)) }
    mutating func addVideo(_ path: String) { pieces.append(.video(path: path)) }

    /// The prompt as the reference prints it. Text that looks like a marker cannot be told from one here.
    var text: String {
        var text = ""
        for piece in pieces {
            switch piece {
            case .marker(let marker): text += marker.rawValue
            case .text(let part): text += part
            case .image:
                for marker in [Marker.mediaBegin, .mediaContent, .mediaPad, .mediaEnd] {
                    text += marker.rawValue
                    if marker == .mediaBegin { text += "image" }
                }
            case .video: text += "<|kimi_k25_video_placeholder|>"
            }
        }
        return text
    }

    /// The prompt's ids. Only markers become special tokens, whatever the texts say.
    ///
    /// - Throws: `unsupported` for pictures and clips, and for markers that the checkpoint lacks.
    func ids(_ tokenizer: Tokenizer, _ tokens: ChatTokens) throws(KimiError) -> [Int32] {
        var ids: [Int32] = []
        for piece in pieces {
            switch piece {
            case .marker(let marker): ids.append(try tokens.require(marker))
            case .text(let text): ids += try tokenizer.encode(text, special: false)
            case .image(let path): throw Self.unsupported(path, "a picture")
            case .video(let path): throw Self.unsupported(path, "a clip")
            }
        }
        return ids
    }

    private static func unsupported(_ path: String, _ kind: String) -> KimiError {
        KimiError(.unsupported, "\(path) is \(kind); this version of the library reads text only", subject: path)
    }
}
