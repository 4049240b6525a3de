import Foundation

/// `KimiFuzz --target NAME --cases N --seed S`: exit status 0 if every case ended as it should.
///
/// Each case follows from the seed and its number alone. After a crash, `--first N --every 1` with the same seed and the last number
/// that was printed tells which case it was.
func option(_ name: String) -> String? {
    guard let place = CommandLine.arguments.firstIndex(of: "--" + name) else { return nil }
    return CommandLine.arguments.dropFirst(place + 1).first
}

func target(_ name: String) throws -> (any FuzzTarget)? {
    switch name {
    case "tokenizer": try TokenizerTarget()
    case "session": try SessionTarget()
    case "prefixes": try PrefixTarget()
    case "request": try RequestTarget()
    case "schema": try SchemaTarget()
    case "output": try OutputTarget()
    case "picture", "clip", "dataurl": try MediaTarget.Part(rawValue: name).map { try MediaTarget($0) }
    default: try CheckpointTarget.Part(rawValue: name).map { try CheckpointTarget($0) }
    }
}

/// At once, also into a pipe: after a crash the last line counts.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

let name = option("target") ?? ""
guard let cases = Int(option("cases") ?? "10000"), cases >= 0, let first = Int(option("first") ?? "0"), first >= 0,
    let every = Int(option("every") ?? "2500"), every > 0, let seed = UInt64(option("seed") ?? "1"), let target = try target(name)
else {
    let names = "headers|config|index|tokenizer|session|prefixes|request|schema|output|picture|clip|dataurl"
    print("use: KimiFuzz --target \(names) [--cases 10000] [--seed 1] [--first 0] [--every 2500]")
    exit(2)
}

say("fuzzing \(name): \(cases) cases, seed \(seed)")
var outcome = Outcome()
for number in first..<first + cases {
    if number % every == 0 { say("\(name): case \(number)") }
    // A generator of its own, so that one case can be run alone.
    var mutator = Mutator(seed: seed &+ UInt64(number) &* 0x1_0000_0001)
    let known = outcome.wrong.count
    try target.run(number, &mutator, &outcome)
    for description in outcome.wrong[known...] { say("case \(number): \(description)") }
}
let refused = outcome.refused.sorted { $0.value > $1.value }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
say("\(name): \(outcome.accepted) accepted, refused: \(refused); \(outcome.wrong.count) wrong")
exit(outcome.wrong.isEmpty ? 0 : 1)
