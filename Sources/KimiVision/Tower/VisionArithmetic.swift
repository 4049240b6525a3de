/// What the vision tower may round, where the processor has tiles (AMX). Elsewhere it computes as it does, which is more exact.
package enum VisionArithmetic: String, Sendable, CaseIterable {
    /// Features within 1e-3 of their scale: pairs of bfloat16.
    case full
    /// What the reference computes with: bfloat16, half the multiplications; features are off by 5e-3 of their scale.
    case bf16
}
