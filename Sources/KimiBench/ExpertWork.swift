import KimiCore
import KimiModel
import KimiRuntime

/// The mixture-of-experts layers of a checkpoint by themselves, on random rows: other experts in every call.
package final class ExpertWork {
    private let model: TextModel
    private let layers: [Int]
    private let cancellation: Cancellation
    private let input: MappedMemory
    private var random = Random(seed: Random.entropySeed())
    /// Experts read by the calls of the latest run, added up.
    package private(set) var experts = 0

    /// - Throws: `unsupported` if the checkpoint has no experts.
    package init(model: TextModel, cancellation: Cancellation) throws(KimiError) {
        self.model = model
        self.cancellation = cancellation
        layers = model.expertLayers
        guard !layers.isEmpty else { throw KimiError(.unsupported, "this checkpoint has no layer with experts") }
        input = try MappedMemory(
            byteCount: model.maxRows * model.config.hiddenSize * MemoryLayout<Float>.stride, what: "rows to measure with")
    }

    /// All rows made anew, roughly normal with deviation 1, as a norm leaves them. Not part of a measured time.
    package func draw() {
        let values = input.pointer(to: Float.self)
        for index in 0..<model.maxRows * model.config.hiddenSize {
            // Four even draws of 16 bits, added up.
            let bits = random.next()
            let sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + bits >> 48
            values[index] = (Float(sum) / 65536 - 2) * 1.732
        }
    }

    /// Runs every layer once with as many rows as it takes, so that mapped weights are in memory.
    package func touchWeights() throws(KimiError) {
        draw()
        _ = try run(rows: model.maxRows, calls: layers.count)
    }

    /// How many calls make a repeat: all layers once at least, so that a small one does not find its weights in a cache, and
    /// no call with rows that the layer has seen.
    package func calls(rows: Int) -> Int { layers.count * max(1, min(8, model.maxRows / max(rows, 1))) }

    /// Runs `calls` layers in turn with `rows` rows each.
    package func run(rows: Int, calls: Int) throws(KimiError) -> WorkCount {
        var count = WorkCount()
        experts = 0
        for call in 0..<calls {
            let first = call / layers.count * rows % max(1, model.maxRows - rows + 1)
            let result = try model.probeExperts(
                layer: layers[call % layers.count], rows: rows,
                input: UnsafePointer(input.pointer(to: Float.self)) + first * model.config.hiddenSize,
                precision: model.precision(rows: rows), cancellation: cancellation)
            count += result.count
            experts += result.experts
        }
        return count
    }
}
