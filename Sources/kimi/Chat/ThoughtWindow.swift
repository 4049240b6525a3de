/// Reasoning on a terminal while it comes: its last rows, dim, which go away at the end.
///
/// All rows are broken here and not by the terminal, so that it is known how many there are to take away.
struct ThoughtWindow {
    private let screen: Terminal
    private let style: TextStyle
    /// Rows shown at most; nil: all of them, and they stay.
    private let limit: Int?
    private let width: Int
    private let margin: String

    private var rows: [String] = [""]
    private var columns = 0
    /// Rows on the screen; the cursor is in the last one.
    private var drawn = 0
    /// The first row that is not on the screen as it is.
    private var changed = 0
    private var isCut = false

    /// - Parameter stays: whether the whole text is to stay on the screen.
    init(_ screen: Terminal, style: TextStyle, stays: Bool) {
        self.screen = screen
        self.style = style
        limit = stays ? nil : max(2, min(10, screen.height - 4))
        margin = Terminal.showsUnicode ? "│ " : "| "
        // The last column stays empty: some terminals wrap there already.
        width = max(10, screen.width - 3)
    }

    mutating func feed(_ text: String) {
        for character in text { add(character) }
        draw()
    }

    private mutating func add(_ character: Character) {
        if character.isNewline {
            begin("")
            return
        }
        let text = character == "\t" ? "    " : String(character)
        let wide = Terminal.columns(of: text)
        if columns + wide > width {
            // A word that does not fit moves down as a whole, if it is not the row's only one.
            let row = rows[rows.count - 1]
            if character != " ", let space = row.lastIndex(of: " "), space > row.startIndex {
                rows[rows.count - 1] = String(row[..<space])
                begin(String(row[row.index(after: space)...]))
            } else {
                begin("")
            }
            if character == " " { return }
        }
        rows[rows.count - 1] += text
        columns += wide
    }

    private mutating func begin(_ row: String) {
        rows.append(row)
        columns = Terminal.columns(of: row)
        guard let limit, rows.count > limit else { return }
        rows.removeFirst()
        isCut = true
        changed = -1
    }

    private mutating func draw() {
        var text = ""
        if changed < 0 {
            text = up(to: 0)
            changed = 0
        } else if drawn > 0 {
            text = "\r"
        }
        for index in changed..<rows.count {
            if index > changed { text += "\n" }
            let row = isCut && index == 0 ? (Terminal.showsUnicode ? "…" : "...") : rows[index]
            text += style.dim(margin + row) + "\u{1B}[K"
        }
        drawn = rows.count
        changed = rows.count - 1
        screen.write(text)
    }

    private func up(to row: Int) -> String {
        let count = drawn - 1 - row
        return "\r" + (count > 0 ? "\u{1B}[\(count)A" : "")
    }

    /// Takes the rows away, if they are not to stay; the cursor is at the beginning of a line then.
    mutating func finish() {
        guard drawn > 0 else { return }
        screen.write(limit == nil ? "\n" : up(to: 0) + "\u{1B}[J")
        drawn = 0
    }
}
