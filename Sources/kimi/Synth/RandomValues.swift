import Glibc

/// A stream of 64-bit numbers in which any place can be reached at once: the state is a counter, and each value is one wide
/// multiplication folded onto itself. So the bytes of a tensor do not depend on who makes which part of them.
struct CountedRandom {
    private var counter: UInt64
    private static let step: UInt64 = 0x2D35_8DCC_AA6C_78A5
    private static let salt: UInt64 = 0x8BB8_4B93_962E_ACC9

    /// The stream of `seed` from value number `place` on.
    init(seed: UInt64, place: Int) { counter = seed &+ UInt64(truncatingIfNeeded: place) &* Self.step }

    @inline(__always)
    mutating func next() -> UInt64 {
        counter &+= Self.step
        let product = counter.multipliedFullWidth(by: counter ^ Self.salt)
        return product.high ^ product.low
    }

    /// A seed for one tensor of a checkpoint.
    static func seed(_ seed: UInt64, name: String) -> UInt64 {
        var hash = seed ^ 0xCBF2_9CE4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        var random = CountedRandom(seed: hash ^ (hash >> 29), place: 0)
        return random.next()
    }
}

/// Makes the bytes of tensors. One for each thread: it keeps tables.
struct RandomValues {
    /// So many different values a distribution has; a random word gives the places of four.
    private static let tableSize = 4096

    private let seed: UInt64
    private var tables: [TableKey: [UInt16]] = [:]

    private struct TableKey: Hashable {
        let center: Double
        let spread: Double
        let isNormal: Bool
    }

    init(seed: UInt64) { self.seed = seed }

    /// Fills `target` with the bytes of `tensor` from `offset` on.
    ///
    /// - Parameter offset: a multiple of 8.
    mutating func fill(_ target: UnsafeMutableRawBufferPointer, _ tensor: SynthTensor, from offset: Int) {
        let random = CountedRandom(seed: CountedRandom.seed(seed, name: tensor.name), place: offset / 8)
        switch tensor.values {
        case .normal(let deviation):
            Self.look(up: table(center: 0, spread: deviation, isNormal: true), random, target)
        case .aroundOne:
            Self.look(up: table(center: 1, spread: 0.1, isNormal: true), random, target)
        case .scales(let mean):
            Self.look(up: table(center: mean, spread: mean / 4, isNormal: false), random, target)
        case .nibbles:
            Self.pack(random, target)
        case .shape(let rows, let columns):
            let bytes = [rows, columns].flatMap { number in
                (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
            }
            target.copyBytes(from: bytes[min(offset, 8)..<min(offset + target.count, 8)])
        case .routerBias(let deviation):
            Self.fillFloats(random, target, deviation: deviation)
        case .skewedRouterBias(let chosen, let logitDeviation):
            let experts = tensor.byteCount / MemoryLayout<Float>.size
            let biases = SkewedHeat(experts: experts, chosen: chosen, logitDeviation: logitDeviation).biases(random)
            let bytes = biases.flatMap { bias in (0..<4).map { UInt8(truncatingIfNeeded: bias.bitPattern >> (8 * $0)) } }
            target.copyBytes(from: bytes[min(offset, bytes.count)..<min(offset + target.count, bytes.count)])
        }
    }

    // MARK: Distributions

    private mutating func table(center: Double, spread: Double, isNormal: Bool) -> [UInt16] {
        let key = TableKey(center: center, spread: spread, isNormal: isNormal)
        if let table = tables[key] { return table }
        let quantiles = isNormal ? Self.normalQuantiles : Self.uniformQuantiles
        let table = quantiles.map { Self.bf16(Float(center + spread * $0)) }
        tables[key] = table
        return table
    }

    /// The middles of equal shares of the standard normal distribution, so that mean and deviation are right to the last figure.
    private static let normalQuantiles: [Double] = shares.map(inverseNormal)

    private static let uniformQuantiles: [Double] = shares.map { $0 * 2 - 1 }

    private static var shares: [Double] { (0..<tableSize).map { (Double($0) + 0.5) / Double(tableSize) } }

    /// The x below which a standard normal variable lies with this probability, by bisection.
    static func inverseNormal(_ probability: Double) -> Double {
        var (low, high) = (-8.0, 8.0)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if erfc(-middle / 2.0.squareRoot()) / 2 < probability { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }

    /// Rounded to the nearest, ties to even. Not for NaN.
    private static func bf16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
    }

    // MARK: Loops

    /// Calls `word` for each eight bytes and writes them, the last ones as far as there is room.
    @inline(__always)
    private static func fillWords(_ target: UnsafeMutableRawBufferPointer, _ word: () -> UInt64) {
        let whole = target.count / 8
        for index in 0..<whole { target.storeBytes(of: word().littleEndian, toByteOffset: index &* 8, as: UInt64.self) }
        if target.count > whole * 8 {
            withUnsafeBytes(of: word().littleEndian) { last in
                let rest = UnsafeMutableRawBufferPointer(rebasing: target[(whole * 8)...])
                rest.copyBytes(from: last.prefix(rest.count))
            }
        }
    }

    private static func look(up table: [UInt16], _ random: CountedRandom, _ target: UnsafeMutableRawBufferPointer) {
        var random = random
        table.withUnsafeBufferPointer { table in
            guard table.count == tableSize, let table = table.baseAddress else { return }
            // Safe because a place has twelve bits and the table 4,096 entries.
            fillWords(target) {
                let places = random.next()
                let first = UInt64(table[Int(places & 0xFFF)]) | UInt64(table[Int(places >> 12 & 0xFFF)]) << 16
                let second = UInt64(table[Int(places >> 24 & 0xFFF)]) | UInt64(table[Int(places >> 36 & 0xFFF)]) << 16
                return first | second << 32
            }
        }
    }

    /// Sixteen packed values a word. A stored 0 stands for -8, which has no counterpart above: nearly all of them become 8,
    /// which stands for 0, for a mean that is not 0 would add up over thousands of inputs and make all tokens alike.
    private static func pack(_ random: CountedRandom, _ target: UnsafeMutableRawBufferPointer) {
        var random = random
        fillWords(target) {
            let word = random.next()
            var isSet = word | word >> 1
            isSet |= isSet >> 2
            let zeros = ~isSet & 0x1111_1111_1111_1111
            // One word in 256 keeps its -8s, so that readers meet them too.
            let keeps: UInt64 = word >> 20 & 0xFF == 0 ? 0 : ~0
            return word | (zeros << 3) & keeps
        }
    }

    private static func fillFloats(_ random: CountedRandom, _ target: UnsafeMutableRawBufferPointer, deviation: Double) {
        var random = random
        func value(_ place: UInt64) -> UInt64 {
            UInt64(Float(normalQuantiles[Int(place & 0xFFF)] * deviation).bitPattern)
        }
        fillWords(target) {
            let word = random.next()
            return value(word) | value(word >> 12) << 32
        }
    }
}
