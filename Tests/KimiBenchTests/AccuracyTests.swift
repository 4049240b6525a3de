import KimiBench
import Testing

struct AccuracyTests {
    private func compared(_ rows: [(logits: [Float], reference: [Float])]) -> Accuracy {
        var accuracy = Accuracy()
        for row in rows {
            row.logits.withUnsafeBufferPointer { logits in
                row.reference.withUnsafeBufferPointer { accuracy.add(logits, reference: $0) }
            }
        }
        return accuracy
    }

    @Test("cosine and divergence by hand")
    func byHand() {
        // Probabilities of the reference 1/2 and 1/2, of the other 3/4 and 1/4: ln 2 - ln 3 / 2.
        let log3: Float = 1.0986123
        let accuracy = compared([([log3, 0], [0, 0])])
        #expect(abs(accuracy.meanDivergence - 0.143841) < 1e-6)
        #expect(abs(accuracy.mostDivergence - 0.143841) < 1e-6)
        // The other way round it is not the same: 3/4 ln(3/2) - 1/4 ln 2.
        #expect(abs(compared([([0, 0], [log3, 0])]).meanDivergence - 0.130812) < 1e-6)
        // 45 degrees, and the same direction at twice the length.
        let cosines = compared([([1, 0], [1, 1]), ([2, 2], [1, 1])])
        #expect(abs(cosines.leastCosine - 0.5.squareRoot()) < 1e-12)
        #expect(abs(cosines.meanCosine - (1 + 0.5.squareRoot()) / 2) < 1e-12)
    }

    @Test("large logits do not overflow, and a shift of all is no divergence")
    func largeLogits() {
        let accuracy = compared([([1001, 1000, -1000], [1, 0, -2000])])
        #expect(abs(accuracy.meanDivergence) < 1e-9)
    }

    @Test("choices are counted, the clear ones apart")
    func choices() {
        let accuracy = compared([
            ([2, 1, 0], [1, 0, 0.5]), // clear by exactly the margin is not clear
            ([0, 1, 0], [0, 0.1, 0]), // the same, not clear
            ([0, 1, 0], [2, 1, 0]), // another, clear
            ([3, 1, 0], [2, 1, 0]), // the same, clear
            ([1, 3, 0], [0.1, 0, 0]), // another, not clear
        ])
        #expect(accuracy.rows == 5 && accuracy.sameChoice == 3)
        #expect(accuracy.clearRows == 2 && accuracy.sameClearChoice == 1)
    }

    @Test("nothing compared is no difference, and rows of different lengths are not compared")
    func nothing() {
        let accuracy = compared([([1], [1, 2]), ([], [])])
        #expect(accuracy.rows == 0 && accuracy.meanCosine == 1 && accuracy.meanDivergence == 0)
    }
}
