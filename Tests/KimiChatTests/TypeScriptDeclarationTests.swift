import KimiChat
import KimiCore
import KimiTestSupport
import Testing

/// Expected texts are the published encoder's: the fixtures' vectors, and those of Tests/reference/chat.
@Suite struct TypeScriptDeclarationTests {
    @Test func vectorsAreAllThere() {
        #expect(TypeScriptVectors.published.count == 40)
        #expect(TypeScriptVectors.made.count > 200)
        #expect(TypeScriptVectors.made.filter { $0.typescript == nil }.count > 50)
    }

    @Test(arguments: TypeScriptVectors.published.indices) func publishedVector(index: Int) {
        expectEqual(TypeScriptVectors.published[index])
    }

    @Test(arguments: TypeScriptVectors.made.indices) func vectorOfTheEncoder(index: Int) { expectEqual(TypeScriptVectors.made[index]) }

    private func expectEqual(_ vector: (tools: [JSON], typescript: String?)) {
        let found = TypeScriptDeclaration.render(vector.tools)
        // Compared by bytes: Swift takes differently composed characters for equal.
        let equal = found.map { Array($0.utf8) } == vector.typescript.map { Array($0.utf8) }
        #expect(equal, "\(difference(found ?? "JSON", vector.typescript ?? "JSON")) of \(vector.tools)")
    }

    /// The order of keys is that of code points, whatever order they stand in.
    @Test func orderOfKeysDoesNotMatter() throws {
        let one = try parse(#"[{"type": "function", "function": {"name": "f", "parameters": {"properties": {"b": {"type": "string", "maxLength": 2, "minLength": 1}, "a": {}}}}}]"#)
        let other = try parse(#"[{"function": {"parameters": {"properties": {"a": {}, "b": {"minLength": 1, "maxLength": 2, "type": "string"}}}, "name": "f"}, "type": "function"}]"#)
        #expect(TypeScriptDeclaration.render(one) == TypeScriptDeclaration.render(other))
        #expect(TypeScriptDeclaration.render(one) != nil)
    }

    private func parse(_ text: String) throws -> [JSON] { try JSON.parse(Array(text.utf8), file: "tools").arrayValue ?? [] }

    /// 100,000 properties, and 60 levels of nesting: nothing here is quadratic or goes deep.
    @Test func largeSchemasAreDeclared() throws {
        let wide = (0..<100_000).map { #""p\#($0)": {"type": "string", "description": "number \#($0)"}"# }.joined(separator: ",")
        let required = (0..<50_000).map { "\"p\($0)\"" }.joined(separator: ",")
        let text = try #require(TypeScriptDeclaration.render(parse(
            #"[{"type": "function", "function": {"name": "f", "parameters": {"properties": {\#(wide)}, "required": [\#(required)]}}}]"#)))
        #expect(text.utf8.split(separator: 0x0A).count == 200_006)
        let deep = String(repeating: #"{"type": "array", "items": "#, count: 50) + "{}" + String(repeating: "}", count: 50)
        let nested = try #require(TypeScriptDeclaration.render(parse(
            #"[{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": \#(deep)}}}}]"#)))
        #expect(nested.contains(String(repeating: "Array<", count: 50) + "any" + String(repeating: ">", count: 50)))
    }
}
