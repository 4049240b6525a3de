import KimiCheckpoint
import KimiCore

/// What of the routed experts has room where.
struct ExpertRoom {
    /// Bytes for experts in memory, if not all are; nil: all.
    var residentBytes: Int?
    /// Bytes of experts that go to memory without cores.
    var distantBytes = 0
    var notes: [String] = []
}

extension PlacementPlanner {
    /// Rooms for weights on all nodes that compute, whole rows allowed for. What caches and buffers lack on a node counts against it.
    private var near: Int {
        let count = nodes.computing.count
        return nodes.computing.indices.reduce(0) {
            let room = roomForWeights($1)
            return $0 + (count == 1 || room < 0 ? room : Int(Double(room) * Self.usable))
        }
    }

    /// What would have to go for every node to hold its part of caches and buffers, which are dealt evenly; 0 if each does.
    private var missingForCaches: Int {
        let least = nodes.computing.indices.map(roomForWeights).min() ?? 0
        return least < 0 ? -least * nodes.computing.count : 0
    }

    private var far: Int { nodes.far.reduce(0) { $0 + $1.capacity } }

    /// The fewest bytes for experts that come and go: those of one token in one layer, twice.
    var leastResident: Int {
        min(inventory.expertBytes, 2 * inventory.config.expertsPerToken * inventory.largestExpert)
    }

    /// Decides what has room.
    ///
    /// - Throws: `outOfMemory` with the changes that would help.
    func room() throws(KimiError) -> ExpertRoom {
        let forExperts = near - inventory.matrixBytes
        // Room on another node is no help to one whose part of the caches does not fit.
        if missingForCaches > 0, forExperts >= leastResident { throw refusal(missing: missingForCaches, streaming: 0) }
        if let asked = options.residentBytes, asked < inventory.expertBytes {
            guard asked >= leastResident else {
                throw KimiError(
                    .invalidArgument,
                    "resident_bytes is \(asked); it must be at least \(leastResident): room for the experts of one token in one layer, twice",
                    subject: "resident_bytes")
            }
            guard asked <= forExperts else { throw refusal(missing: asked - forExperts, streaming: forExperts) }
            return ExpertRoom(residentBytes: asked)
        }
        if inventory.expertBytes <= forExperts { return ExpertRoom() }
        let missing = inventory.expertBytes - forExperts
        if forExperts >= 0, missing <= far {
            return ExpertRoom(
                distantBytes: missing,
                notes: ["\(Self.amount(missing)) of experts, the coldest, lie in memory without cores; workers read them from there"])
        }
        guard options.mayStream, options.residentBytes == nil, forExperts >= leastResident, inventory.expertBytes > 0 else {
            throw refusal(missing: inventory.expertBytes == 0 || forExperts < leastResident && options.mayStream
                ? leastResident - forExperts : missing, streaming: forExperts)
        }
        var room = ExpertRoom(residentBytes: forExperts)
        room.notes.append(
            "\(Self.amount(missing)) of experts are streamed from the disk; all would be in memory with \(remedies(missing, streaming: nil).joined(separator: ", or "))")
        if far > 0 { room.notes.append("memory without cores is not used while experts are streamed") }
        return room
    }

    // MARK: What would help

    func refusal(missing: Int, streaming: Int) -> KimiError {
        let total = inventory.matrixBytes + inventory.expertBytes
        var need = "weights \(Self.amount(total)), caches \(Self.amount(cacheBytes)), buffers \(Self.amount(bufferBytes))"
        if options.eyes > 0 { need += ", vision tower \(Self.amount(options.eyes))" }
        let have = nodes.computing.reduce(0) { $0 + $1.capacity }
        return KimiError(
            .outOfMemory,
            "does not fit: \(need), and \(Self.amount(have)) may be used; it needs \(remedies(missing, streaming: streaming).joined(separator: ", or "))",
            subject: options.memoryLimit == nil ? "memory" : "memory_limit")
    }

    /// Changes that would each do alone, the memory that is missing first; each is computed, not guessed.
    ///
    /// - Parameter streaming: bytes that experts could have in memory if the others came from the disk; nil if that is no remedy.
    private func remedies(_ missing: Int, streaming: Int?) -> [String] {
        let config = inventory.config
        // In whole megabytes, upwards; on several nodes a part of a node's room stays free.
        let more = Double(missing) / (nodes.computing.count == 1 ? 1 : Self.usable)
        var found = ["\(Self.amount(Self.roundedUp(Int(more) + 1_000_000))) more"]
        // Smaller weights make no room for caches that are too large without them.
        if missingForCaches == 0, let bytes = inventory.savedByInt8, bytes >= missing {
            found.append("dense=int8 (saves \(Self.amount(bytes)))")
        }
        let token = options.cacheType.bytesPerToken(config)
        for type in [CacheType.bf16, .int8] where type.bytesPerToken(config) < token {
            let saved = cacheBytes - Int(Double(cacheBytes) / Double(token) * Double(type.bytesPerToken(config)))
            if saved >= missing {
                found.append("cache=\(type.name) (saves \(Self.amount(saved)))")
                break
            }
        }
        if options.sequences > 1 {
            let one = (cacheBytes / options.sequences) + config.vocabularySize * 4
            let fewer = options.sequences - (missing + one - 1) / max(1, one)
            if fewer >= 1 { found.append("sequences=\(fewer)") }
        }
        let perToken = max(1, cacheBytes / max(1, context))
        let shorter = (context - missing / perToken - 1) / BlockPool.blockTokens * BlockPool.blockTokens
        if shorter >= BlockPool.blockTokens { found.append("context=\(shorter)") }
        if let streaming, streaming >= leastResident, inventory.expertBytes > streaming {
            // Downwards, to a number that can be typed.
            let rounded = streaming / 1_000_000_000 > 0 ? streaming / 1_000_000_000 * 1_000_000_000 : streaming
            let resident = rounded >= leastResident ? rounded : streaming
            let words = resident % 1_000_000_000 == 0 ? "\(resident / 1_000_000_000)GB" : "\(resident)"
            found.append("resident=\(words) (streams \(Self.amount(inventory.expertBytes - resident)) from disk)")
        }
        return found
    }

    /// The next number that `amount` shows as it is, so that what a message asks for is enough.
    private static func roundedUp(_ bytes: Int) -> Int {
        let unit = [1_000_000_000_000, 1_000_000_000, 1_000_000].first { bytes >= $0 } ?? 1_000
        let step = bytes >= 100 * unit ? unit : unit / 10
        return (bytes + step - 1) / step * step
    }

    /// 61 GB, 10.5 GB, 870 MB: decimal, as memory is bought.
    package static func amount(_ bytes: Int) -> String {
        let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")]
        for (size, name) in units where bytes >= size {
            // Tenths, rounded; safe because bytes are below 2^60.
            let tenths = (bytes / (size / 100) + 5) / 10
            return tenths >= 1000 || tenths % 10 == 0 && tenths >= 100 ? "\((tenths + 5) / 10) \(name)" : "\(tenths / 10).\(tenths % 10) \(name)"
        }
        return "\(bytes) bytes"
    }
}

extension ModelInventory {
    /// What the same weights would take less with `DenseFormat.int8`; nil if they are kept so already.
    var savedByInt8: Int? {
        guard dense == .stored else { return nil }
        return matrices.reduce(0) { $0 + max(0, $1.byteCount - $1.int8Bytes) }
    }
}
