public import CKimi
import KimiAgent
import KimiCore

private var defaultOptions: kimi_reward_options {
    let known = SwarmRewards.Options()
    var options = kimi_reward_options()
    options.struct_size = UInt32(MemoryLayout<kimi_reward_options>.size)
    options.annealing = known.annealing.rawValue
    (options.lambda1, options.lambda2) = (known.lambda1, known.lambda2)
    return options
}

@c @implementation public func kimi_reward_options_init(
    _ options: UnsafeMutablePointer<kimi_reward_options>?, _ size: Int
) -> kimi_status {
    initialize(options, size, defaults: defaultOptions)
}

@c @implementation public func kimi_reward_compute(
    _ account: UnsafePointer<CChar>?, _ length: Int, _ quality: Double, _ callerOptions: UnsafePointer<kimi_reward_options>?,
    _ rewards: UnsafeMutablePointer<kimi_rewards>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let account = try SwarmAccount(json: try bytes(account, length, "account"))
        let given = try options(callerOptions, defaults: defaultOptions, "kimi_reward_options")
        var options = SwarmRewards.Options()
        guard let annealing = SwarmRewards.Annealing(rawValue: given.annealing) else {
            throw KimiError(
                .invalidArgument, "annealing is \(given.annealing); it must be KIMI_ANNEALING_LINEAR or _COSINE", subject: "annealing")
        }
        options.annealing = annealing
        (options.lambda1, options.lambda2, options.progress) = (given.lambda1, given.lambda2, given.progress)
        options.width = given.width == 0 ? nil : Int(given.width)
        let found = try SwarmRewards(account, quality: quality, options: options)
        var c = kimi_rewards()
        (c.parallel, c.finish, c.quality, c.efficiency) = (found.parallel, found.finish, found.quality, found.efficiency)
        (c.lambda1, c.lambda2, c.training, c.final_form) = (found.lambda1, found.lambda2, found.training, found.final)
        try store(c, rewards, "kimi_rewards")
    }
}
