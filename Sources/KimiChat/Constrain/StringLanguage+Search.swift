extension StringLanguage {
    /// Whether some scalar of a range leads on from a state.
    func goesOn(_ state: Int32, _ low: UInt32, _ high: UInt32) -> Bool {
        guard low <= high else { return false }
        return (low...high).contains { ($0 < 0xD800 || $0 >= 0xE000) && next(state, $0) >= 0 }
    }

    /// A scalar on a shortest way to the end, or nil if the string may end here.
    func scalarTowardsEnd(_ state: Int32) -> UInt32? {
        let distance = shortest(state)
        guard distance > 0 else { return nil }
        for range in [0x61...0x7A, 0x20...0x7E, 0...0xD7FF, 0xE000...0x10FFFF] as [ClosedRange<UInt32>] {
            for scalar in range {
                let next = next(state, scalar)
                if next >= 0, shortest(next) < distance { return scalar }
            }
        }
        return nil
    }
}
