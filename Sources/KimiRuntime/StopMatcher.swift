/// Holds text back while it may still become a stop string, and cuts it where one begins.
package struct StopMatcher {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []

    package init(_ stops: [[UInt8]]) { self.stops = stops }

    /// Takes new text and returns what can be shown now; `stop` is the index of the stop string that was found, if one was.
    ///
    /// The text that remains held back begins with a proper beginning of a stop string. Of several stop strings the one that begins first
    /// counts; of those that begin together the shortest, which is complete first: so the result does not depend on pieces.
    package mutating func feed(_ text: [UInt8]) -> (text: [UInt8], stop: Int?) {
        guard !stops.isEmpty else { return (text, nil) }
        held += text
        var start = 0
        while start < held.count {
            if let index = stopBeginning(at: start) {
                let shown = Array(held[..<start])
                held = []
                return (shown, index)
            }
            if couldBegin(at: start) { break }
            start += 1
        }
        let shown = Array(held[..<start])
        held.removeFirst(start)
        return (shown, nil)
    }

    /// What was held back, when no more text comes: up to a stop string that lies in it, behind the beginning of a longer one
    /// that never ended.
    package mutating func finish() -> (text: [UInt8], stop: Int?) {
        defer { held = [] }
        for start in held.indices {
            if let stop = stopBeginning(at: start) { return (Array(held[..<start]), stop) }
        }
        return (held, nil)
    }

    private func stopBeginning(at start: Int) -> Int? {
        var found: Int?
        for (index, stop) in stops.enumerated() where held[start...].starts(with: stop) {
            if let best = found, stops[best].count <= stop.count { continue }
            found = index
        }
        return found
    }

    private func couldBegin(at start: Int) -> Bool {
        let rest = held[start...]
        return stops.contains { $0.count > rest.count && $0.starts(with: rest) }
    }
}
