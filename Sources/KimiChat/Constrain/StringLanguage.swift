/// Why a pattern or format is not enforced.
package struct UnsupportedPattern: Error, Equatable, Sendable {
    package let reason: String
}

package struct LengthRange: Equatable, Sendable {
    package var min: Int
    package var max: Int?
    package init(min: Int, max: Int?) { self.min = min; self.max = max }
}

/// The strings that patterns and formats allow; this one knows none.
package final class StringLanguage: Sendable {
    package static let formats: Set<String> = []
    package let start: Int32 = -1

    package init(patterns: [String], formats: [String], lengths: LengthRange) throws(UnsupportedPattern) {
        throw UnsupportedPattern(reason: "patterns are not enforced")
    }

    package func next(_ state: Int32, _ scalar: UInt32) -> Int32 { -1 }
    package func accepts(_ state: Int32) -> Bool { false }
    package func isUniversal(_ state: Int32) -> Bool { false }
    package func shortest(_ state: Int32) -> Int { 0 }
}
