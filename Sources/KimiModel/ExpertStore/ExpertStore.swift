import CKimiKernels
import CKimiSystem
import KimiCheckpoint
import KimiCore
import Synchronization

/// Routed experts that do not all have room in memory: those that the router chooses are read from the files, and as many as there
/// are slots for stay.
///
/// Used layer by layer: `begin` with the experts that the rows of a step chose asks for those that are missing; `next` gives those
/// that are there, wave after wave, until all have been; what comes later is read while a wave is computed. For the holder of
/// the model's step lock. Allocates nothing after init.
package final class ExpertStore {
    private let files: ExpertFiles
    private let placement: Placement
    private let memory: SlotMemory
    private var slots: ExpertSlots
    private let reader: ShardReader
    private var tables: [ExpertTable?]

    private let budget: MemoryBudget
    /// Slots that the budget knows to have been written to: the first ones, since free slots are given in order.
    private var touchedSlots = 0

    /// For each slot how many reads are under way, whether one has failed, and the expert that it is for. While there are any, the slot
    /// is pinned once more.
    private let readsLeft: UnsafeMutablePointer<Int32>
    private let failed: UnsafeMutablePointer<Int32>
    private let keyOfSlot: UnsafeMutablePointer<Int32>

    // The layer that is being computed.
    private var layer = 0
    /// Experts that wait for a slot, those whose reads are under way, and those of the wave that `next` gave last.
    private let waiting: UnsafeMutablePointer<Int32>
    private var waitingCount = 0
    private let reading: UnsafeMutablePointer<Int32>
    private var readingCount = 0
    private let wave: UnsafeMutablePointer<Int32>
    private var waveCount = 0
    private let ready: UnsafeMutablePointer<Int32>
    private var readyCount = 0
    /// The slots of the layer's experts that are not waiting for one; each is pinned once for it.
    private let slotOfExpert: UnsafeMutablePointer<Int32>

    private var statistics = Statistics()
    private let published = Mutex(Statistics())
    /// What has happened until the end of the latest layer, or until a step ended in it. Any thread.
    var latest: Statistics { published.withLock { $0 } }

    package struct Statistics: Sendable, Equatable {
        /// Experts that a layer of a step used, and how many of them were in memory already, or on their way.
        package internal(set) var uses = 0
        package internal(set) var hits = 0
        package internal(set) var onTheWay = 0
        /// Bytes read from the files for experts, whole blocks of the device counted.
        package internal(set) var bytesRead = 0
        /// Time in which nothing was computed because of reads.
        package internal(set) var stallNanoseconds = 0
        /// Pieces of reads that failed or came short and were read once more.
        package internal(set) var retries = 0
    }

    /// - Parameters:
    ///   - tables: of each layer with experts; their entries are set as experts come in.
    ///   - budget: is charged by the caller, and told here when slots are written to.
    ///   - residentBytes: for slots; at least for as many experts as a token chooses in a layer.
    init(
        _ checkpoint: Checkpoint, files: ExpertFiles, tables: [ExpertTable?], placement: Placement, nodes nodeMemory: NodeMemory,
        budget: MemoryBudget, residentBytes: Int
    ) throws(KimiError) {
        let config = checkpoint.config
        let nodes = placement.nodes.count
        let total = tables.reduce(0) { $0 + ($1?.count ?? 0) }
        let table = tables.lazy.compactMap { $0 }.first
        memory = try SlotMemory(
            files: files, nodes: nodeMemory, residentBytes: residentBytes, mostSlots: total, leastSlots: config.expertsPerToken
        ) { part, node in
            // Down's rows are rounded by layer, gate's and up's by expert.
            guard let table else { return 0 }
            return part == .down
                ? (0..<nodes).reduce(0) { max($0, placement.rows(files.hidden, of: node, phase: $1).count) }
                : (0..<nodes).reduce(0) { max($0, table.splits.rows($1, of: node).count) }
        }
        self.files = files
        self.tables = tables
        self.placement = placement
        self.budget = budget
        slots = try ExpertSlots(slots: memory.slotCount, layers: config.layerCount, experts: files.count)
        // A layer's experts at most, and as many asked for ahead.
        reader = try ShardReader(
            checkpoint, requests: 2 * max(files.count, 1) * nodes * SlotMemory.readsPerNode)
        func numbers(_ count: Int) -> UnsafeMutablePointer<Int32> {
            let memory = UnsafeMutablePointer<Int32>.allocate(capacity: max(count, 1))
            memory.initialize(repeating: 0, count: max(count, 1))
            return memory
        }
        readsLeft = numbers(memory.slotCount)
        failed = numbers(memory.slotCount)
        keyOfSlot = numbers(memory.slotCount)
        waiting = numbers(files.count)
        reading = numbers(files.count)
        wave = numbers(files.count)
        ready = numbers(files.count)
        slotOfExpert = numbers(files.count)
    }

    deinit {
        for memory in [readsLeft, failed, keyOfSlot, waiting, reading, wave, ready, slotOfExpert] { memory.deallocate() }
    }

    /// The memory of a node's parts of all slots.
    func memory(of node: Int) -> MappedMemory { memory.memory(of: node) }
    func bytes(on node: Int) -> Int { memory.bytes(of: node) }

    var slotCount: Int { memory.slotCount }
    var slotBytes: Int { memory.slotBytes }
    /// Bytes of all slots; touched as they are used.
    var byteCount: Int { memory.slotCount * memory.slotBytes }

    /// How the files are read; any thread.
    package var backend: ShardReader.Backend { reader.backend }
    package var isDirect: Bool { reader.isDirect }
    /// Routed experts of all layers.
    var expertCount: Int { files.expertCount }

    /// For tests: what reads are to have given; see `cks_reader_set_fault`. Not during a step.
    package func setFault(_ fault: cks_read_fault?, _ context: UnsafeMutableRawPointer?) { reader.setFault(fault, context) }

    /// Begins with what an earlier run has counted. Before the first step.
    func expect(_ heat: ExpertHeat, perToken: Int) {
        for layer in 0..<heat.layers where tables.indices.contains(layer) && tables[layer] != nil {
            for (expert, probability) in heat.probabilities(layer: layer, perToken: perToken).enumerated() {
                slots.expect(layer * files.count + expert, probability: probability)
            }
        }
    }

    /// Another step begins, which brings its sequences at most so many tokens forward.
    func beginStep(tokens: Int) { slots.advance(tokens: tokens) }

    // MARK: A layer

    /// Asks for the experts of a layer, given in rising order.
    ///
    /// - Parameter start: rows that chose an expert are its start to that of the next.
    func begin(layer: Int, experts: UnsafeBufferPointer<Int32>, start: UnsafePointer<Int32>) throws(KimiError) {
        self.layer = layer
        (waitingCount, readingCount, waveCount, readyCount) = (0, 0, 0, 0)
        statistics.uses += experts.count
        for expert in experts {
            let key = layer * files.count + Int(expert)
            slots.touch(key, rows: Int(start[Int(expert) + 1] - start[Int(expert)]))
            guard let slot = slots.find(key) else {
                waiting[waitingCount] = expert
                waitingCount += 1
                continue
            }
            slots.pin(slot)
            slotOfExpert[Int(expert)] = Int32(truncatingIfNeeded: slot)
            if readsLeft[slot] == 0 {
                ready[readyCount] = expert
                readyCount += 1
                statistics.hits += 1
            } else {
                reading[readingCount] = expert
                readingCount += 1
                statistics.onTheWay += 1
            }
        }
        do throws(KimiError) {
            try submitWaiting()
        } catch {
            abandon()
            throw error
        }
    }

    /// The next experts that can be computed, in rising order; nil when all have been. Waits for reads if it must. What was given
    /// before may be replaced from now on.
    func next(_ cancellation: Cancellation) throws(KimiError) -> UnsafeBufferPointer<Int32>? {
        releaseWave()
        try submitWaiting()
        if readyCount == 0, readingCount + waitingCount > 0 {
            let begin = monotonicNanoseconds()
            defer { statistics.stallNanoseconds += monotonicNanoseconds() - begin }
            while readyCount == 0 {
                try cancellation.check()
                // Slots may be held by reads that an earlier step has left behind.
                guard reader.pending > 0 else { throw KimiError(.internal, "no slot is free for an expert, and none is being read") }
                try take(waitingFor: 10)
                try submitWaiting()
            }
        }
        try take(waitingFor: 0)
        guard readyCount > 0 else {
            publish()
            return nil
        }
        // Few, and nearly sorted.
        for index in 0..<readyCount {
            var place = index
            while place > 0, wave[place - 1] > ready[index] {
                wave[place] = wave[place - 1]
                place -= 1
            }
            wave[place] = ready[index]
        }
        waveCount = readyCount
        readyCount = 0
        return UnsafeBufferPointer(start: wave, count: waveCount)
    }

    /// After an error or a cancellation: nothing of the layer is in use any more. Reads that are under way go on.
    func abandon() {
        releaseWave()
        for index in 0..<readyCount { unpin(ready[index]) }
        for index in 0..<readingCount { unpin(reading[index]) }
        (waitingCount, readingCount, readyCount) = (0, 0, 0)
        publish()
    }

    /// Shows other threads what has happened so far.
    private func publish() { published.withLock { $0 = statistics } }

    private func releaseWave() {
        for index in 0..<waveCount { unpin(wave[index]) }
        waveCount = 0
    }

    private func unpin(_ expert: Int32) {
        slots.unpin(Int(slotOfExpert[Int(expert)]))
    }

    // MARK: Reads

    /// Experts that are read or have been, and are not computed yet. Six reads each: more than a device needs at once.
    private static let mostAhead = 32

    /// Gives slots to experts that wait for one, and asks for their weights.
    private func submitWaiting() throws(KimiError) {
        var next = 0
        defer {
            waitingCount -= next
            for index in 0..<waitingCount { waiting[index] = waiting[next + index] }
        }
        // In a long prompt nearly all experts of a layer pass through: only as many of them as keep the device busy drive out what is
        // worth more.
        while next < waitingCount, let slot = slots.admit(
            layer * files.count + Int(waiting[next]), worthMore: readingCount + readyCount >= Self.mostAhead)
        {
            slots.pin(slot)
            noteTouched(slot)
            let expert = waiting[next]
            slotOfExpert[Int(expert)] = Int32(truncatingIfNeeded: slot)
            next += 1
            reading[readingCount] = expert
            readingCount += 1
            try submit(layer: layer, expert: Int(expert), slot: slot)
        }
    }

    /// What is read into a slot is no longer still to be taken from the system.
    private func noteTouched(_ slot: Int) {
        guard slot >= touchedSlots else { return }
        budget.touched((slot + 1 - touchedSlots) * memory.slotBytes)
        touchedSlots = slot + 1
    }

    private func submit(layer: Int, expert: Int, slot: Int) throws(KimiError) {
        guard let table = tables[layer] else { return }
        keyOfSlot[slot] = Int32(truncatingIfNeeded: layer * files.count + expert)
        failed[slot] = 0
        slots.pin(slot)
        // One more than there are, so that none that comes to its end meanwhile is the last.
        readsLeft[slot] = 1
        defer { finishRead(slot) }
        for part in ExpertFiles.Part.allCases {
            let linear = files.linear(layer: layer, expert: expert, part)
            for node in 0..<placement.nodes.count {
                let rows = part == .down
                    ? table.downBounds[node]..<table.downBounds[node + 1] : table.splits.rows(expert, of: node)
                guard !rows.isEmpty else { continue }
                let matrix = part == .gate
                    ? table.gate(expert, on: node) : part == .up ? table.up(expert, on: node) : table.down(expert, on: node)
                let data = try read(linear.data, files.rows(part), rows, slot: slot, node: node, 2 * part.rawValue)
                matrix.pointee.data = data
                guard let tensor = linear.scales else { continue }
                let scales = try read(tensor, files.rows(part), rows, slot: slot, node: node, 2 * part.rawValue + 1)
                matrix.pointee.scales = scales.assumingMemoryBound(to: UInt16.self)
            }
        }
    }

    /// Asks for some rows of a tensor; returns where row 0 would be.
    private func read(
        _ tensor: TensorInfo, _ rowCount: Int, _ rows: Range<Int>, slot: Int, node: Int, _ index: Int
    ) throws(KimiError) -> UnsafeRawPointer {
        let rowBytes = tensor.byteCount / max(rowCount, 1)
        let begin = rows.lowerBound * rowBytes
        let place = memory.place(index, slot: slot, node: node)
        readsLeft[slot] += 1
        do throws(KimiError) {
            guard try reader.request(tensor, from: begin, count: rows.count * rowBytes, into: place, tag: UInt64(slot)) else {
                throw KimiError(.internal, "more reads are under way than were planned")
            }
        } catch {
            failed[slot] = 1
            finishRead(slot)
            throw error
        }
        return UnsafeRawPointer(place) + ShardReader.lead(tensor.offset + begin) - begin
    }

    /// Notes reads that have come to their end.
    private func take(waitingFor milliseconds: Int) throws(KimiError) {
        var failure: KimiError?
        _ = reader.wait(milliseconds: milliseconds) { tag, error in
            if let error {
                failed[Int(tag)] = 1
                failure = failure ?? error
            }
            finishRead(Int(tag))
        }
        (statistics.bytesRead, statistics.retries) = (reader.bytesRead, reader.retries)
        if let failure { throw failure }
    }

    /// One read less; after the last the expert is there, and ready if the running layer waits for it.
    private func finishRead(_ slot: Int) {
        readsLeft[slot] -= 1
        guard readsLeft[slot] == 0 else { return }
        slots.unpin(slot)
        if failed[slot] != 0 { slots.invalidate(slot) }
        let key = Int(keyOfSlot[slot])
        guard key / files.count == layer else { return }
        let expert = Int32(truncatingIfNeeded: key % files.count)
        for index in 0..<readingCount where reading[index] == expert {
            readingCount -= 1
            reading[index] = reading[readingCount]
            if failed[slot] == 0 {
                ready[readyCount] = expert
                readyCount += 1
            } else {
                // What failed may have been of an earlier step; it is read anew, unless this step fails by it.
                slots.unpin(slot)
                waiting[waitingCount] = expert
                waitingCount += 1
            }
            return
        }
    }
}
