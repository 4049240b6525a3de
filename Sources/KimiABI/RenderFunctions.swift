public import CKimi
import KimiAgent
import KimiChat
import KimiCore

@c @implementation public func kimi_render(
    _ handle: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ length: Int, _ chosen: Int32,
    _ outText: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outText, outLength)
        let model = try model(handle)
        let request = try ChatRequest(json: try bytes(request, length, "request"))
        try transfer(try model.chatFormat().text(of: request, mode: try mode(chosen)), outText, outLength)
    }
}

@c @implementation public func kimi_render_ids(
    _ handle: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ length: Int, _ chosen: Int32,
    _ ids: UnsafeMutablePointer<Int32>?, _ capacity: Int, _ outCount: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        outCount?.pointee = 0
        let model = try model(handle)
        let request = try ChatRequest(json: try bytes(request, length, "request"))
        let eyes = ChatEyes(model, allowsFiles: false, held: HeldMedia.origin)
        let prompt = try model.chatFormat().prompt(of: request, mode: try mode(chosen), eyes: eyes)
        try fill(ids, capacity, outCount, from: prompt.ids, "ids")
    }
}

@c @implementation public func kimi_parse_output(
    _ handle: OpaquePointer?, _ ids: UnsafePointer<Int32>?, _ count: Int, _ thinking: Int32,
    _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        let model = try model(handle)
        let ids = Array(try array(ids, count, "ids"))
        if let wrong = ids.first(where: { $0 < 0 || Int($0) >= model.vocabularySize }) {
            throw KimiError(.invalidArgument, "\(wrong) is no token of this checkpoint", subject: "ids")
        }
        try transfer(try model.chatFormat().parsed(ids, thinking: try flag(thinking, "thinking")), outJSON, outLength)
    }
}

@c @implementation public func kimi_parse_output_text(
    _ text: UnsafePointer<CChar>?, _ length: Int, _ thinking: Int32,
    _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outJSON, outLength)
        let output = ParsedOutput(text: try utf8(text, length, "text"), hasThought: try flag(thinking, "thinking"))
        try transfer(output.json, outJSON, outLength)
    }
}

@c @implementation public func kimi_tools_to_typescript(
    _ tools: UnsafePointer<CChar>?, _ length: Int, _ outText: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
    _ outLength: UnsafeMutablePointer<Int>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        clear(outText, outLength)
        try transfer(try ToolDeclaration.declaration(of: try bytes(tools, length, "tools")), outText, outLength)
    }
}
