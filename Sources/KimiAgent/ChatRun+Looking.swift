import KimiChat
import KimiCore
import KimiModel
import KimiRuntime

/// The media of a step's prompt while they become features, a few at a time.
struct Looking {
    /// Tokens of the prompt that the session holds, and those that follow.
    let held: Int
    let new: [Int32]
    /// The media of the whole prompt, in its places, or only of what is new where the rest was shown before.
    let media: [PlacedMedia]
    /// Where the new ids begin, in the places of `media`.
    let origin: Int
    /// How many of the media are done.
    var done = 0
    var spans: [MediaSpan] = []

    /// Media that are encoded together have so many tokens, or are one.
    static let groupTokens = 1024

    /// The next of them that are not held.
    var group: ArraySlice<PlacedMedia> {
        var end = done, tokens = 0
        while end < media.count, end == done || tokens + media[end].count <= Self.groupTokens {
            tokens += media[end].count
            end += 1
        }
        return media[done..<end]
    }
}

extension ChatRun {
    /// Reports media that the cache holds; makes the next features. Within a call of the session.
    ///
    /// - Returns: true when all are done.
    func look(_ looking: inout Looking) throws(KimiError) -> Bool {
        while looking.done < looking.media.count, looking.media[looking.done].end <= looking.origin {
            looking.done += 1
            reportMedia(looking, looking.media[looking.done - 1], wasThere: true)
        }
        let group = looking.group
        guard !group.isEmpty else { return true }
        let found = try eyes.features(group, chat.session.cancellation)
        for (placed, one) in zip(group, found) {
            let first = max(0, looking.origin - placed.start)
            looking.spans.append(MediaSpan(
                start: max(0, placed.start - looking.origin), features: one.features, rows: first..<placed.count))
            looking.done += 1
            reportMedia(looking, placed, wasThere: one.wasThere)
        }
        let reused = found.count { $0.wasThere }
        chat.session.noteMedia(encoded: found.count - reused, reused: reused)
        return looking.done == looking.media.count
    }

    private func reportMedia(_ looking: Looking, _ placed: PlacedMedia, wasThere: Bool) {
        var event = ChatEvent(.media, step: step)
        event.text = placed.part.path
        event.code = placed.part.kind == .image ? 1 : 2
        event.name = (try? eyes.rooms(placed.part))?[placed.piece].timestamp ?? ""
        (event.done, event.total) = (looking.done, looking.media.count)
        event.usage.media = placed.count
        event.usage.cached = wasThere ? placed.count : 0
        report(event)
    }

    /// Lets go the pixels of all that is part of the conversation: their features are made.
    func forgetPixels(_ media: [PlacedMedia]) throws(KimiError) {
        for placed in media { try eyes.medium(placed.part).forgetPixels() }
    }
}

extension PlacedMedia {
    var end: Int { start + count }
}
