import CKimiKernels
import CKimiSystem
import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// Filling memory from files: every byte once, whatever the sizes, the nodes and the way.
@Suite(.serialized) struct CopyTests {
    /// A checkpoint with some further tensors of random bytes, as they stand in its file.
    private final class Files {
        private static let random: [UInt8] = {
            var random = SplitMix(1)
            return (0..<4 << 20).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
        }()

        let folder: TemporaryFolder
        let checkpoint: Checkpoint
        let path: String
        let bytes: [UInt8]
        private(set) var tensors: [TensorInfo] = []

        /// - Parameter sizes: of the tensors, in bytes.
        init(_ sizes: [Int]) throws {
            folder = try TemporaryFolder()
            let tiny = TinyCheckpoint()
            try tiny.write(to: folder)
            var begin = 0
            let more = sizes.enumerated().map { index, size in
                defer { begin += size }
                return SafetensorsWriter.Tensor("vision_tower.\(index)", "U8", [size], Array(Self.random[begin..<begin + size]))
            }
            bytes = SafetensorsWriter(tiny.tensors() + more).file()
            try folder.write("model.safetensors", bytes)
            path = folder.path + "/model.safetensors"
            checkpoint = try Checkpoint(folder: folder.path)
            var found: [TensorInfo] = []
            checkpoint.forEachTensor { (name, tensor) throws(Never) in if name.hasPrefix("vision_tower.") { found.append(tensor) } }
            tensors = found
        }
    }

    /// Memory with a byte between any two places that are handed out, all of one value at first.
    private final class Target {
        let memory: MappedMemory
        var used = 0
        init(_ bytes: Int) throws {
            memory = try MappedMemory(byteCount: bytes, what: "test")
            memset(memory.base, 0xAA, memory.byteCount)
        }
        func take(_ bytes: Int) -> UnsafeMutableRawPointer {
            defer { used += bytes + 1 }
            return memory.base + used
        }
    }

    private static func pool(_ workers: [Int]) throws -> WorkerPool {
        let cores = workers.indices.flatMap { node in (0..<workers[node]).map { _ in node } }
        return try WorkerPool(
            nodes: workers.enumerated().map { (node: $0, workers: $1) },
            topology: Topology(
                cores: cores.enumerated().map { .init(processor: UInt32($0), node: $1) },
                nodes: workers.indices.map { .init(number: UInt32($0), memoryBytes: 1 << 30, package: $0, coreCount: workers[$0]) },
                source: .synthetic("test")))
    }

    private static let sizes = [
        1, 63, 64, 4095, 4096, 4097, 1 << 20, (1 << 20) + 1, 3_000_001, (2 << 20) - 1, 5_200_003, 8 << 20, 77, 6_000_000,
    ]
    /// Bytes of a buffer for a direct read: a piece, which may begin anywhere in a block.
    private static let slot = (2 << 20) + 4096
    /// A budget that has no more than what is lent.
    private static var noMore: MemoryBudget { MemoryBudget(limit: MemoryBudget.Limit(bytes: 0, source: .option)) }
    private let kernels: UnsafePointer<ck_kernels>

    init() throws { kernels = try #require(ck_kernels_for(Int32(CK_ISA_SCALAR))) }

    /// Tensors in parts for the groups, some of them for all.
    private func fillings(_ files: Files, groups: Int, in target: Target) -> [Filling] {
        var random = SplitMix(UInt64(groups))
        var fillings: [Filling] = []
        for (index, tensor) in files.tensors.enumerated() {
            if index % 3 == 2 {
                for group in 0..<groups {
                    fillings.append(Filling(
                        tensor: tensor, begin: 0, count: tensor.byteCount, group: group,
                        target: .copy(to: target.take(tensor.byteCount))))
                }
                continue
            }
            let inner = (1..<groups).map { _ in Int.random(in: 0...tensor.byteCount, using: &random) }
            let cuts = [0] + inner.sorted() + [tensor.byteCount]
            for group in 0..<groups {
                let count = cuts[group + 1] - cuts[group]
                fillings.append(Filling(
                    tensor: tensor, begin: cuts[group], count: count, group: group, target: .copy(to: target.take(count))))
            }
        }
        return fillings.shuffled(using: &random)
    }

    private func run(
        _ files: Files, _ fillings: [Filling], workers: [Int] = [1, 1], budget: MemoryBudget = MemoryBudget(), lent: Int = 0,
        way: CopyRun.Way = .best
    ) throws -> CopyRun {
        try CopyRun(
            files.checkpoint, pool: Self.pool(workers), kernels: kernels, room: BufferRoom(budget, lent: lent), fillings: fillings,
            way: way)
    }

    /// Whether fillings have what the file has, and nothing beside them was written.
    private func isFilled(_ fillings: [Filling], _ files: Files, _ target: Target) -> Bool {
        var expected = [UInt8](repeating: 0xAA, count: target.memory.byteCount)
        for filling in fillings {
            guard case .copy(let place) = filling.target else { return false }
            let (from, to) = (filling.tensor.offset + filling.begin, place - target.memory.base)
            expected.replaceSubrange(to..<to + filling.count, with: files.bytes[from..<from + filling.count])
        }
        return memcmp(target.memory.base, expected, target.memory.byteCount) == 0
    }

    @Test("every byte comes to its place, nothing beside it", arguments: [[1], [3], [1, 1], [2, 1, 2]], CopyRun.Way.allCases)
    func filled(_ workers: [Int], way: CopyRun.Way) throws {
        let files = try Files(Self.sizes)
        let target = try Target(4 * Self.sizes.reduce(0, +) + 1000)
        let fillings = fillings(files, groups: workers.count, in: target)
        let budget = Self.noMore
        var calls: [(done: Int, total: Int)] = []
        do {
            let run = try run(files, fillings, workers: workers, budget: budget, lent: 3 * Self.slot, way: way)
            try run.run { calls.append(($0, $1)) }
        }
        #expect(isFilled(fillings, files, target))
        #expect(budget.used == 0)
        let total = fillings.reduce(0) { $0 + $1.count }
        #expect(calls.first?.done == 0 && calls.last?.done == total && calls.allSatisfy { $0.total == total })
        #expect(zip(calls, calls.dropFirst()).allSatisfy { $0.done <= $1.done } && calls.count > 3)
    }

    @Test("pieces are all of the fillings, once, and end where huge pages do", arguments: [1, 3])
    func pieces(_ groups: Int) throws {
        let files = try Files(Self.sizes)
        let target = try Target(4 * Self.sizes.reduce(0, +) + 1000)
        var pieces = CopyPieces(fillings(files, groups: groups, in: target))
        var next = [Int](repeating: 0, count: pieces.fillings.count)
        var place = 0
        while let piece = pieces.next() {
            #expect(piece.count > 0 && piece.count <= CopyPieces.most)
            for index in piece.fillings {
                let filling = pieces.fillings[index]
                #expect(piece.begin == next[index])
                next[index] += piece.count
                guard index == piece.fillings.lowerBound, case .copy(let base) = filling.target else { continue }
                let (first, last) = (Int(bitPattern: base) + piece.begin, Int(bitPattern: base) + piece.begin + piece.count - 1)
                #expect(first / CopyPieces.most == last / CopyPieces.most)
                // In the order of the file.
                #expect(filling.tensor.offset + filling.begin + piece.begin >= place)
                place = filling.tensor.offset + filling.begin
            }
        }
        #expect(next == pieces.fillings.map(\.count))
    }

    @Test("rows that are converted are those of a conversion at once", arguments: [64, 1056, 200_000], CopyRun.Way.allCases)
    func converted(_ columns: Int, way: CopyRun.Way) throws {
        let rows = 6_000_000 / (2 * columns) + 3
        // An odd place: rows come to no whole words.
        let files = try Files([way == .best ? 1 : 2, 2 * rows * columns])
        let tensor = try #require(files.tensors.last)
        var stored = [UInt16](repeating: 0, count: rows * columns)
        stored.withUnsafeMutableBytes { $0.copyBytes(from: files.bytes[tensor.offset..<tensor.offset + tensor.byteCount]) }
        var shape = ck_matrix(data: nil, scales: nil, rows: rows, columns: columns, type: Int32(CK_INT8), reserved: 0)
        let rowBytes = ck_row_bytes(&shape)
        func converted(_ body: (ck_matrix) throws -> Void) throws -> (bytes: [UInt8], scales: [UInt16]) {
            let bytes = try MappedMemory(byteCount: rows * rowBytes, what: "test")
            let scales = try MappedMemory(byteCount: rows * columns / 16, what: "test")
            var matrix = shape
            (matrix.data, matrix.scales) = (UnsafeRawPointer(bytes.base), UnsafePointer(scales.pointer(to: UInt16.self)))
            try body(matrix)
            return (
                Array(UnsafeRawBufferPointer(start: bytes.base, count: rows * rowBytes)),
                Array(UnsafeBufferPointer(start: scales.pointer(to: UInt16.self), count: rows * columns / 32)))
        }
        let expected = try converted { matrix in
            stored.withUnsafeBytes { data in
                var whole = ck_matrix(
                    data: data.baseAddress, scales: nil, rows: rows, columns: columns, type: Int32(CK_BF16), reserved: 0)
                kernels.pointee.quantize_rows(
                    UnsafeMutableRawPointer(mutating: matrix.data), UnsafeMutablePointer(mutating: matrix.scales), &whole)
            }
        }
        let found = try converted { matrix in
            let bounds = [0, rows / 3, rows / 3, rows]
            let parts = (0..<3).map { group in
                Filling(
                    tensor: tensor, begin: bounds[group] * 2 * columns, count: (bounds[group + 1] - bounds[group]) * 2 * columns,
                    group: group, target: .int8(matrix, first: bounds[group], type: Int32(CK_BF16)))
            }
            try run(files, parts, workers: [1, 1, 2], way: way).run { _, _ in }
        }
        #expect(found.bytes == expected.bytes && found.scales == expected.scales)
    }

    // MARK: Ends before the end

    // It is told three times at least: before all, after a first wave, which is smaller than all of this, and at the end.
    @Test("what progress throws ends it, memory is left alone afterwards, and it can be done anew",
        arguments: CopyRun.Way.allCases, [0, 1, 2])
    func cancelled(_ way: CopyRun.Way, after calls: Int) throws {
        let files = try Files(Self.sizes)
        let target = try Target(4 * Self.sizes.reduce(0, +) + 1000)
        let fillings = fillings(files, groups: 2, in: target)
        let budget = Self.noMore
        var count = 0
        let error = #expect(throws: KimiError.self) {
            try run(files, fillings, budget: budget, lent: 3 * Self.slot, way: way).run { (_, _) throws(KimiError) in
                count += 1
                if count > calls { throw KimiError(.cancelled, "enough") }
            }
        }
        #expect(error == KimiError(.cancelled, "enough") && count == calls + 1 && budget.used == 0)
        memset(target.memory.base, 0xAA, target.memory.byteCount)
        usleep(2000)
        #expect(isFilled([], files, target))
        try run(files, fillings, way: way).run { _, _ in }
        #expect(isFilled(fillings, files, target))
    }

    @Test("a file that is cut or written to meanwhile is an error that names it and the tensor",
        arguments: CopyRun.Way.allCases, ["cut", "written"])
    func changed(_ way: CopyRun.Way, _ what: String) throws {
        for turn in 0...1 {
            let files = try Files(Self.sizes)
            let target = try Target(4 * Self.sizes.reduce(0, +) + 1000)
            let fillings = fillings(files, groups: 1, in: target)
            var (turns, isChanged) = (0, false)
            let run = try run(files, fillings, workers: [1], way: way)
            do {
                try run.run { (done, total) throws(KimiError) in
                    defer { turns += 1 }
                    guard turns == turn, done < total else { return }
                    isChanged = true
                    // A time of its own: the system's clock for files goes by ticks, and this one may have been made in the same.
                    let times = [timeval](repeating: timeval(tv_sec: 1_000_000_000, tv_usec: 0), count: 2)
                    if what == "cut" { truncate(files.path, off_t(files.tensors[0].offset)) } else { utimes(files.path, times) }
                }
                // A fast device may have given all by the second turn, with nothing left to change.
                if isChanged || turn == 0 { Issue.record("filled from a file that changed") }
            } catch {
                #expect(error.status == .io && error.file == files.path, "\(error)")
                #expect(error.subject?.hasPrefix("vision_tower.") == true, "\(error)")
                #expect(error.message.contains(what == "cut" ? "became smaller" : "was modified"), "\(error)")
            }
            #expect(turns > turn)
        }
    }

    private struct Fault {
        let kind: Int
        var seen = 0
        /// Places that have failed already.
        var failed: Set<Int64> = []
    }

    private static let inject: cks_read_fault = { context, _, offset, _, result in
        guard let fault = context?.assumingMemoryBound(to: Fault.self) else { return result }
        fault.pointee.seen += 1
        switch fault.pointee.kind {
        // Never less than a block, which a direct read cannot go on from.
        case 0: return result > 8192 && fault.pointee.seen % 3 != 0 ? result / 8192 * 4096 : result
        case 1: return fault.pointee.failed.insert(offset).inserted ? -Int64(EIO) : result
        case 2: return fault.pointee.seen > 5 ? -Int64(EIO) : result
        default: return fault.pointee.seen > 5 ? 0 : result
        }
    }

    @Test("direct reads that come short or fail once are made good; what cannot be read is an error that names the tensor",
        arguments: [0, 1, 2, 3])
    func faults(_ kind: Int) throws {
        let files = try Files(Self.sizes)
        guard try ShardReader(files.checkpoint, requests: 1).isDirect else { return }
        let target = try Target(4 * Self.sizes.reduce(0, +) + 1000)
        let fillings = fillings(files, groups: 2, in: target)
        let run = try run(files, fillings, workers: [1, 2], way: .direct)
        var fault = Fault(kind: kind)
        try withUnsafeMutablePointer(to: &fault) { pointer in
            run.fault = (Self.inject, UnsafeMutableRawPointer(pointer))
            if kind < 2 {
                try run.run { _, _ in }
                #expect(isFilled(fillings, files, target))
            } else {
                let error = #expect(throws: KimiError.self) { try run.run { _, _ in } }
                #expect(error?.status == .io && error?.file == files.path)
                #expect(error?.subject?.hasPrefix("vision_tower.") == true)
            }
        }
        #expect(fault.seen > 5)
    }

    // MARK: Memory

    @Test("buffers are charged beyond what is lent, never above the limit, and given back",
        arguments: [0, 3 << 20, 5 << 20, 200 << 20], [0, 7 << 20])
    func charged(_ limit: Int, lent: Int) throws {
        let files = try Files(Self.sizes)
        let target = try Target(4 * Self.sizes.reduce(0, +) + 1000)
        let fillings = fillings(files, groups: 2, in: target)
        let budget = MemoryBudget(limit: MemoryBudget.Limit(bytes: limit, source: .option))
        var most = 0
        do {
            try run(files, fillings, budget: budget, lent: lent, way: .direct).run { _, _ in most = max(most, budget.used) }
        }
        #expect(isFilled(fillings, files, target))
        // There are 32 slots at most.
        let slot = Self.slot
        let isDirect = try ShardReader(files.checkpoint, requests: 1).isDirect
        #expect(!isDirect || most == max(0, min(32, (limit + lent) / slot) * slot - lent))
        #expect(budget.used == 0)
    }

    @Test("without room for converting, an error says so")
    func noRoom() throws {
        let files = try Files([64 * 64 * 2])
        let tensor = try #require(files.tensors.last)
        let target = try Target(64 * 64 * 2)
        let matrix = ck_matrix(
            data: target.memory.base, scales: UnsafePointer(target.memory.pointer(to: UInt16.self, at: 64 * 64)), rows: 64,
            columns: 64, type: Int32(CK_INT8), reserved: 0)
        let filling = Filling(
            tensor: tensor, begin: 0, count: tensor.byteCount, group: 0,
            target: .int8(matrix, first: 0, type: Int32(CK_BF16)))
        let budget = MemoryBudget(limit: MemoryBudget.Limit(bytes: 1000, source: .option))
        let error = #expect(throws: KimiError.self) { try run(files, [filling], budget: budget) }
        #expect(error?.status == .outOfMemory && error?.message.contains("converted") == true)
        #expect(budget.used == 0)
    }

    @Test("huge pages that are not there when it comes to it are replaced")
    func populated() throws {
        // Nothing is kept for it, so that it is there whether the pool has any or not.
        let memory = try MappedMemory(byteCount: 8 << 20, what: "test", pages: .huge, isReserved: false)
        guard memory.isHuge else { return }
        let range = (2 << 20)..<(6 << 20)
        if memory.populate(range) != 0 { #expect(memory.replace(range)) }
        memset(memory.base + range.lowerBound, 0x55, range.count)
        #expect(UnsafeRawBufferPointer(start: memory.base + range.lowerBound, count: range.count).allSatisfy { $0 == 0x55 })
    }
}
