import KimiCore

/// The ids of tool calls in a conversation: the host's on one side, `functions.NAME:INDEX` on the other.
///
/// The model was trained with the latter, INDEX counting from 0 over the whole conversation, and loses its thread with any other.
/// Hosts may use ids of any form; the prompt never shows them.
package struct ToolCallIDs: Sendable, Equatable {
    /// The index that the next call gets.
    package private(set) var nextIndex = 0
    private var hostIDs: [String: String] = [:]

    package init() {}

    /// The host's id for one in canonical form: what the history had, or the canonical id itself for a call that came after it.
    package func hostID(of canonical: String) -> String { hostIDs[canonical] ?? canonical }

    /// The id of the next call.
    package mutating func claim(_ name: String) -> String {
        defer { nextIndex += 1 }
        return Self.canonical(name, nextIndex)
    }

    package static func canonical(_ name: String, _ index: Int) -> String { "functions.\(name):\(index)" }

    /// Name and index of an id in canonical form, or nil. The index has at most nine digits and no leading zeros.
    package static func parts(of id: String) -> (name: String, index: Int)? {
        let bytes = id.utf8
        guard bytes.starts(with: "functions.".utf8), let colon = bytes.lastIndex(of: 0x3A) else { return nil }
        let start = bytes.index(bytes.startIndex, offsetBy: 10)
        guard start < colon else { return nil }
        let digits = bytes[bytes.index(after: colon)...]
        guard (1...9).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        guard digits.count == 1 || digits.first != 0x30, let index = Int(Substring(digits)) else { return nil }
        return (String(Substring(bytes[start..<colon])), index)
    }
}

/// The ids of a history's calls and results in canonical form.
package struct ResolvedCalls: Sendable {
    /// For each message the ids of its calls.
    package private(set) var calls: [[String]] = []
    /// For each message the id of the call whose result it is, or nil.
    package private(set) var results: [String?] = []
    /// The counter and the way back, for the calls to come.
    package private(set) var ids = ToolCallIDs()
    /// The calls without a result, in the host's ids (the canonical where it gave none), oldest first. A host may go on without a
    /// result, after a cancelled call for instance; it should know that it did.
    package private(set) var unanswered: [String] = []

    /// A call that was met.
    private struct Call {
        let canonical: String
        let name: String
        let hostID: String?
        var resultAt: Int?
    }

    /// Gives every call its index.
    ///
    /// Ids that are canonical already, name their own function and count upwards stay as they are, gaps and all: they came from
    /// here, from a conversation whose beginning the host has dropped. Otherwise all are counted from 0.
    ///
    /// - Throws: `invalidArgument` for two calls of one message with one id, a result for an unknown id, a second result.
    package init(_ messages: [ChatMessage]) throws(KimiError) {
        let keepsIDs = Self.countUpwards(messages)
        var known: [Call] = []
        /// The newest call of each host's id, and the newest unanswered ones of each function for results without an id.
        var byID: [String: Int] = [:]
        var byName: [String: [Int]] = [:]
        for (place, message) in messages.enumerated() {
            var canonical: [String] = []
            for (index, call) in message.toolCalls.enumerated() {
                if keepsIDs, let id = call.id, let parts = ToolCallIDs.parts(of: id) { ids.skip(to: parts.index) }
                let id = ids.claim(call.name, for: call.id)
                if let hostID = call.id, let other = byID.updateValue(known.count, forKey: hostID), other >= known.count - index {
                    throw Self.refused(
                        "messages[\(place)].tool_calls[\(index)].id", hostID, "an id that no other call of this message has")
                }
                if call.id == nil { byName[call.name, default: []].append(known.count) }
                known.append(Call(canonical: id, name: call.name, hostID: call.id))
                canonical.append(id)
            }
            calls.append(canonical)
            results.append(try Self.result(place, message, &known, byID, byName))
        }
        for call in known where call.resultAt == nil { unanswered.append(call.hostID ?? call.canonical) }
    }

    private static func result(
        _ place: Int, _ message: ChatMessage, _ known: inout [Call], _ byID: [String: Int], _ byName: [String: [Int]]
    ) throws(KimiError) -> String? {
        guard message.role == .tool else { return nil }
        let call: Int
        if let id = message.toolCallID {
            guard let found = byID[id] else {
                throw refused("messages[\(place)].tool_call_id", id, "the id of a call that stands before it")
            }
            call = found
        } else {
            let name = message.functionName ?? ""
            guard let found = byName[name]?.last else {
                throw refused("messages[\(place)].name", name, "the name of a function that was called before it")
            }
            call = found
        }
        if let other = known[call].resultAt {
            let id = RequestField.preview(known[call].hostID ?? known[call].name)
            throw KimiError(
                .invalidArgument,
                "messages[\(place)] is a second result for the call \"\(id)\"; messages[\(other)] is the first",
                subject: "messages[\(place)]")
        }
        known[call].resultAt = place
        return known[call].canonical
    }

    private static func countUpwards(_ messages: [ChatMessage]) -> Bool {
        var last = -1
        for call in messages.lazy.flatMap(\.toolCalls) {
            guard let id = call.id, let parts = ToolCallIDs.parts(of: id), parts.name == call.name else { return false }
            guard parts.index > last else { return false }
            last = parts.index
        }
        return true
    }

    private static func refused(_ path: String, _ found: String, _ right: String) -> KimiError {
        KimiError(.invalidArgument, "\(path) is \"\(RequestField.preview(found))\"; it must be \(right)", subject: path)
    }
}

extension ToolCallIDs {
    /// The next index, for a call that the host knows under an id of its own.
    fileprivate mutating func claim(_ name: String, for hostID: String?) -> String {
        let id = claim(name)
        if let hostID { hostIDs[id] = hostID }
        return id
    }

    fileprivate mutating func skip(to index: Int) { nextIndex = index }
}
