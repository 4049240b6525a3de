import KimiChat
import KimiCore

/// The two tools that make an agent an orchestrator, and what their arguments say.
enum SwarmTools {
    static let create = "create_subagent"
    static let assign = "assign_task"
    /// What the main agent is called; no sub-agent is.
    static let mainName = "main"
    static let longestName = 64

    /// What the prompt says of them.
    static func declarations() throws(KimiError) -> [ToolDeclaration] {
        [
            try declaration(
                create,
                "Create a specialised sub-agent with a context of its own. It keeps its name and its instructions for all tasks.",
                [
                    ("name", "The name of the sub-agent, unique, of at most \(longestName) characters."),
                    ("system_prompt", "The sub-agent's role, abilities and limits."),
                ]),
            try declaration(
                assign,
                "Give a sub-agent a task and get its result. Tasks that are assigned in one step are worked on at the same time; a "
                    + "sub-agent remembers its earlier tasks, and knows nothing else but what it is told.",
                [
                    ("agent", "The name of a sub-agent that was created."),
                    ("prompt", "The task, with everything that is needed for it."),
                ]),
        ]
    }

    private static func declaration(
        _ name: String, _ description: String, _ texts: [(String, String)]
    ) throws(KimiError) -> ToolDeclaration {
        var properties = JSONObject()
        for (name, description) in texts {
            var property = JSONObject()
            _ = property.add("type", .string("string"))
            _ = property.add("description", .string(description))
            _ = properties.add(name, .object(property))
        }
        var schema = JSONObject()
        _ = schema.add("type", .string("object"))
        _ = schema.add("properties", .object(properties))
        _ = schema.add("required", .array(texts.map { .string($0.0) }))
        _ = schema.add("additionalProperties", .bool(false))
        return try ToolDeclaration(name: name, description: description, schema: .object(schema))
    }

    /// Two texts of a call's arguments; nil if one is missing or no text.
    static func texts(_ arguments: String, _ first: String, _ second: String) -> (String, String)? {
        guard let json = try? JSON.parse(Array(arguments.utf8), file: "arguments"), let one = json[first]?.stringValue,
            let two = json[second]?.stringValue
        else { return nil }
        return (one, two)
    }

    /// Why a sub-agent cannot be called this, in words for the model; nil: it can.
    static func fault(inName name: String) -> String? {
        // Bytes first: characters of 10 MB take their time.
        guard name.utf8.count <= longestName * 16, (1...longestName).contains(name.count) else {
            return "the name has \(name.utf8.count) bytes; it must have 1 to \(longestName) characters"
        }
        let banned: Set<Unicode.GeneralCategory> = [.control, .lineSeparator, .paragraphSeparator]
        guard !name.unicodeScalars.contains(where: { banned.contains($0.properties.generalCategory) }) else {
            return "the name has control characters; it must have none"
        }
        return name == mainName ? "\"\(mainName)\" is your own name; a sub-agent needs another" : nil
    }

    /// A name for a sentence: no longer than a line, and in one.
    static func quoted(_ name: String) -> String { JSONWriter.quoted(String(name.prefix(80))) }
}
