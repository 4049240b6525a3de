import Foundation
import KimiCheckpoint
import KimiModel
import KimiTestSupport
import Testing

/// Rotary frequencies and angles against values computed from the formulas, outside of this code base, in double precision.
struct RotaryTests {
    private func table(
        size: Int, nope: Int, base: Double, yarn: [String: Double]?, context: Int = 262_144
    ) throws -> RotaryTable {
        let folder = try TemporaryFolder()
        var tiny = TinyCheckpoint()
        (tiny.rope, tiny.nope, tiny.layers, tiny.modelType, tiny.context) = (size, nope, 1, "deepseek_v3", context)
        try tiny.write(to: folder) { config in
            config["rope_theta"] = base
            config["rope_scaling"] = yarn.map { values -> [String: Any] in
                var section: [String: Any] = values
                section["type"] = "yarn"
                section["original_max_position_embeddings"] = Int(values["original_max_position_embeddings"] ?? 0)
                return section
            } as Any? ?? NSNull()
        }
        return RotaryTable(config: try Checkpoint(folder: folder.path).config)
    }

    private static let published: [String: Double] = [
        "factor": 64.0, "original_max_position_embeddings": 4096.0, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
    ]

    private func near(_ a: Float, _ b: Double, _ tolerance: Double = 2e-7) -> Bool { abs(Double(a) - b) <= abs(b) * tolerance }

    @Test("without scaling: base ^ (-2i / size), no change of scale")
    func plain() throws {
        let table = try table(size: 8, nope: 16, base: 10_000, yarn: nil)
        #expect(zip(table.frequencies, [1.0, 0.1, 0.01, 0.001]).allSatisfy { near($0, $1) } && table.frequencies.count == 4)
        #expect(table.amplitude == 1)
        #expect(near(table.scoreScale, 1 / 24.0.squareRoot()))
    }

    @Test("the published YaRN setting")
    func yarn() throws {
        let table = try table(size: 64, nope: 128, base: 50_000, yarn: Self.published)
        // Correction dimensions 8.914 and 19.165: untouched up to pair 8, a ramp up to pair 20, divided by 64 from there.
        let expected: [(Int, Double)] = [
            (0, 1), (1, 7.131110849e-01), (5, 1.844106238e-01), (8, 6.687403050e-02), (9, 4.377665595e-02), (10, 2.842795908e-02),
            (12, 1.161915994e-02), (15, 2.670203391e-03), (18, 4.086459875e-04), (19, 1.583749910e-04), (20, 1.807023387e-05),
            (25, 3.332343099e-06), (31, 4.382206456e-07),
        ]
        #expect(table.frequencies.count == 32)
        for (pair, frequency) in expected { #expect(near(table.frequencies[pair], frequency), "pair \(pair)") }
        #expect(table.amplitude == 1)
        #expect(near(table.scoreScale, 0.14467962580268923))
    }

    @Test("mscale and mscale_all_dim that differ", arguments: [(0.707, 1.0, 0.9210423553163399), (1.0, 0.5, 1.1557219901962608)])
    func magnitudes(_ values: (mscale: Double, all: Double, amplitude: Double)) throws {
        var yarn = Self.published
        yarn["factor"] = 40.0
        (yarn["mscale"], yarn["mscale_all_dim"]) = (values.mscale, values.all)
        let table = try table(size: 64, nope: 128, base: 10_000, yarn: yarn)
        #expect(near(table.amplitude, values.amplitude))
        let magnitude = 0.1 * values.all * log(40.0) + 1
        #expect(near(table.scoreScale, magnitude * magnitude / 192.0.squareRoot()))
    }

    @Test("without mscale_all_dim the scores keep their scale, and the angles take it all")
    func noMagnitude() throws {
        var yarn = Self.published
        yarn["mscale_all_dim"] = 0.0
        let table = try table(size: 64, nope: 128, base: 50_000, yarn: yarn)
        #expect(near(table.scoreScale, 1 / 192.0.squareRoot()))
        #expect(near(table.amplitude, 0.1 * log(64.0) + 1))
    }

    @Test("a factor of 1 stretches nothing")
    func factorOne() throws {
        var yarn = Self.published
        yarn["factor"] = 1.0
        let (stretched, plain) = (
            try table(size: 64, nope: 128, base: 50_000, yarn: yarn), try table(size: 64, nope: 128, base: 50_000, yarn: nil))
        for (a, b) in zip(stretched.frequencies, plain.frequencies) { #expect(near(a, Double(b))) }
        #expect(stretched.amplitude == 1 && stretched.scoreScale == plain.scoreScale)
    }

    @Test("settings at the edges give finite numbers", arguments: [2, 4, 64], [2.0, 50_000, 1e12])
    func edges(_ size: Int, base: Double) throws {
        for (factor, original, fast, slow) in [
            (1, 1, 1e6, 1e-3), (65_536, 16_777_216, 1e-3, 1e-3), (2, 7, 1e6, 1e6), (64, 4096, 32, 1),
        ] as [(Double, Double, Double, Double)] {
            let yarn: [String: Double] = [
                "factor": factor, "original_max_position_embeddings": original, "beta_fast": fast, "beta_slow": slow,
                "mscale": 100.0, "mscale_all_dim": 100.0,
            ]
            let table = try table(size: size, nope: 16, base: base, yarn: yarn)
            #expect(table.frequencies.allSatisfy { $0.isFinite && $0 > 0 && $0 <= 1 })
            #expect(table.amplitude == 1 && table.scoreScale.isFinite)
        }
    }

    @Test("cosines and sines of positions", arguments: [
        (1, 0, 0.5403023058681398, 0.8414709848078965), (1, 9, 0.9990419552109225, 0.04376267505919814),
        (1, 31, 0.999999999999904, 4.3822064557947967e-07), (4095, 0, -0.0659759965580649, -0.9978212103769744),
        (4095, 9, -0.981120288911985, -0.19339849711221405), (4095, 12, -0.8975698956311575, -0.44087218380917714),
        (4095, 31, 0.999998389861003, 0.0017945125805091775), (100_000, 9, -0.14327289627167333, -0.9896832206286648),
        (100_000, 12, 0.8900745507711245, -0.4558149778907895), (100_000, 31, 0.9990399669788442, 0.04380804011719624),
    ])
    func angles(_ expected: (position: Int, pair: Int, cosine: Double, sine: Double)) throws {
        let table = try table(size: 64, nope: 128, base: 50_000, yarn: Self.published)
        var row = [Float](repeating: .nan, count: 64)
        table.fill(&row, position: expected.position)
        // The angle is a single: its rounding grows with the position.
        let tolerance = 1e-6 + 1.2e-7 * Double(expected.position) * Double(table.frequencies[expected.pair])
        #expect(abs(Double(row[expected.pair]) - expected.cosine) < tolerance)
        #expect(abs(Double(row[32 + expected.pair]) - expected.sine) < tolerance)
        #expect(row.allSatisfy { abs($0) <= 1 })
    }

    @Test("position 0 turns nothing")
    func zero() throws {
        let table = try table(size: 16, nope: 32, base: 50_000, yarn: Self.published)
        var row = [Float](repeating: .nan, count: 16)
        table.fill(&row, position: 0)
        #expect(row == [Float](repeating: 1, count: 8) + [Float](repeating: 0, count: 8))
    }
}
