extension StringLanguage {
    /// Whether some scalar of a range leads on from a state.
    func goesOn(_ state: Int32, _ low: UInt32, _ high: UInt32) -> Bool {
        first(in: low, high) { next(state, $0) >= 0 } != nil
    }

    /// A scalar on a shortest way to the end, or nil if the string may end here.
    func scalarTowardsEnd(_ state: Int32) -> UInt32? {
        let distance = shortest(state)
        guard distance > 0 else { return nil }
        func leads(_ scalar: UInt32) -> Bool {
            let next = next(state, scalar)
            return next >= 0 && shortest(next) < distance
        }
        return first(in: 0x61, 0x7A, leads) ?? first(in: 0x20, 0x7E, leads) ?? first(in: 0, 0x10FFFF, leads)
    }

    /// The first scalar of a range with a property that all scalars of one class share.
    private func first(in low: UInt32, _ high: UInt32, _ isWanted: (UInt32) -> Bool) -> UInt32? {
        var scalar = low
        while scalar <= high {
            if isWanted(scalar) { return scalar }
            scalar = classes.nextBorder(after: scalar)
        }
        return nil
    }
}
