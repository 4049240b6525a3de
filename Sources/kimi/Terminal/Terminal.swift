import Glibc

/// What is known about the device behind a file descriptor.
struct Terminal {
    let descriptor: Int32

    static let output = Terminal(descriptor: STDOUT_FILENO)
    static let error = Terminal(descriptor: STDERR_FILENO)

    /// Whether a person is looking: a terminal that can move its cursor.
    var isInteractive: Bool { isatty(descriptor) == 1 && Self.variable("TERM") != "dumb" }

    /// Columns; 80 where nobody says.
    var width: Int {
        if let columns = size?.ws_col, columns > 0 { return Int(columns) }
        if let columns = Self.variable("COLUMNS").flatMap({ Int($0) }), columns > 0 { return columns }
        return 80
    }

    /// Rows; 24 where nobody says.
    var height: Int { size.map { Int($0.ws_row) }.flatMap { $0 > 0 ? $0 : nil } ?? 24 }

    private var size: winsize? {
        var size = winsize()
        // Safe because TIOCGWINSZ writes one winsize, which `size` is.
        return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 ? size : nil
    }

    /// Whether the locale can show box drawing.
    static var showsUnicode: Bool {
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            guard let value = variable(name), !value.isEmpty else { continue }
            let spelling = value.lowercased()
            return spelling.contains("utf-8") || spelling.contains("utf8")
        }
        return false
    }

    static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Writes all of it, over short writes and interruptions. False if the other side is gone or the device is full.
    @discardableResult
    func write(_ bytes: some Collection<UInt8>) -> Bool {
        let bytes = Array(bytes)
        var done = 0
        while done < bytes.count {
            // Safe because the pointer is used within the closure and the count stays inside the array.
            let written = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
            }
            if written < 0 {
                if errno == EINTR { continue }
                return false
            }
            done += written
        }
        return true
    }

    @discardableResult
    func write(_ text: String) -> Bool { write(text.utf8) }
}

extension Terminal {
    /// The columns that a text takes: two for East Asian wide characters and pictures, none for marks that sit on others.
    static func columns(of text: some StringProtocol) -> Int {
        text.reduce(into: 0) { sum, character in sum += columns(of: character) }
    }

    static func columns(of character: Character) -> Int {
        guard let scalar = character.unicodeScalars.first else { return 0 }
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0: return 0
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F680...0x1F6FF, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
            return 2
        default:
            switch scalar.properties.generalCategory {
            case .nonspacingMark, .enclosingMark, .format: return 0
            default: return 1
            }
        }
    }

    /// The text cut to so many columns, with an ellipsis where something is missing.
    static func fitted(_ text: String, columns limit: Int) -> String {
        guard columns(of: text) > limit else { return text }
        let ellipsis = showsUnicode ? "…" : "~"
        var result = ""
        var used = 0
        for character in text {
            let width = columns(of: character)
            guard used + width <= limit - 1 else { break }
            result.append(character)
            used += width
        }
        return result + (limit > 0 ? ellipsis : "")
    }
}
