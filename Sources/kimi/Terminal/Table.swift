/// Rows of aligned columns: boxed where a person looks at it, plain where a program reads it.
///
///     var table = Table(["kind", "stored"], right: [1])
///     table.row("attention", "11.5 GiB")
///     table.total("all", "554 GiB")
///     table.print()
struct Table {
    enum Style { case boxed, plain }

    private enum Line {
        case cells([String])
        case rule
    }

    private let titles: [String]
    private let rightAligned: Set<Int>
    private var lines: [Line] = []

    /// - Parameter right: the columns whose cells are numbers.
    init(_ titles: [String], right: Set<Int> = []) {
        self.titles = titles
        rightAligned = right
    }

    /// Adds a row; missing cells are empty, and more than there are titles are dropped.
    mutating func row(_ cells: [String]) {
        let missing = max(0, titles.count - cells.count)
        lines.append(.cells(Array(cells.prefix(titles.count)) + [String](repeating: "", count: missing)))
    }

    mutating func row(_ cells: String...) { row(cells) }

    /// Adds a row below a rule.
    mutating func total(_ cells: [String]) {
        lines.append(.rule)
        row(cells)
    }

    mutating func total(_ cells: String...) { total(cells) }

    /// The table for a device so many columns wide. Columns of text give way; numbers are never cut.
    func rendered(_ style: Style, width: Int) -> String {
        let widths = columnWidths(style, limit: width)
        var result = ""
        switch style {
        case .boxed:
            result += border("╭", "┬", "╮", widths)
            if hasTitles { result += boxed(titles, widths) + border("├", "┼", "┤", widths) }
            for line in lines {
                switch line {
                case .cells(let cells): result += boxed(cells, widths)
                case .rule: result += border("├", "┼", "┤", widths)
                }
            }
            result += border("╰", "┴", "╯", widths)
        case .plain:
            if hasTitles { result += plain(titles, widths) }
            for case .cells(let cells) in lines { result += plain(cells, widths) }
        }
        return result
    }

    /// Writes the table as fits the terminal.
    func print(to terminal: Terminal = .output) {
        guard terminal.isInteractive else {
            terminal.write(rendered(.plain, width: .max))
            return
        }
        let width = terminal.width
        // A frame around what does not fit would be torn; without it more fits.
        let fits = columnWidths(.boxed, limit: width).reduce(frame(.boxed), +) <= width
        terminal.write(rendered(Terminal.showsUnicode && fits ? .boxed : .plain, width: width))
    }

    // MARK: Layout

    private var hasTitles: Bool { !titles.allSatisfy(\.isEmpty) }

    /// The columns that borders and gaps take.
    private func frame(_ style: Style) -> Int {
        style == .boxed ? 3 * titles.count + 1 : 2 * max(0, titles.count - 1)
    }

    private func columnWidths(_ style: Style, limit: Int) -> [Int] {
        var widths = titles.map { Terminal.columns(of: $0) }
        for case .cells(let cells) in lines {
            for (index, cell) in cells.enumerated() { widths[index] = max(widths[index], Terminal.columns(of: cell)) }
        }
        while widths.reduce(frame(style), +) > limit {
            // The widest column of text gives way, down to 8.
            let texts = widths.indices.filter { !rightAligned.contains($0) && widths[$0] > 8 }
            guard let widest = texts.max(by: { widths[$0] < widths[$1] }) else { break }
            widths[widest] -= 1
        }
        return widths
    }

    private func padded(_ text: String, column: Int, _ width: Int) -> String {
        let fitted = rightAligned.contains(column) ? text : Terminal.fitted(text, columns: width)
        let space = String(repeating: " ", count: max(0, width - Terminal.columns(of: fitted)))
        return rightAligned.contains(column) ? space + fitted : fitted + space
    }

    private func boxed(_ cells: [String], _ widths: [Int]) -> String {
        let padded = cells.indices.map { " " + self.padded(cells[$0], column: $0, widths[$0]) + " " }
        return "│" + padded.joined(separator: "│") + "│\n"
    }

    private func plain(_ cells: [String], _ widths: [Int]) -> String {
        var line = cells.indices.map { padded(cells[$0], column: $0, widths[$0]) }.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line + "\n"
    }

    private func border(_ left: String, _ middle: String, _ right: String, _ widths: [Int]) -> String {
        left + widths.map { String(repeating: "─", count: $0 + 2) }.joined(separator: middle) + right + "\n"
    }
}
