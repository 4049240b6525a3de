import CKimiKernels
import Glibc
import KimiCheckpoint
import KimiCore
import Synchronization

/// The element type of the latent cache.
///
/// Against the f32 cache, on the fixture's prompt of 700 tokens, over all its rows: bf16 has a median cosine of the logits of
/// 0.99988 and a median KL divergence of 8e-4 nats, int8 0.9993 and 4e-3; after the last token the cosines are 0.9996 and 0.9998.
/// Where rounding makes the router choose another expert (in the fixture, whose experts are random, in every fifth row with bf16
/// and two of five with int8), logits differ more: the means of the divergence are 0.04 and 0.09.
package enum CacheType: Int32, Sendable, CaseIterable {
    /// Exact: what the model computed.
    case f32 = 1
    /// Half the memory; latents and rope keys are rounded to bfloat16.
    case bf16 = 2
    /// A little over a quarter of the memory, and faster behind many tokens; a latent is signed bytes with one scale, its rope
    /// key bfloat16, and the arithmetic with them is in integers of 16 bits.
    case int8 = 3

    package var name: String {
        switch self {
        case .f32: "f32"
        case .bf16: "bf16"
        case .int8: "int8"
        }
    }

    var kernelType: Int32 {
        switch self {
        case .f32: Int32(CK_F32)
        case .bf16: Int32(CK_BF16)
        case .int8: Int32(CK_INT8)
        }
    }

    /// Bytes of a cached token in one layer; sizes are those of a checked configuration.
    func tokenBytes(latent: Int, rope: Int) -> Int { ck_cache_token_bytes(kernelType, latent, rope) }

    /// Bytes of a cached token in all layers.
    package func bytesPerToken(_ config: ModelConfig) -> Int {
        config.layerCount * tokenBytes(latent: config.latentSize, rope: config.ropeSize)
    }
}

/// Memory for the latent caches of all sequences of a model, in blocks of 64 tokens that sequences share by reference count.
///
/// A block holds, layer after layer, 64 tokens of normed latent and rotated rope key. Its memory comes straight from the system,
/// on the account of the model's budget, so that running out is an error. Thread safe; the lock is taken once for 64 tokens, not in
/// the arithmetic.
package final class BlockPool: Sendable {
    /// A block's number; the index of its entry in the tables.
    typealias BlockID = Int32

    /// Tokens in a block.
    package static let blockTokens = Int(CK_CACHE_BLOCK)

    let type: CacheType
    let layerCount: Int
    /// Bytes of one token in one layer.
    package let tokenBytes: Int
    /// Bytes of one layer's 64 tokens.
    let layerBytes: Int
    /// Bytes of a block, a whole number of pages.
    package let blockBytes: Int

    private struct Tables: ~Copyable {
        var base: [UnsafeMutableRawPointer?] = []
        var references: [Int32] = []
        /// Blocks whose memory is kept for the next taker.
        var idle: [BlockID] = []
        /// Entries without memory.
        var vacant: [BlockID] = []
        var promised = 0
    }
    private let tables = Mutex(Tables())
    package let budget: MemoryBudget
    private let nodes: NodeMemory?
    private let nextNode = Atomic<UInt>(0)

    /// How much idle memory is kept instead of being given back to the system.
    private static let idleBytes = 256 << 20

    init(
        type: CacheType, layerCount: Int, latent: Int, rope: Int, budget: MemoryBudget = MemoryBudget(), nodes: NodeMemory? = nil
    ) throws(KimiError) {
        self.budget = budget
        self.nodes = nodes
        self.type = type
        self.layerCount = layerCount
        guard type != .int8 || latent >= 2 else {
            throw KimiError(.unsupported, "a latent of \(latent) has no int8 form", subject: "cache_type")
        }
        tokenBytes = type.tokenBytes(latent: latent, rope: rope)
        guard let layerBytes = Checked.product(Self.blockTokens, tokenBytes),
            let bytes = Checked.product(layerBytes, layerCount), let rounded = Checked.roundUp(bytes, to: 4096)
        else { throw KimiError(.unsupported, "a cache block of \(layerCount) layers x \(tokenBytes) bytes is beyond any memory") }
        self.layerBytes = layerBytes
        blockBytes = rounded
        budget.onShortage { [weak self] _ in self?.giveUpIdle() }
    }

    deinit {
        // Sequences hold the pool, so no block is in use any more.
        tables.withLock { tables in
            for base in tables.base { if let base { munmap(base, blockBytes) } }
        }
    }

    /// Makes room in the tables, so that `count` more blocks can be taken without the tables growing.
    func promise(_ count: Int) {
        tables.withLock { tables in
            tables.promised += count
            let capacity = min(tables.promised, 1 << 22)
            tables.base.reserveCapacity(capacity)
            tables.references.reserveCapacity(capacity)
            tables.idle.reserveCapacity(capacity)
            tables.vacant.reserveCapacity(capacity)
        }
    }

    /// Takes back a promise.
    func release(promise count: Int) { tables.withLock { $0.promised -= count } }

    /// A block with one reference; its memory is not cleared.
    ///
    /// - Parameter own: how many blocks its taker has, for the message if there is no more.
    func take(beside own: Int = 0) throws(KimiError) -> (id: BlockID, base: UnsafeMutableRawPointer) {
        if let idle = takeIdle() { return idle }
        if let shortage = budget.take(blockBytes, for: .cache, keeping: true) { throw refusal(blocks: 1, own: own, shortage) }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let base = mmap(nil, blockBytes, PROT_READ | PROT_WRITE, flags, -1, 0), base != MAP_FAILED else {
            budget.touched(blockBytes)
            budget.release(blockBytes, for: .cache)
            throw KimiError(.outOfMemory, "latent cache: the system gave no \(blockBytes) bytes for 64 more tokens")
        }
        nodes?.keepSmall(base, blockBytes)
        // Blocks go to the nodes in turn: every head reads all tokens, whichever node it is computed on.
        if let nodes, nodes.isBound {
            let turn = nextNode.wrappingAdd(1, ordering: .relaxed).oldValue
            nodes.bind(base, blockBytes, to: Int(turn % UInt(nodes.count)))
        }
        // Touched at once, so that what the system has left is known when the next block is asked for.
        for page in stride(from: 0, to: blockBytes, by: 4096) { base.storeBytes(of: 0, toByteOffset: page, as: UInt8.self) }
        budget.touched(blockBytes)
        return (add(base), base)
    }

    private func takeIdle() -> (id: BlockID, base: UnsafeMutableRawPointer)? {
        tables.withLock { tables in
            guard let id = tables.idle.popLast(), let base = tables.base[Int(id)] else { return nil }
            tables.references[Int(id)] = 1
            return (id, base)
        }
    }

    /// A number for new memory, with one reference.
    private func add(_ memory: UnsafeMutableRawPointer) -> BlockID {
        // The bits of the address: a pointer may not cross into the lock.
        let address = UInt(bitPattern: memory)
        return tables.withLock { tables in
            let base = UnsafeMutableRawPointer(bitPattern: address)
            if let id = tables.vacant.popLast() {
                tables.base[Int(id)] = base
                tables.references[Int(id)] = 1
                return id
            }
            tables.base.append(base)
            tables.references.append(1)
            // Safe because 2^31 blocks of whole pages are beyond any address space.
            return BlockID(truncatingIfNeeded: tables.base.count - 1)
        }
    }

    /// Whether `count` more blocks could be taken now; what `take` says if not.
    func check(_ count: Int, beside own: Int) throws(KimiError) {
        // Not `Checked.product`, whose list of factors is an allocation.
        let (bytes, overflow) = count.multipliedReportingOverflow(by: blockBytes)
        guard !overflow else {
            throw KimiError(.outOfMemory, "latent cache: \(count) blocks of \(blockBytes) bytes are beyond any memory")
        }
        let new = bytes - tables.withLock { $0.idle.count } * blockBytes
        guard new > 0, budget.shortage(of: new, for: .cache, keeping: false) != nil else { return }
        // Others may have to give something up for it; idle blocks are then no longer there to be taken.
        if let shortage = budget.take(bytes, for: .cache, keeping: false) { throw refusal(blocks: count, own: own, shortage) }
    }

    private func refusal(blocks: Int, own: Int, _ shortage: MemoryBudget.Shortage) -> KimiError {
        let others = max(0, usage.held - own) * blockBytes
        return budget.refusal(
            "the cache of \(blocks * Self.blockTokens) more tokens needs \(MemoryBudget.amount(blocks * blockBytes))", shortage,
            detail: "; of the caches \(MemoryBudget.amount(others)) are other sessions'")
    }

    /// Gives the memory of idle blocks back to the system.
    func giveUpIdle() {
        let count = tables.withLock { tables in
            let count = tables.idle.count
            while let id = tables.idle.popLast() { drop(id, &tables) }
            return count
        }
        budget.release(count * blockBytes, for: .cache)
    }

    private func drop(_ id: BlockID, _ tables: inout Tables) {
        if let base = tables.base[Int(id)] { munmap(base, blockBytes) }
        tables.base[Int(id)] = nil
        tables.vacant.append(id)
    }

    /// Where a block that somebody holds lies.
    func base(of id: BlockID) -> UnsafeRawPointer? {
        UnsafeRawPointer(bitPattern: tables.withLock { UInt(bitPattern: $0.base[Int(id)]) })
    }

    func retain(_ id: BlockID) { tables.withLock { $0.references[Int(id)] += 1 } }

    func release(_ id: BlockID) {
        let isGivenBack = tables.withLock { tables in
            let index = Int(id)
            tables.references[index] -= 1
            guard tables.references[index] == 0 else { return false }
            if (tables.idle.count + 1) * blockBytes <= Self.idleBytes {
                tables.idle.append(id)
                return false
            }
            drop(id, &tables)
            return true
        }
        if isGivenBack { budget.release(blockBytes, for: .cache) }
    }

    /// Blocks that sequences hold, and blocks whose memory waits for the next taker.
    package var usage: (held: Int, idle: Int) {
        tables.withLock { tables in
            (tables.base.count - tables.idle.count - tables.vacant.count, tables.idle.count)
        }
    }

    func isShared(_ id: BlockID) -> Bool { tables.withLock { $0.references[Int(id)] > 1 } }
}
