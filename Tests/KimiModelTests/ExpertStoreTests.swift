import CKimiSystem
import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// Experts that are read when they are chosen: the bits of a model that is all in memory, whatever the room.
@Suite(.serialized) struct ExpertStoreTests {
    private static let config = try? Checkpoint(folder: Fixtures.path("tiny-kimi")).config

    private func model(
        _ fixture: String = "tiny-kimi", slots: Int, nodes: Int = 1, rows: Int = 512, dense: DenseFormat = .stored
    ) throws -> TextModel {
        var options = TextModel.Options()
        options.loadPolicy = .stream
        options.dense = dense
        options.maxRows = rows
        options.placement = Placement(policy: .slice, nodes: (0..<nodes).map { .init(node: $0, workers: 1, share: 1) })
        let checkpoint = try Checkpoint(folder: Fixtures.path(fixture))
        let topology = Topology(
            cores: (0..<nodes).map { .init(processor: UInt32($0), node: $0) },
            nodes: (0..<nodes).map { .init(number: UInt32($0), memoryBytes: 1 << 30, package: $0, coreCount: 1) }, source: .synthetic("test"))
        // What a slot takes is told by the error of a budget that is too small.
        options.memory.residentBytes = 1 << 40
        let all = try TextModel(checkpoint: checkpoint, topology: topology, options: options)
        options.memory.residentBytes = slots * (try #require(all.storeReport)).slotBytes
        return try TextModel(checkpoint: checkpoint, topology: topology, options: options)
    }

    @Test("any number of slots, nodes and rows gives the same bits", arguments: [4, 5, 9, 20, 48], [1, 3])
    func bits(_ slots: Int, nodes: Int) throws {
        let model = try model(slots: slots, nodes: nodes)
        for chunk in [1, 33, 300] {
            let harness = try Harness(model)
            #expect(identical(try harness.evaluate(InvarianceTests.ids, chunk: chunk, all: true), InvarianceTests.expected))
        }
        let report = try #require(model.storeReport)
        #expect(report.slots == min(slots, 48))
        #expect(report.statistics.uses > 0 && report.statistics.bytesRead > 0)
        #expect(report.statistics.hits + report.statistics.onTheWay <= report.statistics.uses)
    }

    @Test("the fast path and bytes in place of bf16 too", arguments: DenseFormat.allCases)
    func fast(_ dense: DenseFormat) throws {
        let whole = try Harness("tiny-kimi", policy: .copy, dense: dense, rows: 512)
        let streamed = try Harness(try model(slots: 7, dense: dense))
        for precision in [Precision.exact, .fast] {
            let expected = try Harness(sharing: whole).evaluate(InvarianceTests.ids, all: true, precision: precision)
            #expect(identical(try Harness(sharing: streamed).evaluate(InvarianceTests.ids, all: true, precision: precision), expected))
        }
    }

    @Test("all shapes of models", arguments: ShapeTests.names)
    func shapes(_ name: String) throws {
        let ids = (0..<40).map { Int32($0 * 7 % 50 + 1) }
        let config = try Checkpoint(folder: Fixtures.path("shapes/\(name)")).config
        guard config.expertCount > 0, config.layerCount > config.denseLayerCount else { return }
        let expected = try Harness("shapes/\(name)").evaluate(ids, all: true)
        let streamed = try Harness(try model("shapes/\(name)", slots: config.expertsPerToken + 1, nodes: 2))
        #expect(identical(try streamed.evaluate(ids, all: true), expected))
    }

    @Test("with room for all, each expert is read once")
    func once() throws {
        let model = try model(slots: 48)
        let harness = try Harness(model)
        _ = try harness.evaluate(InvarianceTests.ids)
        let first = try #require(model.storeReport).statistics
        _ = try Harness(sharing: harness).evaluate(InvarianceTests.ids, chunk: 10)
        let second = try #require(model.storeReport).statistics
        #expect(first.bytesRead == second.bytesRead)
        #expect(second.uses - first.uses == second.hits - first.hits)
    }

    @Test("in a long step each expert is read once at most", arguments: [4, 20])
    func waves(_ slots: Int) throws {
        let model = try model(slots: slots)
        _ = try Harness(model).evaluate(InvarianceTests.ids)
        let statistics = try #require(model.storeReport).statistics
        #expect(statistics.uses <= 48)
        #expect(statistics.hits == 0)
    }

    // MARK: Faults

    /// What happens to reads.
    private struct Fault {
        enum Kind { case short, onceFailing, failing, empty, slow }
        let kind: Kind
        var seen = 0
        /// Places that have failed already.
        var failed: Set<Int64> = []
    }

    private static let inject: cks_read_fault = { context, descriptor, offset, count, result in
        guard let fault = context?.assumingMemoryBound(to: Fault.self) else { return result }
        fault.pointee.seen += 1
        switch fault.pointee.kind {
        // Never less than a block, which a direct read cannot go on from.
        case .short: return result > 8192 && fault.pointee.seen % 3 != 0 ? result / 8192 * 4096 : result
        case .onceFailing: return fault.pointee.failed.insert(offset << 8 | Int64(descriptor)).inserted ? -5 : result
        case .failing: return -5
        case .empty: return 0
        case .slow: return fault.pointee.seen % 5 != 0 ? Int64.min : result
        }
    }

    @Test("short, failing and slow reads are made good, or are an error that names the tensor; later steps are as if nothing had been",
        arguments: [0, 1, 2, 3, 4])
    func faults(_ index: Int) throws {
        let kind = [Fault.Kind.short, .onceFailing, .failing, .empty, .slow][index]
        let model = try model(slots: 6)
        let store = try #require(model.store)
        var fault = Fault(kind: kind)
        try withUnsafeMutablePointer(to: &fault) { pointer in
            store.setFault(Self.inject, pointer)
            defer { store.setFault(nil, nil) }
            let harness = try Harness(model)
            if kind == .failing || kind == .empty {
                for _ in 0..<3 {
                    let error = #expect(throws: KimiError.self) { try harness.evaluate(InvarianceTests.ids, chunk: 50) }
                    #expect(error?.status == .io && error?.file?.contains("model-0000") == true)
                    #expect(error?.subject?.contains(".mlp.experts.") == true, "\(String(describing: error))")
                }
            } else {
                #expect(identical(try harness.evaluate(InvarianceTests.ids, chunk: 50, all: true), InvarianceTests.expected))
                let retries = try #require(model.storeReport).statistics.retries
                #expect(pointer.pointee.seen > 0 && (kind == .slow || kind == .onceFailing) == (retries > 0) || kind == .short)
            }
        }
        #expect(identical(try Harness(model).evaluate(InvarianceTests.ids, chunk: 50, all: true), InvarianceTests.expected))
    }

    @Test("a step that waits for a device that does not answer can be cancelled")
    func cancelled() throws {
        let model = try model(slots: 6)
        let store = try #require(model.store)
        store.setFault({ _, _, _, _, _ in Int64.min }, nil)
        let cancellation = Cancellation()
        let thread = Thread { Thread.sleep(forTimeInterval: 0.05); cancellation.request() }
        thread.start()
        let harness = try Harness(model)
        try harness.sequence.prepare(1)
        let row = StepRow(sequence: harness.sequence, token: 5, position: 0)
        #expect(throws: KimiError.self) {
            try withUnsafePointer(to: row) { row in
                try model.withStep { () throws(KimiError) in
                    try model.step(
                        UnsafeBufferPointer(start: row, count: 1), logits: LogitsTarget(nil, rows: 0), cancellation: cancellation)
                }
            }
        }
        store.setFault(nil, nil)
        #expect(identical(try Harness(model).evaluate(InvarianceTests.ids, chunk: 50, all: true), InvarianceTests.expected))
    }

    @Test("a budget under the smallest workable names that", arguments: [0, 1, 1000])
    func smallest(_ bytes: Int) throws {
        var options = TextModel.Options()
        options.loadPolicy = .stream
        options.memory.residentBytes = bytes
        do {
            _ = try TextModel(
                checkpoint: try Checkpoint(folder: Fixtures.path("tiny-kimi")), topology: try Topology.current(), options: options)
            Issue.record("opened")
        } catch {
            #expect(error.status == .outOfMemory && error.subject == "resident_bytes")
            // The second number of the message.
            let numbers = error.message.split { !$0.isNumber }.compactMap { Int($0) }
            let least = numbers.dropFirst().first
            options.memory.residentBytes = least
        }
        let model = try TextModel(
            checkpoint: try Checkpoint(folder: Fixtures.path("tiny-kimi")), topology: try Topology.current(), options: options)
        #expect(model.storeReport?.slots == 4)
    }
}
