import KimiCore

/// How matrices are kept in memory that every token reads: attention projections, dense layers, shared experts, the head.
///
/// Not concerned, whatever the format: routed experts, anything stored packed, the embedding, the router, norms, `kv_b_proj` (which
/// attention uses row by row as well as a product), and matrices whose rows are no whole groups of 32.
package enum DenseFormat: String, Sendable, CaseIterable {
    /// As in the files.
    case stored
    /// Bytes with a bfloat16 scale for each group of 32, made while opening: about half of what BF16 takes, unless rows are much
    /// shorter than the blocks of 512 they are stored in. What they are made of is not read afterwards.
    ///
    /// The rounding is that of llama.cpp's Q8_0, and it is all that differs: arithmetic with the same rounded weights as floats
    /// gives the same logits to 5e-6 (the largest being 3.7). On the fixture `tiny-kimi`, whose random weights let a rounding
    /// change the choice of experts far more often than trained ones do, logits of the 700 tokens of `pages` against those of
    /// the stored weights have a cosine of 0.972 on average (median 0.996), a KL divergence of 0.172 nats (median 0.024), and
    /// the same argmax for 513, and for 284 of the 330 with a margin above 0.5 (Q8_0: 0.970, 0.182, 497, 285). A small model
    /// without experts: 0.9999, 9e-5 nats, and every clear argmax.
    case int8

    /// The bytes of a matrix [rows, columns] in this format, rows being stored in whole blocks of 512 bytes; nil if it stays as it
    /// is stored.
    package func byteCount(rows: Int, columns: Int) -> Int? {
        guard self == .int8, rows > 0, columns > 0, columns % 32 == 0, let row = Checked.roundUp(columns, to: 512)
        else { return nil }
        return Checked.product(rows, row + columns / 16)
    }

    /// Whether a tensor of this name is of the kind that is converted.
    static func concerns(_ name: String, _ kind: WeightKind) -> Bool {
        switch kind {
        case .attention: !name.hasSuffix(".kv_b_proj.weight")
        case .denseMLP, .sharedExperts, .head: true
        default: false
        }
    }
}
