import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology

/// A model of a fixture folder and one sequence, stepped by hand.
final class Harness {
    let model: TextModel
    let sequence: TokenSequence
    let vocabulary: Int

    convenience init(
        _ fixture: String, isa: Int32 = ck_isa_best(), threads: Int = 2, cache: CacheType = .f32,
        policy: LoadPolicy = .map, dense: DenseFormat = .stored, rows: Int = 256, exact: Bool = false, bits: DecodeBits = .exact
    ) throws {
        var options = TextModel.Options()
        options.isa = isa
        options.threads = threads
        options.cacheType = cache
        options.loadPolicy = policy
        options.dense = dense
        options.maxRows = rows
        options.exact = exact
        options.decodeBits = bits
        let checkpoint = try Checkpoint(folder: Fixtures.path(fixture))
        try self.init(TextModel(checkpoint: checkpoint, topology: try Topology.current(), options: options))
    }

    init(_ model: TextModel) throws {
        self.model = model
        vocabulary = model.config.vocabularySize
        sequence = try TokenSequence(pool: model.cache, contextLimit: min(8192, model.config.contextLimit))
    }

    /// Another, empty sequence of the same model.
    convenience init(sharing other: Harness) throws {
        self.init(other, sequence: try TokenSequence(pool: other.model.cache, contextLimit: 8192))
    }

    private init(_ other: Harness, sequence: TokenSequence) {
        model = other.model
        vocabulary = other.vocabulary
        self.sequence = sequence
    }

    func fork() throws -> Harness { Harness(self, sequence: try sequence.fork()) }

    /// Appends `ids` in steps of `chunk` and returns the logits of every token, or of the last only.
    func evaluate(_ ids: [Int32], chunk: Int? = nil, all: Bool = false, precision: Precision = .exact) throws -> [Float] {
        let chunk = min(chunk ?? model.maxRows, model.maxRows)
        var logits: [Float] = []
        let cancellation = Cancellation()
        var done = 0
        while done < ids.count {
            let part = Array(ids[done..<min(done + chunk, ids.count)])
            try sequence.prepare(part.count)
            let rows = part.enumerated().map {
                StepRow(sequence: sequence, token: $1, position: sequence.count + $0)
            }
            let isLast = done + part.count == ids.count
            let wanted = all ? part.count : isLast ? 1 : 0
            var output = [Float](repeating: .nan, count: wanted * vocabulary)
            try output.withUnsafeMutableBufferPointer { target in
                try rows.withUnsafeBufferPointer { rows in
                    try model.withStep { () throws(KimiError) in
                        try model.step(
                            rows, logits: LogitsTarget(target.baseAddress, rows: wanted), precision: precision,
                            cancellation: cancellation)
                    }
                }
            }
            part.withUnsafeBufferPointer { sequence.append($0) }
            logits += output
            done += part.count
        }
        return logits
    }
}

extension Harness {
    /// One step of two sequences of the same model; the logits of all rows.
    func evaluate(
        _ ids: [Int32], beside other: Harness, _ otherIDs: [Int32], precision: Precision = .exact
    ) throws -> (own: [Float], other: [Float]) {
        try sequence.prepare(ids.count)
        try other.sequence.prepare(otherIDs.count)
        let rows = ids.enumerated().map { StepRow(sequence: sequence, token: $1, position: sequence.count + $0) }
            + otherIDs.enumerated().map { StepRow(sequence: other.sequence, token: $1, position: other.sequence.count + $0) }
        var output = [Float](repeating: .nan, count: rows.count * vocabulary)
        try output.withUnsafeMutableBufferPointer { target in
            try rows.withUnsafeBufferPointer { rows in
                try model.withStep { () throws(KimiError) in
                    try model.step(
                        rows, logits: LogitsTarget(target.baseAddress, rows: rows.count), precision: precision,
                        cancellation: Cancellation())
                }
            }
        }
        ids.withUnsafeBufferPointer { sequence.append($0) }
        otherIDs.withUnsafeBufferPointer { other.sequence.append($0) }
        return (Array(output.prefix(ids.count * vocabulary)), Array(output.suffix(otherIDs.count * vocabulary)))
    }
}

/// The instruction sets of this machine.
let levels: [Int32] = (0..<Int32(CK_ISA_COUNT)).filter { ck_kernels_for($0) != nil }

func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count else { return .infinity }
    var most: Float = 0
    // NaN compares false both ways, so it must not slip through a max.
    for (x, y) in zip(a, b) { most = abs(x - y) <= most ? most : (abs(x - y).isNaN ? .infinity : abs(x - y)) }
    return most
}

func argmax(_ values: ArraySlice<Float>) -> Int {
    var best = values.startIndex
    for index in values.indices where values[index] > values[best] { best = index }
    return best - values.startIndex
}

/// Whether two lists of logits are the same bits. Not `==` inside #expect: on a failure that would compute the difference of two
/// collections of half a million elements, which takes for ever.
func identical(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern }
}
