import Glibc

/// Biases for a router of random weights with which some experts are chosen far more often than others.
///
/// The expert of rank r is to be among the chosen ones with a probability of c / r, at most `most`, where c makes them add up to
/// the number that is chosen (Zipf's law). What an expert's score s = sigmoid(logit) exceeds with that probability is known for
/// logits of a normal distribution, so the bias lifts that to the score at which one is chosen. It is only added to what the token
/// itself gives, so every expert has tokens that choose it and others that do not.
struct SkewedHeat {
    let experts: Int
    let chosen: Int
    let logitDeviation: Double

    /// No expert is to be chosen more often: it would not depend on the token any more.
    private static let most = 0.9
    /// Biases are multiples of 1 / grid, so that no mathematical library's last bit shows.
    private static let grid = 4096.0

    /// The probability with which the expert of each rank is to be chosen, the hottest first.
    var probabilities: [Double] {
        func probabilities(_ c: Double) -> [Double] { (1...experts).map { min(Self.most, c / Double($0)) } }
        var (low, high) = (0.0, Double(experts))
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if probabilities(middle).reduce(0, +) < Double(chosen) { low = middle } else { high = middle }
        }
        return probabilities(low)
    }

    /// The bias of each expert, their ranks dealt at random.
    func biases(_ random: CountedRandom) -> [Float] {
        var random = random
        let usual = exceeded(withProbability: Double(chosen) / Double(experts))
        var biases = probabilities.map { usual - exceeded(withProbability: $0) }
        for index in stride(from: experts - 1, to: 0, by: -1) {
            biases.swapAt(index, Int(random.next() % UInt64(index + 1)))
        }
        return biases.map { Float(($0 * Self.grid).rounded() / Self.grid) }
    }

    /// The score that a token's score exceeds so often.
    private func exceeded(withProbability probability: Double) -> Double {
        1 / (1 + exp(logitDeviation * RandomValues.inverseNormal(probability)))
    }
}
