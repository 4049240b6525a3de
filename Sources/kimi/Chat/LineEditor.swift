import CLineEditing
import Glibc

/// Lines that a person types, with libedit: editing, history, completion, pasted text with line breaks.
final class LineEditor: ChatInput {
    // Safe to keep: made in `init`, ended in `deinit`, used on one thread.
    private let editor: OpaquePointer
    private let keys: KeyReader
    private let signals: ChatSignals
    private let screen: Terminal
    private let style: TextStyle
    private let history: InputHistory?
    /// What Tab offers for a line up to the cursor.
    private let completion: (String) -> Completion
    private var prompt: UnsafeMutablePointer<CChar>?

    private static let start = ">"
    private static let continuation = "."

    /// - Parameter screen: where to draw: the standard output or the error stream.
    /// - Returns: nil if there is no terminal, or libedit cannot use it.
    init?(
        _ signals: ChatSignals, on screen: Terminal, style: TextStyle, history: InputHistory?, completion: @escaping (String) -> Completion
    ) {
        Self.chooseLocale()
        keys = KeyReader(signals)
        guard let editor = cle_editor(screen.descriptor, Self.readCharacter) else { return nil }
        self.editor = editor
        self.signals = signals
        self.screen = screen
        self.style = style
        self.history = history
        self.completion = completion
        // Safe because the editor ends with this object, and calls nobody between two lines.
        cle_set_client_data(editor, Unmanaged.passUnretained(self).toOpaque())
        var drawnWidth = screen.width
        keys.onResize = { [editor, screen] in
            // A line of several rows has been broken anew by the terminal, nobody knows where: it is drawn again below.
            let isShort = Self.typed(editor).map { !$0.contains("\n") && Terminal.columns(of: $0) + 4 < min(screen.width, drawnWidth) } ?? true
            screen.write(isShort ? "\r\u{1B}[K" : "\r\n")
            drawnWidth = screen.width
            el_resize(editor)
            cle_redraw(editor)
        }
        keys.onSuspend = { [editor, screen] takes in
            if !takes { screen.write("\r\n") }
            cle_take_terminal(editor, takes ? 1 : 0)
            if takes { cle_redraw(editor) }
        }
        cle_set_prompt(editor) { editor in LineEditor.of(editor)?.prompt }
        bindKeys()
        if let history { cle_use_history(editor, history.entries) }
    }

    deinit {
        el_end(editor)
        free(prompt)
    }

    /// Characters need a locale that can tell their width; text here is UTF-8 in any case.
    private static func chooseLocale() {
        setlocale(LC_CTYPE, "")
        if String(cString: nl_langinfo(Int32(CODESET))) != "UTF-8" { setlocale(LC_CTYPE, "C.UTF-8") }
    }

    private func bindKeys() {
        cle_add_command(editor, "kimi-paste", "Insert pasted text") { editor, _ in LineEditor.of(editor)?.insertPaste() ?? 0 }
        cle_add_command(editor, "kimi-break", "Insert a line break") { editor, _ in
            el_insertstr(editor, "\n")
            return UInt8(CC_REFRESH)
        }
        cle_add_command(editor, "kimi-complete", "Complete a command") { editor, key in
            LineEditor.of(editor)?.complete(key) ?? 0
        }
        for (keys, command) in [
            ("\u{1B}[200~", "kimi-paste"), ("\u{1B}\r", "kimi-break"), ("\u{1B}\n", "kimi-break"), ("\t", "kimi-complete"),
            ("^R", "em-inc-search-prev"), ("\u{1B}[3~", "ed-delete-next-char"), ("\u{1B}[1~", "ed-move-to-beg"),
            ("\u{1B}[4~", "ed-move-to-end"), ("\u{1B}[H", "ed-move-to-beg"), ("\u{1B}[F", "ed-move-to-end"),
            ("\u{1B}[1;5C", "em-next-word"), ("\u{1B}[1;5D", "ed-prev-word"), ("\u{1B}[1;3C", "em-next-word"),
            ("\u{1B}[1;3D", "ed-prev-word"),
        ] {
            cle_bind(editor, keys, command)
        }
        // What people have set for all programs with this editor.
        el_source(editor, nil)
    }

    // MARK: Lines

    func next() throws(Failure) -> ChatLine {
        var text = ""
        // The space is outside: libedit drops what comes after the last character.
        var prompt = style.strong(Self.start, marked: true) + " "
        while true {
            switch line(prompt) {
            case .text(let line):
                guard line.hasSuffix("\\") else {
                    let whole = text + line
                    remember(whole)
                    return .text(whole)
                }
                text += line.dropLast() + "\n"
                prompt = style.dim(Self.continuation, marked: true) + " "
            case .interrupted(let wasEmpty): return .interrupted(wasEmpty: wasEmpty && text.isEmpty)
            case .end: return .end
            }
        }
    }

    func ask(_ question: String) -> String? {
        if case .text(let answer) = line(question) { return answer }
        return nil
    }

    func remember(_ line: String) {
        let end = line.lastIndex { !$0.isWhitespace }
        if let end { history?.add(String(line[...end])) }
    }

    private func line(_ prompt: String) -> ChatLine {
        free(self.prompt)
        self.prompt = strdup(prompt)
        keys.ending = .none
        // Pasted text comes between marks, so that its line breaks send nothing.
        screen.write("\u{1B}[?2004h")
        defer { screen.write("\u{1B}[?2004l") }
        var count: Int32 = 0
        let line = signals.reading { el_gets(editor, &count) }
        // Safe because libedit keeps the line until the next one is asked for, and ends it with 0.
        let text = line.map { String(cString: $0) } ?? ""
        switch keys.ending {
        case .interrupted: return .interrupted(wasEmpty: text.allSatisfy(\.isWhitespace))
        case .closed: return .end
        case .none:
            guard line != nil else {
                screen.write("\n")
                return .end
            }
            return .text(text.hasSuffix("\n") ? String(text.dropLast()) : text)
        }
    }

    // MARK: Called by libedit

    private static func of(_ editor: OpaquePointer?) -> LineEditor? {
        guard let editor, let pointer = cle_client_data(editor) else { return nil }
        return Unmanaged<LineEditor>.fromOpaque(pointer).takeUnretainedValue()
    }

    private static let readCharacter: @convention(c) (OpaquePointer?, UnsafeMutablePointer<wchar_t>?) -> Int32 = { editor, target in
        guard let character = LineEditor.of(editor)?.keys.character() else { return 0 }
        target?.pointee = wchar_t(bitPattern: character.value)
        return 1
    }

    /// What stands in the line.
    private static func typed(_ editor: OpaquePointer, toCursor: Bool = false) -> String? {
        guard let info = el_line(editor)?.pointee, let begin = info.buffer, let end = toCursor ? info.cursor : info.lastchar else { return nil }
        // Safe because libedit keeps both within one buffer, the end not before the beginning.
        return String(decoding: UnsafeRawBufferPointer(start: begin, count: end - begin), as: UTF8.self)
    }

    private func insertPaste() -> UInt8 {
        let text = keys.paste()
        if !text.isEmpty, el_insertstr(editor, text) != 0 { return UInt8(CC_REFRESH_BEEP) }
        return UInt8(CC_REFRESH)
    }

    private func complete(_ key: Int32) -> UInt8 {
        guard let typed = Self.typed(editor, toCursor: true) else { return UInt8(CC_ERROR) }
        switch completion(typed) {
        case .none: return UInt8(CC_REFRESH_BEEP)
        case .file: return _el_fn_complete(editor, key)
        case .insert(let rest):
            return el_insertstr(editor, rest) == 0 ? UInt8(CC_REFRESH) : UInt8(CC_REFRESH_BEEP)
        case .list(let words):
            screen.write("\n" + words.joined(separator: "  ") + "\n")
            return UInt8(CC_REDISPLAY)
        }
    }
}
