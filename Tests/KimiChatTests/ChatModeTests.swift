import KimiChat
import KimiCore
import Testing

@Suite struct ChatModeTests {
    /// The published table of the four modes.
    @Test(arguments: [
        ("instant", false, Float(0.6), 0), ("thinking", true, 1.0, 8192), ("agent", true, 1.0, 8192), ("swarm", true, 1.0, 8192),
    ])
    func modeHasItsDefaults(name: String, thinks: Bool, temperature: Float, budget: Int) throws {
        let mode = try ChatMode(named: name)
        #expect(mode.thinks == thinks)
        #expect(mode.temperature == temperature)
        #expect(mode.topP == 0.95)
        #expect(mode.reasoningBudget == budget)
    }

    @Test func unknownModeIsNamedWithTheKnownOnes() {
        let error = #expect(throws: KimiError.self) { try ChatMode(named: "Turbo") }
        #expect(error?.status == .invalidArgument)
        #expect(error?.message.contains("\"instant\", \"thinking\", \"agent\", \"swarm\"") == true)
    }
}
