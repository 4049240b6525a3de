import Glibc
import KimiCheckpoint

/// Rotary position embedding with YaRN scaling.
///
/// Frequencies after "YaRN: Efficient Context Window Extension" (arXiv 2309.00071, section 3.2, NTK-by-parts), with the constants
/// and the f32 rounding of the DeepSeek-V3 reference: the angle is position * frequency in f32, its sine and cosine exact.
package struct RotaryTable {
    /// One frequency for each pair of elements.
    package let frequencies: [Float]
    /// Multiplies sine and cosine: mscale(factor, mscale) / mscale(factor, mscale_all_dim).
    package let amplitude: Float
    /// Multiplies attention scores: (nope + rope)^-1/2, times mscale(factor, mscale_all_dim)^2 with YaRN.
    package let scoreScale: Float

    package init(config: ModelConfig) {
        let size = config.ropeSize
        let pairs = size / 2
        let extrapolated = (0..<pairs).map { 1 / pow(config.ropeBase, Double(2 * $0) / Double(size)) }
        let plainScale = 1 / Double(config.nopeSize + size).squareRoot()
        guard let yarn = config.yarn else {
            frequencies = extrapolated.map { Float($0) }
            amplitude = 1
            scoreScale = Float(plainScale)
            return
        }
        // The pair whose wavelength makes `rotations` turns over the original context.
        func correctionDimension(_ rotations: Double) -> Double {
            Double(size) * log(Double(yarn.originalContext) / (rotations * 2 * .pi)) / (2 * log(config.ropeBase))
        }
        let low = max(correctionDimension(yarn.betaFast).rounded(.down), 0)
        var high = min(correctionDimension(yarn.betaSlow).rounded(.up), Double(size - 1))
        if low == high { high += 0.001 }
        frequencies = extrapolated.enumerated().map { index, frequency in
            let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
            return Float(frequency / yarn.factor * ramp + frequency * (1 - ramp))
        }
        amplitude = Float(Self.magnitude(yarn.factor, yarn.mscale) / Self.magnitude(yarn.factor, yarn.mscaleAllDim))
        let scoreMagnitude = yarn.mscaleAllDim == 0 ? 1 : Self.magnitude(yarn.factor, yarn.mscaleAllDim)
        scoreScale = Float(plainScale * scoreMagnitude * scoreMagnitude)
    }

    /// 0.1 * mscale * ln(factor) + 1, or 1 where nothing is stretched.
    private static func magnitude(_ factor: Double, _ mscale: Double) -> Double {
        factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1
    }

    /// Cosines, then sines, of all pairs at one position: 2 * pairs floats.
    package func fill(_ table: UnsafeMutablePointer<Float>, position: Int) {
        let pairs = frequencies.count
        for pair in 0..<pairs {
            let angle = Double(Float(position) * frequencies[pair])
            table[pair] = Float(cos(angle)) * amplitude
            table[pairs + pair] = Float(sin(angle)) * amplitude
        }
    }
}
