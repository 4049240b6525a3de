/// The character map of a SentencePiece model: a double-array trie of rewritings (as darts-clone lays it out) and the
/// texts that they lead to. The library walks it without looking where it ends, so it is checked here.
enum CharacterMap {
    /// Larger maps are taken for damage; that of NFKC has 240 kB.
    static let longest = 16 << 20
    /// The library keeps this many matches of one place in a text, and reads on where there are more.
    static let mostMatches = 32

    /// What is wrong with the map, or nil. An empty map means that nothing is rewritten.
    static func damage(_ map: ArraySlice<UInt8>) -> String? {
        if map.isEmpty { return nil }
        guard map.count <= longest else {
            return "the character map has \(map.count) bytes; at most \(longest) are read"
        }
        return map.withUnsafeBytes { bytes in
            guard bytes.count > 4 else { return "the character map is cut short" }
            let size = Int(UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)))
            guard size >= 1024, size % 4 == 0, size < bytes.count - 4 else {
                return "the character map gives its trie \(size) of \(bytes.count - 4) bytes"
            }
            guard bytes[bytes.count - 1] == 0 else { return "the texts of the character map do not end" }
            let trie = Trie(
                bytes: UnsafeRawBufferPointer(rebasing: bytes[4..<4 + size]), units: size / 4,
                texts: bytes.count - 4 - size)
            return trie.isSound() ? nil : "the trie of the character map is damaged"
        }
    }
}

/// Units of 32 bits: a label in bits 0 to 7 (bit 31 too if the unit is a value), whether a value hangs on it in bit 8,
/// and the way to its children. A node's children lie at its base, each at the base with its label's bits flipped.
private struct Trie {
    let bytes: UnsafeRawBufferPointer
    let units: Int
    /// The size of what values point into.
    let texts: Int

    // Safe because every index is checked against `units` before, by the base it lies in.
    private func unit(_ index: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
    }

    /// Where the children of the node at `index` begin, or nil if some would lie outside.
    private func base(_ index: Int) -> Int? {
        let unit = unit(index)
        let base = index ^ Int((unit >> 10) << ((unit & 0x200) >> 6))
        return base | 0xFF < units ? base : nil
    }

    private struct Step {
        let base: Int
        var label = 0
        /// The most values on any way down from here, as far as the labels before `label` tell.
        var matches: Int8 = 0
    }

    /// Follows every way from the root that a text could take: none may lead outside or back to where it was, each
    /// value must point at a text, and no way may pass too many values. Nodes may be shared, and are followed once.
    func isSound() -> Bool {
        let new: Int8 = -1, open: Int8 = -2
        // For each base: the most values on any way down, or one of the two above.
        var below = [Int8](repeating: new, count: units)
        guard let root = base(0) else { return false }
        below[root] = open
        var steps = [Step(base: root)]
        while var step = steps.popLast() {
            guard step.label <= 0xFF else {
                below[step.base] = step.matches
                continue
            }
            let index = step.base ^ step.label
            let child = unit(index)
            guard child & 0x8000_00FF == UInt32(step.label) else {
                step.label += 1
                steps.append(step)
                continue
            }
            guard let next = base(index), below[next] != open else { return false }
            if below[next] == new {
                // The same label again, once what is below it is known.
                steps.append(step)
                below[next] = open
                steps.append(Step(base: next))
                continue
            }
            var matches = below[next]
            if child & 0x100 != 0 {
                guard Int(unit(next) & 0x7FFF_FFFF) < texts else { return false }
                matches += 1
            }
            guard matches <= CharacterMap.mostMatches else { return false }
            step.matches = max(step.matches, matches)
            step.label += 1
            steps.append(step)
        }
        return true
    }
}
