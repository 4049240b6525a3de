import KimiCore
import KimiTokenizer

/// A prompt before it is text or ids: markers, and what stands between them.
///
/// What is between two markers is one text to the tokenizer, however many messages' parts it came from.
struct PromptPieces {
    enum Piece: Equatable {
        case marker(Marker)
        case text(String)
        case media(MediaPart)
        /// The place of so many tokens of a picture or chunk.
        case pads(Int, MediaPart, piece: Int)
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

    mutating func add(_ part: MediaPart) { pieces.append(.media(part)) }

    /// The prompt as the reference prints it. Text that looks like a marker cannot be told from one here.
    var text: String {
        var text = ""
        for piece in pieces {
            switch piece {
            case .marker(let marker): text += marker.rawValue
            case .text(let part): text += part
            case .media(let part):
                guard part.kind == .image else {
                    text += "<|kimi_k25_video_placeholder|>"
                    continue
                }
                for marker in [Marker.mediaBegin, .mediaContent, .mediaPad, .mediaEnd] {
                    text += marker.rawValue
                    if marker == .mediaBegin { text += "image" }
                }
            case .pads: text += Marker.mediaPad.rawValue
            }
        }
        return text
    }

    /// The prompt's ids, and where its media stand. Only markers become special tokens, whatever the texts say.
    ///
    /// - Parameter rooms: what a part takes; throws where there are no eyes for it.
    /// - Throws: `unsupported` for markers that the checkpoint lacks; what `rooms` throws.
    func ids(
        _ tokenizer: Tokenizer, _ tokens: ChatTokens, rooms: (MediaPart) throws(KimiError) -> [MediaRoom]
    ) throws(KimiError) -> (ids: [Int32], media: [PlacedMedia]) {
        var ids: [Int32] = []
        var media: [PlacedMedia] = []
        for piece in try expanded(rooms).pieces {
            switch piece {
            case .marker(let marker): ids.append(try tokens.require(marker))
            case .text(let text): ids += try tokenizer.encode(text, special: false)
            case .media: throw KimiError(.internal, "a picture without its room")
            case .pads(let count, let part, let index):
                media.append(PlacedMedia(start: ids.count, count: count, part: part, piece: index))
                ids += [Int32](repeating: try tokens.require(.mediaPad), count: count)
            }
        }
        return (ids, media)
    }

    /// With its media as the markers and places that they are: text around them joins what belongs to them, as it does where the
    /// reference puts them into the text.
    private func expanded(_ rooms: (MediaPart) throws(KimiError) -> [MediaRoom]) throws(KimiError) -> PromptPieces {
        var result = PromptPieces()
        for piece in pieces {
            switch piece {
            case .text(let text): result.add(text)
            case .media(let part):
                for (index, room) in try rooms(part).enumerated() {
                    if let timestamp = room.timestamp { result.add(timestamp) }
                    result.add(.mediaBegin)
                    result.add(part.kind == .image ? "image" : "video")
                    result.add(.mediaContent)
                    result.pieces.append(.pads(room.tokens, part, piece: index))
                    result.add(.mediaEnd)
                }
            case .marker, .pads: result.pieces.append(piece)
            }
        }
        return result
    }
}
