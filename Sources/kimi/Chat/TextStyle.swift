/// How words look on a terminal with colours; elsewhere they look like all others.
struct TextStyle {
    let isOn: Bool

    /// - Parameter terminal: colours are used where a person looks and has not said no (NO_COLOR).
    init(for terminal: Terminal) {
        isOn = terminal.isInteractive && (Terminal.variable("NO_COLOR") ?? "").isEmpty
    }

    /// - Parameter marked: between marks that tell the line editor that these bytes take no columns.
    func dim(_ text: String, marked: Bool = false) -> String { wrapped(text, "\u{1B}[2m", "\u{1B}[22m", marked) }
    func strong(_ text: String, marked: Bool = false) -> String { wrapped(text, "\u{1B}[1m", "\u{1B}[22m", marked) }

    private func wrapped(_ text: String, _ begin: String, _ end: String, _ marked: Bool) -> String {
        guard isOn, !text.isEmpty else { return text }
        let mark = marked ? "\u{1}" : ""
        return mark + begin + mark + text + mark + end + mark
    }
}
