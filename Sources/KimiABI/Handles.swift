import KimiAgent
import KimiCore
import KimiRuntime
import KimiTokenizer
import Synchronization

/// What a handle of the C interface can stand for.
enum Handled {
    case model(Model)
    case session(ChatSession)
    case generation(GenerationHandle)
    case chat(ChatHandle)
    case queue(QueueHandle)
    case swarm(SwarmHandle)
    case toolResult(ResultHandle)
    case decoder(DecoderHandle)
    case image(ImageHandle)
    case video(VideoHandle)
    case error(ErrorHandle)
}

/// All live handles of the process.
///
/// A handle is not an address but a number in the shape of one: slot and generation. So a destroyed handle, a random number, or a
/// handle of another kind is recognised without being dereferenced, and a call that is running keeps its object alive while
/// another thread destroys the handle. This is the library's only global state.
enum Handles {
    private struct Table: ~Copyable {
        struct Slot {
            var object: Handled?
            var generation: UInt
        }
        var slots: [Slot] = []
        var free: [Int] = []
    }

    private static let table = Mutex(Table())

    // 0x4B.. is inside the user half of a 47-bit address space, as some runtimes demand of a pointer, and nowhere near what their
    // allocators use.
    private static let base: UInt = 0x4B00_0000_0000
    private static let indexBits: UInt = 20
    private static let mask: UInt = (1 << indexBits) - 1

    /// Makes a handle for an object.
    static func add(_ object: Handled) throws(KimiError) -> OpaquePointer {
        let bits: UInt? = table.withLock { table in
            if let index = table.free.popLast() {
                table.slots[index].object = object
                return base | table.slots[index].generation << indexBits | UInt(index)
            }
            guard table.slots.count <= Int(mask) else { return nil }
            table.slots.append(Table.Slot(object: object, generation: 1))
            return base | 1 << indexBits | UInt(table.slots.count - 1)
        }
        guard let bits, let handle = OpaquePointer(bitPattern: bits) else {
            throw KimiError(.outOfMemory, "more than \(mask) handles are alive at once")
        }
        return handle
    }

    /// The object of a live handle, or nil.
    static func object(_ handle: OpaquePointer?) -> Handled? {
        guard let (index, generation) = parts(handle) else { return nil }
        return table.withLock { table in
            guard index < table.slots.count, table.slots[index].generation == generation else { return nil }
            return table.slots[index].object
        }
    }

    /// Ends a handle if it is live and `matches` its object; gives the object back.
    static func remove(_ handle: OpaquePointer?, where matches: (Handled) -> Bool) -> Handled? {
        guard let (index, generation) = parts(handle) else { return nil }
        // The object leaves the lock before it can be freed: freeing may take long, and frees other handles' objects.
        return table.withLock { table in
            guard index < table.slots.count, table.slots[index].generation == generation,
                let object = table.slots[index].object, matches(object)
            else { return nil }
            table.slots[index].object = nil
            table.slots[index].generation = (generation &+ 1) & mask
            table.free.append(index)
            return object
        }
    }

    private static func parts(_ handle: OpaquePointer?) -> (index: Int, generation: UInt)? {
        let bits = UInt(bitPattern: handle)
        guard bits & ~(mask << indexBits | mask) == base else { return nil }
        return (Int(bits & mask), bits >> indexBits & mask)
    }
}

// MARK: Typed look-ups

private func invalid(_ kind: String) -> KimiError {
    KimiError(.invalidHandle, "not a live kimi_\(kind): NULL, destroyed, or never made by this library", subject: kind)
}

func model(_ handle: OpaquePointer?) throws(KimiError) -> Model {
    guard case .model(let model)? = Handles.object(handle) else { throw invalid("model") }
    return model
}

/// A session with its conversation.
func chatSession(_ handle: OpaquePointer?) throws(KimiError) -> ChatSession {
    guard case .session(let session)? = Handles.object(handle) else { throw invalid("session") }
    return session
}

func session(_ handle: OpaquePointer?) throws(KimiError) -> Session { try chatSession(handle).session }

func chat(_ handle: OpaquePointer?) throws(KimiError) -> ChatHandle {
    guard case .chat(let chat)? = Handles.object(handle) else { throw invalid("chat") }
    return chat
}

func queue(_ handle: OpaquePointer?) throws(KimiError) -> QueueHandle {
    guard case .queue(let queue)? = Handles.object(handle) else { throw invalid("queue") }
    return queue
}

func swarm(_ handle: OpaquePointer?) throws(KimiError) -> SwarmHandle {
    guard case .swarm(let swarm)? = Handles.object(handle) else { throw invalid("swarm") }
    return swarm
}

func toolResult(_ handle: OpaquePointer?) throws(KimiError) -> ResultHandle {
    guard case .toolResult(let result)? = Handles.object(handle) else { throw invalid("tool_result") }
    return result
}

func generation(_ handle: OpaquePointer?) throws(KimiError) -> GenerationHandle {
    guard case .generation(let generation)? = Handles.object(handle) else { throw invalid("generation") }
    return generation
}

func decoder(_ handle: OpaquePointer?) throws(KimiError) -> DecoderHandle {
    guard case .decoder(let decoder)? = Handles.object(handle) else { throw invalid("decoder") }
    return decoder
}

func image(_ handle: OpaquePointer?) throws(KimiError) -> ImageHandle {
    guard case .image(let image)? = Handles.object(handle) else { throw invalid("image") }
    return image
}

func video(_ handle: OpaquePointer?) throws(KimiError) -> VideoHandle {
    guard case .video(let video)? = Handles.object(handle) else { throw invalid("video") }
    return video
}
