public import CKimi
import KimiAgent
import KimiChat
import KimiCore
import Synchronization

/// Where a tool's callback puts its answer.
final class ResultHandle: Sendable {
    private let answer = Mutex((text: "", pictures: [MediaPart]()))
    private let callID: String

    static let mostPictures = 64

    init(callID: String) { self.callID = callID }

    /// What was set, as the answer of a callback that returned `outcome`.
    func answer(_ outcome: ToolAnswer.Outcome) -> ToolAnswer {
        let (text, pictures) = answer.withLock { $0 }
        return ToolAnswer(outcome, text, parts: pictures.map { .media($0) })
    }

    func set(_ text: String) { answer.withLock { $0.text = text } }

    /// - Throws: `invalidArgument` for more pictures than a result may have.
    func add(_ image: ImageHandle) throws(KimiError) {
        let isAdded = answer.withLock { answer in
            let count = answer.pictures.count
            guard count < Self.mostPictures else { return false }
            answer.pictures.append(
                .held(.image, .picture(image.picture), url: image.name, path: "\(callID).content[\(count + 1)]"))
            return true
        }
        guard isAdded else {
            throw KimiError(.invalidArgument, "the result has \(Self.mostPictures) pictures already", subject: "image")
        }
    }
}

@c @implementation public func kimi_tool_result_add_image(
    _ handle: OpaquePointer?, _ image: OpaquePointer?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in try toolResult(handle).add(try KimiABI.image(image)) }
}

@c @implementation public func kimi_tool_result_set(
    _ handle: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ length: Int, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let result = try toolResult(handle)
        let text = try utf8(text, length, "text")
        try ToolAnswer.checkLength(text)
        result.set(text)
    }
}

/// Runs a C callback for one call.
private func answer(
    _ request: ToolCallRequest, _ callback: kimi_tool_callback, _ userData: UserData
) -> ToolAnswer {
    let result = ResultHandle(callID: request.id)
    guard let handle = try? Handles.add(.toolResult(result)) else {
        return ToolAnswer(.failed, "too many handles are alive for the tool to be called")
    }
    // After this the callback's thread may keep the pointer, but it is no handle any more.
    defer { _ = Handles.remove(handle) { if case .toolResult = $0 { true } else { false } } }
    var call = kimi_tool_call()
    call.struct_size = UInt32(MemoryLayout<kimi_tool_call>.size)
    call.step = Int32(clamping: request.step)
    call.arguments_length = request.arguments.utf8.count
    call.agent = Int32(clamping: request.agent)
    let code = request.id.withCString { id in
        request.name.withCString { name in
            request.arguments.withCString { arguments in
                request.agentName.withCString { agentName in
                    (call.id, call.name, call.arguments, call.agent_name) = (id, name, arguments, agentName)
                    return withUnsafePointer(to: call) { callback($0, handle, userData.pointer) }
                }
            }
        }
    }
    return result.answer(code == 0 ? .ok : .failed)
}

/// A C tool in the agent's terms; strings are copied.
private func convert(_ c: kimi_tool) throws(KimiError) -> HostTool {
    let name = try utf8(c.name, c.name == nil ? 0 : -1, "name")
    let description: String? = c.description == nil ? nil : try utf8(c.description, -1, "description")
    let parameters: UnsafeRawBufferPointer? = c.parameters == nil ? nil : try bytes(c.parameters, -1, "parameters")
    guard (0...86_400_000).contains(c.timeout_milliseconds) else {
        throw KimiError(
            .invalidArgument, "timeout_milliseconds is \(c.timeout_milliseconds); it must be 0 (no limit) to 86400000",
            subject: "timeout_milliseconds")
    }
    guard c.reserved == 0 else {
        throw KimiError(.invalidArgument, "reserved is \(c.reserved); it must be 0", subject: "reserved")
    }
    let anyThread = try flag(c.any_thread, "any_thread")
    guard let scope = ToolScope(rawValue: c.scope) else {
        throw KimiError(.invalidArgument, "scope is \(c.scope); it must be one of KIMI_SCOPE_..., 0 to 2", subject: "scope")
    }
    guard c.parallel_limit == 0 || ToolSlots.range.contains(Int(c.parallel_limit)) else {
        throw KimiError(
            .invalidArgument, "parallel_limit is \(c.parallel_limit); it must be \(ToolSlots.range.lowerBound) to "
                + "\(ToolSlots.range.upperBound), or 0 (no limit)", subject: "parallel_limit")
    }
    let declaration = try ToolDeclaration(name: name, description: description, parameters: parameters)
    let userData = UserData(pointer: c.user_data)
    var run: (@Sendable (ToolCallRequest) -> ToolAnswer)?
    if let callback = c.callback { run = { request in answer(request, callback, userData) } }
    return HostTool(
        declaration: declaration, timeoutMilliseconds: c.timeout_milliseconds == 0 ? nil : Int(c.timeout_milliseconds),
        anyThread: anyThread, slots: c.parallel_limit == 0 ? [] : [ToolSlots(Int(c.parallel_limit))], scope: scope, run: run)
}

@c @implementation public func kimi_session_add_tool(
    _ handle: OpaquePointer?, _ callerTool: UnsafePointer<kimi_tool>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let chat = try chatSession(handle)
        guard callerTool != nil else { throw KimiError(.invalidArgument, "tool is NULL", subject: "tool") }
        chat.tools.add(try convert(try options(callerTool, defaults: kimi_tool(), "kimi_tool")))
    }
}

@c @implementation public func kimi_session_remove_tool(
    _ handle: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ length: Int, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        try chatSession(handle).tools.remove(try utf8(name, length, "name"))
    }
}
