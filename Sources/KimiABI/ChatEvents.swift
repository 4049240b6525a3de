import CKimi
import KimiAgent
import KimiCore

/// Builds C events of a conversation; what they point to stays until the next one.
final class ChatEventStorage {
    private let text = ByteStorage()
    private let callID = ByteStorage()
    private let name = ByteStorage()

    /// Calls `body` with the event in C form. For polling, `body` copies it; the strings stay valid.
    func show<R>(_ event: ChatEvent, _ body: (kimi_chat_event) -> R) -> R {
        var c = kimi_chat_event()
        c.struct_size = UInt32(MemoryLayout<kimi_chat_event>.size)
        c.type = event.kind.rawValue
        c.step = Int32(clamping: event.step)
        c.call = event.call.map { Int32(clamping: $0) } ?? -1
        c.text = text.keep(event.text)
        c.text_length = event.text.utf8.count
        c.call_id = callID.keep(event.callID)
        c.name = name.keep(event.name)
        c.code = event.code
        c.finish_reason = event.finish?.rawValue ?? 0
        c.done = Int64(event.done)
        c.total = Int64(event.total)
        c.prompt_tokens = Int64(event.usage.prompt)
        c.cached_tokens = Int64(event.usage.cached)
        c.generated_tokens = Int64(event.usage.generated)
        c.reasoning_tokens = Int64(event.usage.reasoning)
        c.media_tokens = Int64(event.usage.media)
        return body(c)
    }
}

extension ByteStorage {
    /// A text as a C string that stays until the next one.
    func keep(_ string: String) -> UnsafePointer<CChar>? {
        guard !string.isEmpty else { return forever("") }
        return update(Array(string.utf8) + [0]).baseAddress.map { UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self) }
    }
}
