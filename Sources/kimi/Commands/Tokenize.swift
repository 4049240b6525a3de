import ArgumentParser
import KimiCore
import KimiTokenizer

/// `kimi tokenize`: text to ids and back.
struct Tokenize: Command {
    static let configuration = CommandConfiguration(
        abstract: "Turn text into token ids, or ids into text.",
        discussion: """
            Needs only the tokenizer's files of the folder. Text comes from the command line or from the standard input.

            Names of special tokens such as <|im_end|> in the text stay ordinary text unless --special is given; that is \
            how text from a user must be treated.

            Examples:
              kimi tokenize /models/Kimi-K2.5 "Hello, world"
              kimi tokenize /models/Kimi-K2.5 --count < book.txt
              kimi tokenize /models/Kimi-K2.5 --special "<|im_user|>user<|im_middle|>Hi<|im_end|>"
              kimi tokenize /models/Kimi-K2.5 --decode 19180 11 2695
            """)

    @Flag(help: "Recognise the names of special tokens in the text.")
    var special = false

    @Flag(help: "Take ids, from the command line or the standard input, and write the text that they stand for.")
    var decode = false

    @Flag(help: "Print only how many tokens there are.")
    var count = false

    @Flag(help: "Print JSON: an object with the ids and the pieces, or the text.")
    var json = false

    @Argument(help: ArgumentHelp("The folder of the checkpoint.", valueName: "dir"))
    var folder: String

    @Argument(help: ArgumentHelp("The text, or with --decode ids; the standard input if there is none.", valueName: "text"))
    var input: [String] = []

    func validate() throws {
        if decode && special { throw ValidationError("--special is for text; --decode takes ids, special ones too") }
        if !decode && input.count > 1 {
            throw ValidationError("\(input.count) texts were given; put the text into one pair of quotes")
        }
    }

    func execute() throws {
        let tokenizer = try Tokenizer(folder: folder)
        if decode { return try writeText(tokenizer) }
        let text = try InputText.bytes(input.first, what: "text to tokenize")
        let ids = try tokenizer.encode(text, special: special)
        if json {
            writeJSON(ids, tokenizer)
        } else if count {
            Terminal.output.write("\(ids.count)\n")
        } else {
            var table = Table(["", "id", "piece"], right: [0, 1])
            for (place, id) in ids.enumerated() {
                table.row("\(place)", "\(id)", Self.shown(tokenizer.piece(id) ?? [], isSpecial: tokenizer.isSpecial(id)))
            }
            table.print()
        }
    }

    // MARK: Decoding

    private func writeText(_ tokenizer: Tokenizer) throws {
        let ids = try ids()
        let bytes = try tokenizer.decode(ids)
        if json {
            var json = JSONWriter()
            json.object { json in
                json.member("count", ids.count)
                json.member("text", String(decoding: bytes, as: UTF8.self))
                if String(validating: bytes, as: UTF8.self) == nil {
                    json.array("bytes") { json in for byte in bytes { json.element(Int(byte)) } }
                }
            }
            Terminal.output.write(json.text + "\n")
        } else if count {
            Terminal.output.write("\(ids.count)\n")
        } else {
            // A pipe gets the bytes as they are, a person a whole line.
            let end = Terminal.output.isInteractive && bytes.last != 0x0A ? [UInt8(0x0A)] : []
            Terminal.output.write(bytes + end)
        }
    }

    private func ids() throws(Failure) -> [Int32] {
        let words = input.isEmpty
            ? String(decoding: try InputText.bytes(nil, what: "ids to decode"), as: UTF8.self)
            : input.joined(separator: " ")
        return try InputText.ids(words)
    }

    // MARK: Ids and pieces

    private func writeJSON(_ ids: [Int32], _ tokenizer: Tokenizer) {
        var json = JSONWriter()
        json.object { json in
            json.member("count", ids.count)
            guard !count else { return }
            json.array("ids") { json in for id in ids { json.element(Int(id)) } }
            // Pieces may cut a character in two: such bytes are written as replacement characters here.
            json.array("pieces") { json in
                for id in ids { json.element(String(decoding: tokenizer.piece(id) ?? [], as: UTF8.self)) }
            }
        }
        Terminal.output.write(json.text + "\n")
    }

    /// A piece with everything visible: quotes around it, control characters and bytes of cut characters as escapes.
    static func shown(_ piece: [UInt8], isSpecial: Bool) -> String {
        guard let text = String(validating: piece, as: UTF8.self) else {
            let digits = piece.map { byte in "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) }
            return "'" + digits.joined() + "'"
        }
        if isSpecial { return text }
        var result = "'"
        for scalar in text.unicodeScalars { result += scalar.escaped(asASCII: false) }
        return result + "'"
    }
}
