import KimiCore

/// What a host allows media to be, and to be taken from.
package struct MediaPolicy: Sendable, Equatable {
    /// Whether `file:` URLs and paths may be read. Not by default: whoever writes a request could then read the host's files.
    package var allowsFiles = false
    package var limits = MediaLimits()

    package init() {}
}

/// Where an encoded picture or video is. Nothing is ever fetched from elsewhere.
package enum MediaSource: Sendable {
    case bytes(MediaBytes)
    /// A regular file by its path.
    case file(String)

    /// Whether a text is a URL, and not a path.
    package static func isURL(_ text: String) -> Bool { scheme(of: text) != nil }

    /// Reads a `data:` URL, or takes the path out of a `file:` URL where the host allows these.
    ///
    /// - Parameters:
    ///   - limit: the most bytes of the content.
    ///   - subject: the field that had it, for messages.
    /// - Throws: `unsupported` for other schemes, and for `file:` where it is not allowed; `invalidArgument` for what is no URL;
    ///   `format` for data that are not encoded as they say.
    package init(url: String, policy: MediaPolicy, limit: Int, subject: String) throws(KimiError) {
        guard let scheme = Self.scheme(of: url) else {
            throw KimiError(.invalidArgument, "\(Self.shortened(url)) is no URL; a data: URL must be here", subject: subject)
        }
        switch scheme {
        case "data": self = .bytes(try DataURL.decode(url, limit: limit, subject: subject))
        case "file": self = .file(try Self.path(ofFileURL: url, policy: policy, subject: subject))
        case "http", "https":
            throw KimiError(
                .unsupported,
                "\(Self.shortened(url)): nothing is fetched; the host must do that and pass the bytes or a data: URL",
                subject: subject)
        default:
            throw KimiError(
                .unsupported, "URLs of the scheme \(Self.shortened(scheme)) are not read; data: URLs are", subject: subject)
        }
    }

    /// A path that somebody wrote where a URL may be.
    ///
    /// - Throws: `unsupported` where the host does not allow files.
    package init(path: String, policy: MediaPolicy, subject: String) throws(KimiError) {
        guard policy.allowsFiles else { throw Self.noFiles(path, subject) }
        self = .file(path)
    }

    private static func noFiles(_ name: String, _ subject: String) -> KimiError {
        KimiError(
            .unsupported, "\(shortened(name)): files are read only if the host allows it; pass bytes or a data: URL",
            subject: subject)
    }

    /// In small letters; nil where there is none.
    private static func scheme(of text: String) -> String? {
        let head = text.utf8.prefix(64)
        guard let colon = head.firstIndex(of: UInt8(ascii: ":")), let first = head.first, isLetter(first) else { return nil }
        let name = head[..<colon]
        guard name.allSatisfy({ isLetter($0) || (0x30...0x39).contains($0) || "+-.".utf8.contains($0) }) else { return nil }
        return String(decoding: name, as: UTF8.self).lowercased()
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }

    private static func path(ofFileURL url: String, policy: MediaPolicy, subject: String) throws(KimiError) -> String {
        guard policy.allowsFiles else { throw noFiles(url, subject) }
        let rest = url.utf8.dropFirst(5)
        let wrong = KimiError(.invalidArgument, "\(shortened(url)); file:///path, percent-encoded, must be here", subject: subject)
        guard rest.starts(with: "///".utf8), !rest.contains(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }) else {
            throw wrong
        }
        var reader = PercentReader(rest.dropFirst(2))
        var bytes: [UInt8] = []
        while let byte = reader.next() { bytes.append(byte) }
        guard !reader.isMalformed, !bytes.contains(0), let path = String(validating: bytes, as: UTF8.self) else { throw wrong }
        return path
    }

    /// A URL as a message shows it: never a megabyte of it.
    static func shortened(_ text: String) -> String {
        JSONWriter.quoted(text.utf8.count <= 80 ? text : String(text.prefix(60)) + "...")
    }
}

/// Bytes with %XX resolved.
struct PercentReader<Bytes: Sequence<UInt8>> {
    private var iterator: Bytes.Iterator
    /// Whether a % came without two digits behind it.
    private(set) var isMalformed = false
    /// How many bytes were taken.
    private(set) var place = 0

    init(_ bytes: Bytes) { iterator = bytes.makeIterator() }

    mutating func next() -> UInt8? {
        guard let byte = iterator.next() else { return nil }
        place += 1
        guard byte == UInt8(ascii: "%") else { return byte }
        guard let first = iterator.next(), let high = Self.digit(first), let second = iterator.next(), let low = Self.digit(second)
        else {
            isMalformed = true
            return nil
        }
        place += 2
        return high << 4 | low
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
