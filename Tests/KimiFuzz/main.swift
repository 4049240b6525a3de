import Foundation

/// `KimiFuzz --target headers|config|index --cases N --seed S`: exit status 0 if every case opened or failed as it should.
func option(_ name: String) -> String? {
    guard let place = CommandLine.arguments.firstIndex(of: "--" + name) else { return nil }
    return CommandLine.arguments.dropFirst(place + 1).first
}

guard let part = CheckpointTarget.Part(rawValue: option("target") ?? ""),
    let cases = Int(option("cases") ?? "10000"), cases >= 0, let seed = UInt64(option("seed") ?? "1")
else {
    let targets = CheckpointTarget.Part.allCases.map(\.rawValue).joined(separator: "|")
    print("use: KimiFuzz --target \(targets) [--cases 10000] [--seed 1]")
    exit(2)
}
/// At once, also into a pipe: after a crash the last line counts.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

say("fuzzing \(part): \(cases) cases, seed \(seed)")
let outcome = try CheckpointTarget(part).run(cases: cases, seed: seed) { say("case \($0): \($1)") }
let refused = outcome.refused.sorted { $0.value > $1.value }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
say("\(part): \(outcome.opened) opened, refused: \(refused); \(outcome.wrong.count) wrong")
exit(outcome.wrong.isEmpty ? 0 : 1)
