import KimiBench
import KimiCore

/// How long masks over a vocabulary of Kimi's size take, on one core.
struct ConstraintReport: BenchReport {
    static let vocabulary = 163_840

    let results: [ConstraintMeasurement]

    /// - Parameter repeats: how often each document is written; only in the first time no mask is known yet.
    init(repeats: Int) { results = ConstraintMeasurement.measure(vocabularySize: Self.vocabulary, rounds: repeats) }

    private static let shares = [("median", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("slowest", 1.0)]

    func print() {
        var table = Table(["schema", "masks", "compiling"] + Self.shares.map(\.0), right: Set(1...6))
        for result in results {
            table.row([result.name, Units.count(result.seconds.count), Units.elapsed(result.compileSeconds)]
                + Self.shares.map { Units.elapsed(result.percentile($0.1)) })
        }
        table.print()
        Terminal.output.write("\(Units.count(Self.vocabulary)) tokens, made up; one thread; the time of a mask, token by token of a document\n")
    }

    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("vocabulary", Self.vocabulary)
            json.array("results") { json in
                for result in results {
                    json.object { json in
                        json.member("schema", result.name)
                        json.member("masks", result.seconds.count)
                        json.member("compile_seconds", result.compileSeconds)
                        for (name, share) in [("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
                            json.member("\(name)_seconds", result.percentile(share))
                        }
                    }
                }
            }
        }
        return json.text
    }
}
