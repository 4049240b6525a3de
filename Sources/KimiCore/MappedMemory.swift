import Glibc

/// Zeroed memory straight from the system, given back when the last reference goes.
///
/// For everything large: Swift's own allocation ends the process when memory runs out, this is an error instead. Pages that are
/// never touched cost nothing.
package final class MappedMemory: @unchecked Sendable {
    // Safe because the mapping lives exactly as long as this object, and what is in it is the owner's business.
    package let base: UnsafeMutableRawPointer
    package let byteCount: Int

    /// - Parameters:
    ///   - what: names the memory in the error, such as "latent cache".
    ///   - isFilled: all of it will be used, so the system may give huge pages, which take fewer look-ups to read through.
    package init(byteCount: Int, what: String, isFilled: Bool = false) throws(KimiError) {
        guard byteCount >= 0, let size = Checked.roundUp(max(byteCount, 1), to: 4096) else {
            throw KimiError(.outOfMemory, "\(what): a size of \(byteCount) bytes is beyond any memory")
        }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let base = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0), base != MAP_FAILED else {
            throw KimiError(.outOfMemory, "\(what): the system gave no \(size) bytes")
        }
        // Only advice: a refusal changes nothing but the speed.
        if isFilled { madvise(base, size, MADV_HUGEPAGE) }
        self.base = base
        self.byteCount = size
    }

    deinit { munmap(base, byteCount) }

    /// The memory as elements, from byte `offset` on.
    package func pointer<T>(to type: T.Type, at offset: Int = 0) -> UnsafeMutablePointer<T> {
        (base + offset).bindMemory(to: type, capacity: max(0, byteCount - offset) / MemoryLayout<T>.stride)
    }
}
