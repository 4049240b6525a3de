import Glibc
import KimiCore

/// How often each expert is chosen, relative to the others of its layer: what placement by heat goes by.
package struct ExpertHeat: Sendable, Equatable {
    package let layers: Int
    package let experts: Int
    /// `layer * experts + expert`; a row of zeros in dense layers, and where nothing is known.
    package let counts: [Double]

    /// - Parameter counts: `layers` rows of `experts` finite numbers, none negative.
    package init(layers: Int, experts: Int, counts: [Double]) {
        self.layers = layers
        self.experts = experts
        self.counts = counts
    }

    /// All experts alike.
    package static func uniform(layers: Int, experts: Int) -> ExpertHeat {
        ExpertHeat(layers: layers, experts: experts, counts: [Double](repeating: 1, count: layers * experts))
    }

    /// The longest heat file that is read: hundred times what the full model takes.
    private static let mostBytes = 64 << 20
    /// Counts beyond this are no counts; sums of as many as there may be stay exact enough.
    private static let mostCount = 1e15

    /// Reads a heat file for a model with so many layers and experts.
    ///
    /// - Throws: `io` if it cannot be read; `format` for a file that is none, is for another model, or has a number that is no count,
    ///   naming layer and expert.
    package init(file path: String, layers: Int, experts: Int) throws(KimiError) {
        let json = try JSON.parse(try Self.contents(path), file: path, maxDepth: 4)
        func fault(_ message: String, _ subject: String) -> KimiError { KimiError(.format, message, file: path, subject: subject) }
        guard json["format"]?.stringValue == "kimi-heat" else {
            throw fault("is no heat file: {\"format\": \"kimi-heat\", \"version\": 1, ...} must be here", "format")
        }
        guard let version = json["version"]?.intValue, version == 1 else {
            throw fault("is a heat file of another version; 1 must be here", "version")
        }
        for (name, right) in [("layers", layers), ("experts", experts)] {
            guard let found = json[name]?.intValue else { throw fault("\(right) must be here, found \(json[name]?.kind ?? "nothing")", name) }
            guard found == right else { throw fault("is for a model with \(found) \(name); this one has \(right)", name) }
        }
        guard let rows = json["counts"]?.arrayValue else {
            throw fault("\(layers) lists of \(experts) numbers must be here, found \(json["counts"]?.kind ?? "nothing")", "counts")
        }
        guard rows.count == layers else { throw fault("has \(rows.count) lists; \(layers) must be here, one for each layer", "counts") }
        var counts: [Double] = []
        counts.reserveCapacity(layers * experts)
        for (layer, row) in rows.enumerated() {
            guard let numbers = row.arrayValue, numbers.count == experts else {
                let found = row.arrayValue.map { "a list of \($0.count)" } ?? row.kind
                throw fault("layer \(layer): \(found); a list of \(experts) numbers must be here", "counts")
            }
            for (expert, number) in numbers.enumerated() {
                guard let value = number.doubleValue, value.isFinite, (0...Self.mostCount).contains(value) else {
                    let found = number.doubleValue.map { "\($0)" } ?? number.kind
                    throw fault("layer \(layer), expert \(expert): \(found); a number from 0 to 1e15 must be here", "counts")
                }
                counts.append(value)
            }
        }
        self.init(layers: layers, experts: experts, counts: counts)
    }

    private static func contents(_ path: String) throws(KimiError) -> [UInt8] {
        func failure(_ what: String) -> KimiError {
            KimiError(.io, "\(what): \(String(cString: strerror(errno)))", file: path, subject: "heat")
        }
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw KimiError(.invalidArgument, "the name of a heat file is wanted", subject: "heat")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure("cannot be opened") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("cannot be read") }
        guard status.st_mode & S_IFMT == S_IFREG, (1...Self.mostBytes).contains(Int(status.st_size)) else {
            throw KimiError(.format, "is no heat file: a file of 1 to \(mostBytes) bytes is wanted", file: path, subject: "heat")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let got = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done) }
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw failure("cannot be read") }
            guard got > 0 else { throw KimiError(.io, "ended after \(done) bytes of \(bytes.count)", file: path, subject: "heat") }
            done += got
        }
        return bytes
    }

    // MARK: What placement asks

    /// The probability that a token of a layer chooses each expert, the sum being `perToken`; 0 in a layer without experts.
    ///
    /// Where counts say that some are chosen more often than every time, they are chosen every time, and the others share the rest.
    /// A layer with nothing but zeros is taken to choose all alike.
    package func probabilities(layer: Int, perToken: Int) -> [Double] {
        var weights = Array(counts[layer * experts..<(layer + 1) * experts])
        let total = weights.reduce(0, +)
        guard total > 0 else { return [Double](repeating: experts > 0 ? Double(perToken) / Double(experts) : 0, count: experts) }
        // An expert that was never seen is chosen now and then all the same: as often as half an occurrence.
        let least = total / Double(experts) * 1e-3
        for index in weights.indices { weights[index] = max(weights[index], least) }
        var result = [Double](repeating: 0, count: experts)
        var free = Array(weights.indices)
        var left = Double(min(perToken, experts))
        while !free.isEmpty {
            let sum = free.reduce(0) { $0 + weights[$1] }
            let scale = left / sum
            let full = free.filter { weights[$0] * scale >= 1 }
            guard !full.isEmpty else {
                for index in free { result[index] = weights[index] * scale }
                return result
            }
            for index in full { result[index] = 1 }
            left = max(0, left - Double(full.count))
            free.removeAll { result[$0] == 1 }
        }
        return result
    }
}
