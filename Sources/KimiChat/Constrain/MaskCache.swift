/// Masks of configurations that came up, the most recent ones. For one matcher.
struct MaskCache {
    /// 163,840 tokens are 20 KiB a mask.
    static let limit = 256

    private struct Entry {
        var key: Configuration
        var mask: [UInt64]
        var lastUse: Int
    }

    private struct Key: Hashable {
        let configuration: Configuration
        static func == (left: Key, right: Key) -> Bool { left.configuration == right.configuration }
        func hash(into hasher: inout Hasher) {
            hasher.combine(configuration.frame.hash)
            hasher.combine(configuration.stack)
        }
    }

    private var places: [Key: Int] = [:]
    private var entries: [Entry] = []
    private var time = 0

    /// Adds the mask of a configuration to `target`; false if it is not here.
    mutating func add(_ configuration: Configuration, to target: UnsafeMutablePointer<UInt64>) -> Bool {
        guard let place = places[Key(configuration: configuration)] else { return false }
        time += 1
        entries[place].lastUse = time
        entries[place].mask.withUnsafeBufferPointer { mask in
            for word in mask.indices { target[word] |= mask[word] }
        }
        return true
    }

    /// Keeps a mask, which `fill` makes, in place of the one that was not used for the longest time.
    mutating func insert(
        _ configuration: Configuration, words: Int, _ fill: (UnsafeMutablePointer<UInt64>) -> Void
    ) {
        time += 1
        let place: Int
        if entries.count < Self.limit {
            place = entries.count
            entries.append(Entry(key: configuration, mask: [UInt64](repeating: 0, count: words), lastUse: time))
        } else {
            place = entries.indices.min { entries[$0].lastUse < entries[$1].lastUse } ?? 0
            places[Key(configuration: entries[place].key)] = nil
            entries[place].key = configuration
            entries[place].lastUse = time
            entries[place].mask.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
        }
        places[Key(configuration: configuration)] = place
        entries[place].mask.withUnsafeMutableBufferPointer { mask in
            if let base = mask.baseAddress { fill(base) }
        }
    }

    mutating func removeAll() {
        places.removeAll(keepingCapacity: true)
        entries.removeAll()
        time = 0
    }
}
