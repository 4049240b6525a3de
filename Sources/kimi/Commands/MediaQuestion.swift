import Glibc
import KimiAgent
import KimiChat
import KimiCore
import KimiRuntime

/// A picture or a clip as a part of a message, in the chat format.
struct MediaPart {
    enum Kind: String {
        case image = "image_url"
        case video = "video_url"
    }

    let kind: Kind
    /// A path, or a URL that the library accepts.
    let source: String

    private func write(to json: inout JSONWriter) {
        json.object { json in
            json.member("type", kind.rawValue)
            json.object(kind.rawValue) { json in json.member("url", place) }
        }
    }

    /// The content of a message: parts, and then its text, if there is one.
    static func write(_ parts: [MediaPart], _ text: String, as name: String, to json: inout JSONWriter) {
        json.array(name) { json in
            for part in parts { part.write(to: &json) }
            if !text.isEmpty {
                json.object { json in
                    json.member("type", "text")
                    json.member("text", text)
                }
            }
        }
    }

    /// A file's path in a form that no URL has; else what was given, which may be a URL.
    private var place: String { source.hasPrefix("/") || access(source, F_OK) != 0 ? source : "./" + source }
}

/// A question about pictures and clips: one message of a conversation, in the chat format.
struct MediaQuestion {
    let images: [String]
    let videos: [String]
    let text: String

    /// Pictures, then clips, then the text.
    func request() throws(KimiError) -> ChatRequest {
        var json = JSONWriter()
        json.object { json in
            json.array("messages") { json in
                json.object { json in
                    json.member("role", "user")
                    let parts = images.map { MediaPart(kind: .image, source: $0) } + videos.map { MediaPart(kind: .video, source: $0) }
                    MediaPart.write(parts, text, as: "content", to: &json)
                }
            }
        }
        return try ChatRequest(json: Array(json.text.utf8))
    }
}

/// The answer to such a question: streamed to the standard output as it comes, or gathered for JSON.
struct MediaAnswer {
    private let streams: Bool
    private var text = ""
    private var reasoning = ""
    private var media: [(name: String, time: String, tokens: Int, wasThere: Bool)] = []
    private var isInLine = false
    private(set) var finish = "cancelled"

    init(streams: Bool) { self.streams = streams }

    /// Runs the turn to its end. A wish to stop is an ending, not an error.
    mutating func take(_ chat: ChatSession, _ request: ChatRequest, _ options: ChatOptions, _ interrupt: Interrupt) throws(KimiError) {
        let looking = ProgressBar("looking", unit: .share)
        let reading = ProgressBar("reading the prompt", unit: .tokens)
        defer {
            looking.finish()
            reading.finish()
        }
        let run = try ChatRun(chat, request: request, options: options, isPolled: true)
        defer { run.abandon() }
        do throws(KimiError) {
            while !interrupt.isRequested {
                let event = try run.next()
                switch event.kind {
                case .media:
                    looking.update(event.done, of: event.total)
                    media.append((event.text, event.name, event.usage.media, event.usage.cached > 0))
                case .prompt:
                    looking.finish()
                    reading.update(event.done, of: event.total)
                case .reasoning: reasoning += event.text
                case .content:
                    reading.finish()
                    text += event.text
                    guard !streams || emit(event.text) else { return }
                case .notice: Terminal.error.write("kimi: note: \(event.text)\n")
                case .finish:
                    finish = event.finish?.word ?? "stop"
                    return
                default: break
                }
            }
        } catch {
            guard error.status == .cancelled && interrupt.isRequested else { throw error }
        }
    }

    /// False if nobody reads any more.
    private mutating func emit(_ text: String) -> Bool {
        guard let last = text.utf8.last else { return true }
        isInLine = last != 0x0A
        return Terminal.output.write(text)
    }

    /// Ends the line that the text has left open.
    func endLine() { if streams && isInLine { Terminal.output.write("\n") } }

    func json(_ statistics: RunStatistics) -> String {
        var json = JSONWriter()
        json.object { json in
            json.member("text", text)
            if !reasoning.isEmpty { json.member("reasoning", reasoning) }
            json.member("finish_reason", finish)
            json.array("media") { json in
                for one in media {
                    json.object { json in
                        json.member("part", one.name)
                        if !one.time.isEmpty { json.member("time", one.time) }
                        json.member("tokens", one.tokens)
                        json.member("was_cached", one.wasThere)
                    }
                }
            }
            json.object("statistics") { json in statistics.add(to: &json) }
        }
        return json.text
    }
}
