import KimiCore

/// Something that is fed damaged input, case after case.
protocol FuzzTarget: AnyObject {
    /// Runs one case. What it ends in goes into `outcome`; a trap or a signal ends the process, and the last line printed says
    /// after which case.
    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws
}

/// What became of the cases.
struct Outcome {
    /// Cases whose damage was not seen, or did no harm.
    var accepted = 0
    var refused: [Status: Int] = [:]
    /// Cases that ended in neither: a description each.
    var wrong: [String] = []

    /// Notes an error that a case ended in. It must be a `KimiError` that says what and where.
    mutating func refuse(_ error: any Error, needsFile: Bool = true) {
        guard let error = error as? KimiError else {
            wrong.append("an error of another kind: \(error)")
            return
        }
        refused[error.status, default: 0] += 1
        if error.status == .internal { wrong.append("an internal error: \(error.description.prefix(300))") }
        if error.message.isEmpty || error.message.utf8.count > 4000 || (needsFile && error.file == nil) {
            wrong.append("an error that says too little or too much: \(error.description.prefix(300))")
        }
    }
}
