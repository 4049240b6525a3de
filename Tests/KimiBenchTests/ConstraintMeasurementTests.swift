import KimiBench
import Testing

struct ConstraintMeasurementTests {
    @Test("masks of a large vocabulary are right too, whichever way they were found: no document is forbidden")
    func documentsAreWritten() {
        let results = ConstraintMeasurement.measure(vocabularySize: 20_000)
        #expect(results.map(\.name) == ConstraintMeasurement.cases.map(\.name))
        for result in results { #expect(result.isComplete, "\(result.name)") }
    }
}
