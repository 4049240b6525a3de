import ArgumentParser

/// Sizes of memory as people write them: 512GB, 1.5TB, 256GiB, or a plain number of bytes.
///
/// GB and its like are decimal, GiB and its like binary; in capitals or not. A letter alone, as in 16G, is refused: half of all
/// programs take it for the one and half for the other.
enum ByteCount {
    private static let units: [String: UInt64] = [
        "": 1, "b": 1,
        "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000, "pb": 1_000_000_000_000_000,
        "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50,
    ]
    /// Digits of a number, its decimal places included: no more fit into 64 bits.
    private static let mostDigits = 19

    /// The bytes that `text` stands for, rounded down; for an option's `transform`.
    ///
    /// - Throws: `ValidationError` for anything else, and for sizes beyond 2^63 - 1.
    static func parse(_ text: String) throws -> Int {
        let number = text.prefix { $0.isASCII && $0.isNumber || $0 == "." }
        let unitText = text.dropFirst(number.count).drop { $0 == " " }.lowercased()
        guard let unit = units[unitText] else {
            if units[unitText + "b"] != nil {
                let letter = unitText.uppercased()
                throw ValidationError("\(text) may mean two sizes: write \(number)\(letter)B or \(number)\(letter)iB")
            }
            throw ValidationError(wrong(text))
        }
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        let places = parts.count == 2 ? parts[1].count : 0
        let digits = parts.joined()
        // A size has digits on both sides of its point, and no part of a byte.
        guard (1...2).contains(parts.count), !parts.contains(where: \.isEmpty), places == 0 || unit > 1,
            digits.count <= mostDigits, let value = UInt64(digits)
        else { throw ValidationError(wrong(text)) }
        var divisor: UInt64 = 1
        for _ in 0..<places { divisor *= 10 }
        let product = value.multipliedFullWidth(by: unit)
        guard product.high < divisor, let bytes = Int(exactly: divisor.dividingFullWidth(product).quotient) else {
            throw ValidationError("\(text) is beyond any memory")
        }
        return bytes
    }

    private static func wrong(_ text: String) -> String {
        "\(text.isEmpty ? "an empty text" : text) is not a size; write 16GB, 1.5TB, 512GiB or a number of bytes"
    }
}
