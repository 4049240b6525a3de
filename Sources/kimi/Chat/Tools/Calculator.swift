import Glibc

/// A pocket calculator: + - * / % ^ ( ), functions and constants, on double-precision numbers. It runs no code.
enum Calculator {
    struct Fault: Error {
        let message: String
    }

    private static let longest = 2000
    private static let deepest = 100

    private static let functions: [String: @Sendable (Double) -> Double] = [
        "sqrt": { $0.squareRoot() }, "cbrt": cbrt, "abs": { abs($0) }, "exp": exp, "ln": log, "log": log10, "log2": log2, "sin": sin,
        "cos": cos, "tan": tan, "asin": asin, "acos": acos, "atan": atan, "sinh": sinh, "cosh": cosh, "tanh": tanh, "floor": floor,
        "ceil": ceil, "round": { $0.rounded() }, "trunc": trunc, "factorial": { $0 == floor($0) ? tgamma($0 + 1).rounded() : tgamma($0 + 1) },
    ]
    private static let functionsOfTwo: [String: @Sendable (Double, Double) -> Double] = [
        "min": { min($0, $1) }, "max": { max($0, $1) }, "pow": pow, "atan2": atan2, "hypot": hypot, "mod": fmod,
    ]
    private static let constants: [String: Double] = ["pi": .pi, "e": M_E, "tau": 2 * .pi]

    /// The value of an expression, as people write it.
    static func evaluate(_ text: String) throws(Fault) -> String {
        guard text.utf8.count <= longest else { throw Fault(message: "the expression is longer than \(longest) characters") }
        var parser = Parser(text)
        let value = try parser.whole()
        guard value.isFinite else { throw Fault(message: value.isNaN ? "the result is not a real number" : "the result is too large or a division by zero") }
        return words(value)
    }

    /// Whole numbers in full as long as they are exact, others with 15 figures.
    private static func words(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 9_007_199_254_740_992 { return String(Int64(value)) }
        // 15 figures hide what binary fractions cannot say (0.1 + 0.2).
        var buffer = [CChar](repeating: 0, count: 40)
        let written = withVaList([value]) { vsnprintf(&buffer, 40, "%.15g", $0) }
        guard written > 0 else { return "\(value)" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// sum = product {(+|-) product}; product = sign {(*|/|%) sign}; sign = [-|+] sign | power; power = atom [^ sign]
    private struct Parser {
        private let characters: [Character]
        private var place = 0
        private var depth = 0

        init(_ text: String) {
            let spellings: [Character: Character] = ["×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "π": "p"]
            var characters: [Character] = []
            for character in text.replacing("**", with: "^") where !character.isWhitespace {
                if character == "π" { characters += Array("pi") } else { characters.append(spellings[character] ?? character) }
            }
            self.characters = characters
        }

        mutating func whole() throws(Fault) -> Double {
            let value = try sum()
            guard place == characters.count else { throw unexpected() }
            return value
        }

        private var next: Character? { place < characters.count ? characters[place] : nil }

        private mutating func take(_ wanted: Character) -> Bool {
            guard next == wanted else { return false }
            place += 1
            return true
        }

        private func unexpected() -> Fault {
            guard let next else { return Fault(message: "the expression ends too early") }
            return Fault(message: "unexpected \"\(next)\" at place \(place + 1) of \"\(String(characters).prefix(80))\", spaces not counted")
        }

        private mutating func nested(_ body: (inout Parser) throws(Fault) -> Double) throws(Fault) -> Double {
            depth += 1
            guard depth <= Calculator.deepest else { throw Fault(message: "the expression is nested too deeply") }
            let value = try body(&self)
            depth -= 1
            return value
        }

        private mutating func sum() throws(Fault) -> Double {
            try nested { (parser) throws(Fault) in
                var value = try parser.product()
                while true {
                    if parser.take("+") { value += try parser.product() } else if parser.take("-") { value -= try parser.product() } else { return value }
                }
            }
        }

        private mutating func product() throws(Fault) -> Double {
            var value = try sign()
            while true {
                if take("*") { value *= try sign() } else if take("/") { value /= try sign() } else if take("%") {
                    value = fmod(value, try sign())
                } else {
                    return value
                }
            }
        }

        private mutating func sign() throws(Fault) -> Double {
            try nested { (parser) throws(Fault) in
                if parser.take("-") { return -(try parser.sign()) }
                if parser.take("+") { return try parser.sign() }
                let base = try parser.atom()
                return parser.take("^") ? pow(base, try parser.sign()) : base
            }
        }

        private mutating func atom() throws(Fault) -> Double {
            if take("(") {
                let value = try sum()
                guard take(")") else { throw unexpected() }
                return value
            }
            guard let next else { throw unexpected() }
            if next.isASCII, next.isNumber || next == "." { return try number() }
            guard next.isASCII, next.isLetter else { throw unexpected() }
            var name = ""
            while let letter = self.next, letter.isASCII, letter.isLetter || letter.isNumber {
                name.append(letter)
                place += 1
            }
            name = name.lowercased()
            if let constant = Calculator.constants[name] { return constant }
            if let function = Calculator.functions[name] { return function(try arguments(1)[0]) }
            if let function = Calculator.functionsOfTwo[name] {
                let values = try arguments(2)
                return function(values[0], values[1])
            }
            let known = (Array(Calculator.functions.keys) + Array(Calculator.functionsOfTwo.keys) + Array(Calculator.constants.keys)).sorted()
            throw Fault(message: "\"\(name.prefix(40))\" is not known; there are \(known.joined(separator: ", "))")
        }

        private mutating func arguments(_ count: Int) throws(Fault) -> [Double] {
            guard take("(") else { throw unexpected() }
            var values = [try sum()]
            while values.count < count {
                guard take(",") else { throw unexpected() }
                values.append(try sum())
            }
            guard take(")") else { throw unexpected() }
            return values
        }

        private mutating func number() throws(Fault) -> Double {
            let begin = place
            while let digit = next, digit.isASCII, digit.isNumber || digit == "." || digit == "_" { place += 1 }
            // An exponent, but not the constant e.
            if next == "e" || next == "E" {
                var end = place + 1
                if end < characters.count, characters[end] == "-" || characters[end] == "+" { end += 1 }
                if end < characters.count, characters[end].isASCII, characters[end].isNumber {
                    while end < characters.count, characters[end].isASCII, characters[end].isNumber { end += 1 }
                    place = end
                }
            }
            let text = String(characters[begin..<place].filter { $0 != "_" })
            guard let value = Double(text.hasPrefix(".") ? "0" + text : text.hasSuffix(".") ? text + "0" : text) else {
                throw Fault(message: "\"\(text.prefix(40))\" is not a number")
            }
            return value
        }
    }
}
