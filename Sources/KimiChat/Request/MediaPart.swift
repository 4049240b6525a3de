import KimiCore
import Synchronization

/// A picture or clip of a message, by what it is to be read from.
package final class MediaPart: Sendable, Equatable {
    package enum Kind: Sendable {
        case image, video

        package var words: String { self == .image ? "a picture" : "a clip" }
    }

    package let kind: Kind
    /// A URL of any scheme, or a path; never empty.
    package let source: String
    /// Where the part stood in its request, such as `messages[1].content[0]`, and the field of it that has the source.
    package let path: String
    package let field: String
    /// The part as the request had it.
    package let json: JSON
    /// What a room above has read, and keeps for as long as the conversation has the part.
    package let companion = Mutex<(any Sendable)?>(nil)

    package init(_ kind: Kind, source: String, path: String, field: String, json: JSON) {
        self.kind = kind
        self.source = source
        self.path = path
        self.field = field
        self.json = json
    }

    package static func == (a: MediaPart, b: MediaPart) -> Bool { a.kind == b.kind && a.source == b.source }

    /// Reads a part in one of the forms in use: `{"type": "image_url", "image_url": {"url": ...}}` of chat completions,
    /// `{"type": "input_image", "image_url": ...}` of OpenAI's responses, `{"type": "image", "image": ...}` of processors, the
    /// source also as `url` or `path`; and the same for clips.
    ///
    /// - Parameter ignored: gets the paths of members without meaning here, `detail` among them: sizes are the model's own.
    /// - Throws: `invalidArgument` naming the field.
    init(_ kind: Kind, type: String, _ field: RequestField, ignored: inout IgnoredFields) throws(KimiError) {
        let right = "a data: URL of \(kind.words), or what else the host allows"
        if let file = field.member("file_id") {
            throw file.refused("absent: there are no uploaded files; use a data: URL", .unsupported)
        }
        let names = kind == .image ? ["image_url", "image", "url", "path"] : ["video_url", "video", "input_video", "url", "path"]
        guard let name = ([type] + names).first(where: { names.contains($0) && field.member($0) != nil }),
            let member = field.member(name)
        else { throw KimiError(.invalidArgument, "\(field.path).\(names[0]) is missing; it must be \(right)", subject: field.path) }
        for key in field.value.objectValue?.keys ?? [] where key != "type" && key != name { ignored.add("\(field.path).\(key)") }
        var source = member
        if let object = member.value.objectValue {
            source = try member.required("url", right)
            for key in object.keys where key != "url" { ignored.add("\(member.path).\(key)") }
        }
        let text = try source.text(right)
        guard !text.isEmpty, !text.utf8.contains(0) else { throw source.refused(right) }
        (self.kind, self.source) = (kind, text)
        (path, self.field, json) = (field.path, source.path, field.value)
    }
}

/// The room that a picture or a chunk of a clip takes in a prompt.
package struct MediaRoom: Sendable, Equatable {
    package let tokens: Int
    /// What stands before a chunk, the time at which it begins: "00:00:02.000". nil: a picture.
    package let timestamp: String?

    package init(tokens: Int, timestamp: String? = nil) {
        self.tokens = tokens
        self.timestamp = timestamp
    }
}

/// Where a picture or a chunk stands in a prompt.
package struct PlacedMedia: Sendable, Equatable {
    /// The place of the first of its tokens, and how many they are.
    package let start: Int
    package let count: Int
    package let part: MediaPart
    /// The chunk's number in its clip; 0 for a picture.
    package let piece: Int
}
