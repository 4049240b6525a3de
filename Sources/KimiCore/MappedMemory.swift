import Glibc

/// Zeroed memory straight from the system, given back when the last reference goes.
///
/// For everything large: Swift's own allocation ends the process when memory runs out, this is an error instead. Pages that are
/// never touched cost nothing.
package final class MappedMemory: @unchecked Sendable {
    // Safe because the mapping lives exactly as long as this object, and what is in it is the owner's business.
    package let base: UnsafeMutableRawPointer
    package let byteCount: Int
    /// Whether it lies in pages that the administrator has set apart.
    package let isHuge: Bool

    /// How memory that will be filled is to be paged.
    package enum Pages: Sendable {
        /// As the system does by itself.
        case small
        /// Huge where the system makes them so.
        case transparent
        /// From the pool of huge pages that is set apart, where that has enough; else as `transparent`.
        case huge
    }

    /// - Parameters:
    ///   - what: names the memory in the error, such as "latent cache".
    ///   - pages: where all of it will be used, the system may give huge pages, which take fewer look-ups to read through.
    ///   - isReserved: whether huge pages that are set apart are kept for it from the start; tests say no, to run out of them.
    package init(byteCount: Int, what: String, pages: Pages = .small, isReserved: Bool = true) throws(KimiError) {
        guard byteCount >= 0, let size = Checked.roundUp(max(byteCount, 1), to: Self.page),
            let hugeSize = Checked.roundUp(max(byteCount, 1), to: Self.hugePage)
        else {
            throw KimiError(.outOfMemory, "\(what): a size of \(byteCount) bytes is beyond any memory")
        }
        let hugeFlags = MAP_PRIVATE | MAP_ANONYMOUS | Self.hugeFlag | (isReserved ? 0 : MAP_NORESERVE)
        if pages == .huge, let base = mmap(nil, hugeSize, PROT_READ | PROT_WRITE, hugeFlags, -1, 0), base != MAP_FAILED {
            self.base = base
            self.byteCount = hugeSize
            isHuge = true
            return
        }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let base = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0), base != MAP_FAILED else {
            throw KimiError(.outOfMemory, "\(what): the system gave no \(size) bytes")
        }
        // Only advice: a refusal changes nothing but the speed.
        if pages != .small { madvise(base, size, MADV_HUGEPAGE) }
        self.base = base
        self.byteCount = size
        isHuge = false
    }

    private static let page = 4096
    package static let hugePage = 2 << 20

    /// What memory of so many bytes takes, in small pages; `Int.max` beyond any memory.
    package static func pages(_ byteCount: Int) -> Int { Checked.roundUp(max(byteCount, 1), to: page) ?? .max }
    /// MAP_HUGETLB, pages of 2 MiB: 21 shifted to where the size stands.
    private static let hugeFlag: Int32 = 0x40000 | 21 << 26

    /// MADV_POPULATE_WRITE, which the C library's headers may not know.
    private static let populateAdvice: Int32 = 23

    /// Has the pages of a part there before they are written to: of those that are set apart there may be none when it comes to it, in
    /// spite of the reservation, where a cgroup limits them; a write would then end the process.
    ///
    /// - Parameter range: multiples of a huge page within memory that `isHuge`.
    /// - Returns: 0; else an errno, EINVAL where the system does not know of such a thing.
    package func populate(_ range: Range<Int>) -> Int32 {
        madvise(base + range.lowerBound, range.count, Self.populateAdvice) == 0 ? 0 : errno
    }

    /// Puts ordinary pages in the place of a part, huge ones if the system makes such; what was in it is lost.
    ///
    /// - Returns: whether the system did so.
    package func replace(_ range: Range<Int>) -> Bool {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
        let place = base + range.lowerBound
        guard mmap(place, range.count, PROT_READ | PROT_WRITE, flags, -1, 0) == place else { return false }
        madvise(place, range.count, MADV_HUGEPAGE)
        return true
    }

    deinit { munmap(base, byteCount) }

    /// The memory as elements, from byte `offset` on.
    package func pointer<T>(to type: T.Type, at offset: Int = 0) -> UnsafeMutablePointer<T> {
        (base + offset).bindMemory(to: type, capacity: max(0, byteCount - offset) / MemoryLayout<T>.stride)
    }
}
