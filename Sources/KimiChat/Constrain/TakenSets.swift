/// Sets of things that may not be written again, keys of an object or values of an array, each set known by a number; equal sets
/// have equal numbers. 0 is the empty one, and `apart` an empty one too, of values that will be kept apart.
///
/// Members are ranks of a `LiteralTree`, or `other` with a hash for a string that is in no tree, or `Member`s.
struct TakenSets {
    private struct Step: Hashable {
        let set: Int32
        let member: UInt64
    }

    /// Ranks come before everything else.
    enum Member {
        /// Added to a number's size, or to its index among literals.
        static let number: UInt64 = 1 << 61
        static let negativeNumber: UInt64 = 1 << 62
        static let null: UInt64 = 1 << 42
        static let no: UInt64 = 1 << 42 + 1
        static let yes: UInt64 = 1 << 42 + 2
        /// Set in the hash of a string.
        static let other: UInt64 = 1 << 63
    }

    /// The most members; an object has no more keys, nor an array more different values.
    static let sizeLimit = 4096

    static let apart: Int32 = 1

    private var sets: [[UInt64]] = [[], []]
    private var steps: [Step: Int32] = [:]
    private var numbers: [[UInt64]: Int32] = [[]: 0]

    /// Memory of all sets, in members.
    private(set) var size = 0

    func count(_ set: Int32) -> Int { sets[Int(set)].count }

    /// Whether the set has hashes of strings in it.
    func hasOthers(_ set: Int32) -> Bool { sets[Int(set)].last ?? 0 >= Member.other }

    func contains(_ set: Int32, _ member: UInt64) -> Bool {
        let members = sets[Int(set)]
        let place = Self.place(members, member)
        return place < members.count && members[place] == member
    }

    /// The members that are ranks from `low` up to, and without, `high`.
    func ranks(_ set: Int32, from low: Int32, to high: Int32) -> ArraySlice<UInt64> {
        let members = sets[Int(set)]
        return members[Self.place(members, UInt64(UInt32(bitPattern: low)))..<Self.place(members, UInt64(UInt32(bitPattern: high)))]
    }

    mutating func adding(_ member: UInt64, to set: Int32) -> Int32 {
        let step = Step(set: set, member: member)
        if let known = steps[step] { return known }
        var members = sets[Int(set)]
        members.insert(member, at: Self.place(members, member))
        let number: Int32
        if let known = numbers[members] {
            number = known
        } else {
            number = Int32(truncatingIfNeeded: sets.count)
            sets.append(members)
            numbers[members] = number
            size += members.count
        }
        steps[step] = number
        return number
    }

    mutating func removeAll() { self = TakenSets() }

    private static func place(_ members: [UInt64], _ member: UInt64) -> Int {
        var low = 0
        var high = members.count
        while low < high {
            let middle = (low + high) / 2
            if members[middle] < member { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
