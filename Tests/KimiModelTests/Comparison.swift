import Foundation

/// How two rows of logits differ.
struct Comparison {
    var cosines: [Double] = []
    /// Kullback-Leibler divergences in nats.
    var divergences: [Double] = []
    var sameArgmax = 0
    /// Rows whose best logit is 0.5 above the second, and how many of those keep it.
    var clear = 0
    var sameClear = 0

    init(_ expected: [Float], _ found: [Float], width: Int) {
        for start in stride(from: 0, to: expected.count, by: width) {
            let (a, b) = (expected[start..<start + width], found[start..<start + width])
            cosines.append(Self.cosine(a, b))
            divergences.append(Self.divergence(a, b))
            let isSame = argmax(a) == argmax(b)
            let top = a.sorted(by: >)
            sameArgmax += isSame ? 1 : 0
            guard top[0] - top[1] > 0.5 else { continue }
            clear += 1
            sameClear += isSame ? 1 : 0
        }
    }

    var rows: Int { cosines.count }
    var meanCosine: Double { cosines.reduce(0, +) / Double(rows) }
    var meanDivergence: Double { divergences.reduce(0, +) / Double(rows) }
    var medianCosine: Double { cosines.sorted()[rows / 2] }
    var medianDivergence: Double { divergences.sorted()[rows / 2] }

    private static func cosine(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
        var (ab, aa, bb) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            ab += Double(x) * Double(y)
            aa += Double(x) * Double(x)
            bb += Double(y) * Double(y)
        }
        return ab / (aa * bb).squareRoot()
    }

    private static func divergence(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
        zip(logProbabilities(a), logProbabilities(b)).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
    }

    private static func logProbabilities(_ logits: ArraySlice<Float>) -> [Double] {
        let most = Double(logits.max() ?? 0)
        let sum = logits.reduce(0.0) { $0 + exp(Double($1) - most) }
        return logits.map { Double($0) - most - log(sum) }
    }
}
