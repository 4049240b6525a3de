public import CKimi
import KimiCore
import KimiRuntime

private let version: StaticString = "0.1.0"

@c @implementation public func kimi_version() -> UnsafePointer<CChar>? { forever(version) }

@c @implementation public func kimi_abi_version() -> Int32 { KIMI_ABI_VERSION }

@c @implementation public func kimi_features(
    _ outJSON: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ outLength: UnsafeMutablePointer<Int>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        try transfer(Features.json(version: "\(version)", abi: Int(KIMI_ABI_VERSION)), outJSON, outLength)
    }
}

@c @implementation public func kimi_struct_size(_ name: UnsafePointer<CChar>?) -> Int {
    guard let name else { return 0 }
    return switch String(cString: name) {
    case "kimi_model_options": MemoryLayout<kimi_model_options>.size
    case "kimi_plan_options": MemoryLayout<kimi_plan_options>.size
    case "kimi_session_options": MemoryLayout<kimi_session_options>.size
    case "kimi_generation_options": MemoryLayout<kimi_generation_options>.size
    case "kimi_event": MemoryLayout<kimi_event>.size
    case "kimi_chat_options": MemoryLayout<kimi_chat_options>.size
    case "kimi_chat_event": MemoryLayout<kimi_chat_event>.size
    case "kimi_swarm_options": MemoryLayout<kimi_swarm_options>.size
    case "kimi_queue_event": MemoryLayout<kimi_queue_event>.size
    case "kimi_swarm_event": MemoryLayout<kimi_swarm_event>.size
    case "kimi_reward_options": MemoryLayout<kimi_reward_options>.size
    case "kimi_rewards": MemoryLayout<kimi_rewards>.size
    case "kimi_tool": MemoryLayout<kimi_tool>.size
    case "kimi_tool_call": MemoryLayout<kimi_tool_call>.size
    case "kimi_session_stats": MemoryLayout<kimi_session_stats>.size
    case "kimi_string_view": MemoryLayout<kimi_string_view>.size
    case "kimi_logit_bias": MemoryLayout<kimi_logit_bias>.size
    case "kimi_token_logprob": MemoryLayout<kimi_token_logprob>.size
    default: 0
    }
}
