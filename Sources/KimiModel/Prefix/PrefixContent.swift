/// What the tokens of a block of a sequence are, by which others find their block: ids, and which rows of which pictures stand among them.
package struct PrefixContent: Hashable, Sendable {
    /// 64, or fewer of the block that a prompt ended in.
    package let ids: [Int32]
    /// In rising order; their ids are those of placeholders and say nothing.
    package let media: [Piece]

    package init(ids: [Int32], media: [Piece]) { (self.ids, self.media) = (ids, media) }

    /// Whether these are not all tokens of a block; then no block follows it.
    package var isPart: Bool { ids.count < BlockPool.blockTokens }

    /// As many ids from the first on as stand before any picture.
    var plain: ArraySlice<Int32> { ids.prefix(media.first?.place ?? ids.count) }

    package struct Piece: Hashable, Sendable {
        /// The place in the block, and the row of the picture that stands there.
        package let place: Int
        package let row: Int
        package let count: Int
        package let digest: MediaDigest

        package init(place: Int, row: Int, count: Int, digest: MediaDigest) {
            (self.place, self.row, self.count, self.digest) = (place, row, count, digest)
        }
    }
}

/// Tokens that a sequence holds, and those that are to follow.
struct PrefixText {
    let held: UnsafeBufferPointer<Int32>
    let more: UnsafeBufferPointer<Int32>
    /// Of both, places counted from the first token held.
    let media: [MediaMark]

    init(_ sequence: TokenSequence) {
        self.init(held: sequence.tokens, more: UnsafeBufferPointer(start: nil, count: 0), media: sequence.media)
    }

    /// - Parameter spans: pictures among `more`, places counted from its first token; one that begins there may go on with the
    ///   picture that the sequence ends in.
    init(_ sequence: TokenSequence, more: UnsafeBufferPointer<Int32>, spans: [MediaSpan]) {
        let held = sequence.tokens
        var media = sequence.media
        for span in spans {
            if span.rows.lowerBound > 0, let last = media.last, last.end == held.count + span.start, last.digest == span.features.digest {
                media[media.count - 1].count += span.rows.count
            } else {
                media.append(MediaMark(start: held.count + span.start, count: span.rows.count, digest: span.features.digest))
            }
        }
        self.init(held: held, more: more, media: media)
    }

    init(held: UnsafeBufferPointer<Int32>, more: UnsafeBufferPointer<Int32>, media: [MediaMark]) {
        (self.held, self.more, self.media) = (held, more, media)
    }

    var count: Int { held.count + more.count }

    func id(at place: Int) -> Int32 { place < held.count ? held[place] : more[place - held.count] }

    /// The block of this number, which must be there in whole.
    func content(_ block: Int) -> PrefixContent {
        let places = block * BlockPool.blockTokens..<(block + 1) * BlockPool.blockTokens
        var pieces: [PrefixContent.Piece] = []
        for mark in media where mark.start < places.upperBound && mark.end > places.lowerBound {
            let start = max(mark.start, places.lowerBound)
            pieces.append(.init(
                place: start - places.lowerBound, row: start - mark.start, count: min(mark.end, places.upperBound) - start,
                digest: mark.digest))
        }
        return PrefixContent(ids: places.map(id(at:)), media: pieces)
    }

    /// Ids from a block's first token on, up to `end`, a picture or the block's end.
    func plain(_ block: Int, to end: Int) -> [Int32] {
        let start = block * BlockPool.blockTokens
        let stop = media.filter { $0.end > start }.map(\.start).min() ?? end
        let last = min(end, stop, start + BlockPool.blockTokens)
        return start < last ? (start..<last).map(id(at:)) : []
    }
}
