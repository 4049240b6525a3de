import KimiChat
import KimiCore

/// How long masks take: documents written token by token, the time of each mask.
package struct ConstraintMeasurement: Sendable {
    package let name: String
    /// Seconds of each mask, in order of size.
    package let seconds: [Double]
    /// Whether every document was written to its end; it is valid, and so must be.
    package let isComplete: Bool
    /// Seconds to compile the schema.
    package let compileSeconds: Double

    /// The time that a share of all masks, 0 to 1, does not exceed.
    package func percentile(_ share: Double) -> Double {
        guard !seconds.isEmpty else { return 0 }
        return seconds[min(Int(Double(seconds.count) * share), seconds.count - 1)]
    }

    /// The schemas and documents that are measured.
    package static let cases: [(name: String, schema: String, document: String)] = [
        (
            "weather",
            #"""
            {"type":"object","properties":{"location":{"type":"string","description":"City"},"unit":{"type":"string",\#
            "enum":["celsius","fahrenheit"]},"days":{"type":"integer","minimum":1,"maximum":14}},\#
            "required":["location"],"additionalProperties":false}
            """#,
            #"{"location": "Reykjavík, Iceland", "unit": "celsius", "days": 12}"#
        ),
        (
            "search",
            #"""
            {"type":"object","properties":{"query":{"type":"string","minLength":1,"maxLength":400},\#
            "limit":{"type":"integer"},"filters":{"type":"object","properties":{"since":{"type":"string",\#
            "format":"date"},"author":{"type":["string","null"]},"tags":{"type":"array","items":{"type":"string",\#
            "pattern":"^[a-z0-9-]+$"},"maxItems":8,"uniqueItems":false}}}},"required":["query"]}
            """#,
            #"""
            {"query": "how do mixture-of-experts models place their experts on NUMA nodes", "limit": 25,\#
             "filters": {"since": "2025-02-28", "author": null, "tags": ["numa", "mixture-of-experts", "hwloc"]}}
            """#
        ),
        (
            "event",
            ##"""
            {"$defs":{"person":{"type":"object","properties":{"name":{"type":"string"},"email":{"type":"string",\##
            "format":"email"}},"required":["name","email"],"additionalProperties":false}},"type":"object",\##
            "properties":{"title":{"type":"string","maxLength":120},"start":{"type":"string","format":"date-time"},\##
            "attendees":{"type":"array","items":{"$ref":"#/$defs/person"},"minItems":1},\##
            "recurrence":{"anyOf":[{"type":"null"},{"type":"object","properties":{"every":{"enum":["day","week",\##
            "month"]},"count":{"type":"integer","minimum":1}},"required":["every"],"additionalProperties":false}]}},\##
            "required":["title","start","attendees","recurrence"],"additionalProperties":false}
            """##,
            #"""
            {"title": "Quarterly planning: costs, hiring, roadmap", "start": "2026-01-14T09:30:00+01:00",\#
             "attendees": [{"name": "Ada Lovelace", "email": "ada@example.org"}, {"name": "梅兰芳",\#
             "email": "mei.lanfang@example.com"}], "recurrence": {"every": "month", "count": 6}}
            """#
        ),
        (
            "edit",
            #"""
            {"type":"object","properties":{"path":{"type":"string"},"edits":{"type":"array","items":{"type":"object",\#
            "properties":{"old":{"type":"string"},"new":{"type":"string"},"line":{"type":"integer","minimum":1}},\#
            "required":["old","new"]}}},"required":["path","edits"]}
            """#,
            #"""
            {"path": "Sources/main.swift", "edits": [{"line": 12,\#
             "old": "    let value = compute(x)\n    show(\"value: \\(value)\")\n",\#
             "new": "    guard let value = try? compute(x) else {\n        return\n    }\n    log(\"value: \\(value)\")\n"},\#
             {"old": "// naïve 実装", "new": ""}]}
            """#
        ),
        (
            "shapes",
            #"""
            {"type":"array","items":{"oneOf":[{"type":"object","properties":{"kind":{"const":"circle"},\#
            "r":{"type":"number","exclusiveMinimum":0}},"required":["kind","r"],"additionalProperties":false},\#
            {"type":"object","properties":{"kind":{"const":"rectangle"},"w":{"type":"number"},"h":{"type":"number"}},\#
            "required":["kind","w","h"],"additionalProperties":false},{"type":"object",\#
            "properties":{"kind":{"const":"path"},"points":{"type":"array","items":{"type":"array",\#
            "prefixItems":[{"type":"number"},{"type":"number"}],"minItems":2,"items":false}}},"required":["kind",\#
            "points"],"additionalProperties":false}]}}
            """#,
            #"""
            [{"kind": "circle", "r": 2.75}, {"kind": "rectangle", "w": 10, "h": 0.5}, {"kind": "path", "points": [[0,\#
             0], [12.5, -3.25], [100, 250]]}]
            """#
        ),
        (
            "any object",
            #"{"type":"object"}"#,
            #"""
            {"answer": 42, "steps": ["read the question", "think about it for seven and a half million years", "reply"],\#
             "confidence": 0.97, "notes": {"source": "the book", "checked": true, "others": [null, {}, []]}}
            """#
        ),
    ]

    /// Measures all cases with tokens of a synthetic vocabulary.
    ///
    /// - Parameters:
    ///   - vocabularySize: how many tokens.
    ///   - rounds: how many times each document is written; only in the first one the cache of masks is empty.
    package static func measure(vocabularySize: Int = 163_840, rounds: Int = 1) -> [ConstraintMeasurement] {
        let pieces = SyntheticVocabulary.pieces(count: vocabularySize)
        let vocabulary = VocabularyTree(pieces: pieces)
        var ids: [[UInt8]: Int32] = [:]
        for (id, piece) in pieces.enumerated() { ids[piece] = Int32(truncatingIfNeeded: id) }
        var mask = [UInt64](repeating: 0, count: vocabulary.maskWords)
        var results: [ConstraintMeasurement] = []
        for (name, schema, document) in cases {
            let begin = monotonicSeconds()
            guard let json = try? JSON.parse(Array(schema.utf8), file: name) else { continue }
            let grammar = Grammar(schema: json)
            let compileSeconds = monotonicSeconds() - begin
            let matcher = GrammarMatcher(grammar, vocabulary)
            var seconds: [Double] = []
            var isComplete = true
            for _ in 0..<rounds {
                matcher.reset()
                for id in tokens(Array(document.utf8), ids) {
                    let begin = monotonicSeconds()
                    mask.withUnsafeMutableBufferPointer { buffer in
                        if let base = buffer.baseAddress { matcher.fill(base) }
                    }
                    seconds.append(monotonicSeconds() - begin)
                    guard mask[Int(id) >> 6] >> UInt64(id & 63) & 1 == 1, matcher.accept(id) else { break }
                }
                isComplete = isComplete && matcher.canEnd
            }
            results.append(ConstraintMeasurement(
                name: name, seconds: seconds.sorted(), isComplete: isComplete, compileSeconds: compileSeconds))
        }
        return results
    }

    /// The longest token each time.
    private static func tokens(_ text: [UInt8], _ ids: [[UInt8]: Int32]) -> [Int32] {
        var result: [Int32] = []
        var place = 0
        while place < text.count {
            var length = min(24, text.count - place)
            while length > 1, ids[Array(text[place..<place + length])] == nil { length -= 1 }
            guard let id = ids[Array(text[place..<place + length])] else { break }
            result.append(id)
            place += length
        }
        return result
    }
}
