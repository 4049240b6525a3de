import CKimi
import KimiAgent
import KimiCore

/// Builds C events of a swarm; what they point to stays until the next one.
final class SwarmEventStorage {
    private let name = ByteStorage()
    private let text = ByteStorage()
    private let chatStorage = ChatEventStorage()
    private let chat = UnsafeMutablePointer<kimi_chat_event>.allocate(capacity: 1)

    deinit { chat.deallocate() }

    /// The event in C form.
    func show(_ event: SwarmEvent, of swarm: OpaquePointer?) -> kimi_swarm_event {
        var c = Self.nothing(of: swarm)
        c.agent = Int32(clamping: event.agent)
        c.parent = event.parent.map { Int32(clamping: $0) } ?? -1
        c.name = name.keep(event.name)
        c.task = Int32(clamping: event.task)
        switch event.kind {
        case .chat(let said):
            c.type = KIMI_SWARM_CHAT
            chat.initialize(to: chatStorage.show(said) { $0 })
            c.chat = UnsafePointer(chat)
        case .created(let prompt):
            c.type = KIMI_SWARM_CREATED
            set(&c, prompt)
        case .taskBegan(let prompt):
            c.type = KIMI_SWARM_TASK_BEGIN
            set(&c, prompt)
        case .taskEnded(let outcome, let result, let isCut):
            c.type = KIMI_SWARM_TASK_END
            (c.outcome, c.cut) = (outcome.rawValue, isCut ? 1 : 0)
            set(&c, result)
        case .budget(let budget, let words):
            c.type = KIMI_SWARM_BUDGET
            c.budget = budget.rawValue
            set(&c, words)
        case .memory: c.type = KIMI_SWARM_MEMORY
        case .finish(let account):
            c.type = KIMI_SWARM_FINISH
            c.finish_reason = account.finish?.rawValue ?? 0
        }
        return c
    }

    /// What is stored where no event came.
    static func nothing(of swarm: OpaquePointer?) -> kimi_swarm_event {
        var c = kimi_swarm_event()
        c.struct_size = UInt32(MemoryLayout<kimi_swarm_event>.size)
        c.type = KIMI_SWARM_NONE
        c.parent = -1
        (c.name, c.text) = (forever(""), forever(""))
        c.swarm = swarm
        return c
    }

    private func set(_ c: inout kimi_swarm_event, _ words: String) {
        c.text = text.keep(words)
        c.text_length = words.utf8.count
    }
}
