import CKimiSystem
import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// What the store of experts counts, against what the router chose and where the experts lie in their files.
@Suite(.serialized) struct ExpertStoreCountTests {
    /// The experts that each layer of each step chose, by the model's own choices.
    private struct Chosen {
        var uses = 0
        var ever: Set<[Int]> = []

        mutating func add(layer: Int, _ experts: UnsafeBufferPointer<Int32>) {
            let distinct = Set(experts.map { [layer, Int($0)] })
            uses += distinct.count
            ever.formUnion(distinct)
        }
    }

    private static func model(slots: Int?) throws -> TextModel {
        var options = TextModel.Options()
        options.loadPolicy = .stream
        options.maxRows = 512
        options.memory.residentBytes = 1 << 40
        if let slots { options.memory.residentBytes = slots * (try #require(try model(slots: nil).storeReport)).slotBytes }
        return try TextModel(
            checkpoint: try Checkpoint(folder: Fixtures.path("tiny-kimi")), topology: try Topology.current(), options: options)
    }

    /// What reading each expert takes, by layer and number: the whole blocks of its six tensors, as far as their files go.
    ///
    /// The headers are read here by the letter of the format.
    private static func fileBytes() throws -> [[Int]: Int] {
        struct Entry: Decodable { let data_offsets: [Int]? }
        let folder = Fixtures.path("tiny-kimi")
        var sums: [[Int]: Int] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasSuffix(".safetensors") {
            let file = try Data(contentsOf: URL(filePath: folder + "/" + name))
            let header = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            for (tensor, entry) in try JSONDecoder().decode([String: Entry].self, from: file[8..<8 + header]) {
                let parts = tensor.split(separator: ".")
                guard let place = parts.firstIndex(of: "experts"), let offsets = entry.data_offsets, parts.last != "weight_shape"
                else { continue }
                let key = [try #require(Int(parts[place - 2])), try #require(Int(parts[place + 1]))]
                let (begin, end) = (8 + header + offsets[0], 8 + header + offsets[1])
                sums[key, default: 0] += min((end + 4095) / 4096 * 4096, file.count) - begin / 4096 * 4096
            }
        }
        return sums
    }

    @Test("uses are the distinct experts of each layer and step; with room for all, each is read once, block by block",
        arguments: [4, 9, 48], [1, 7, 300])
    func counts(_ slots: Int, chunk: Int) throws {
        let model = try Self.model(slots: slots)
        var chosen = Chosen()
        model.layerObserver = { [config = model.config] layer, _, choices in
            if !config.isDense(layer: layer) { chosen.add(layer: layer, choices.experts) }
        }
        _ = try Harness(model).evaluate(Array(InvarianceTests.ids.prefix(60)), chunk: chunk)
        let report = try #require(model.storeReport)
        #expect(report.slots == slots && report.experts == 48)
        let counted = report.statistics
        #expect(counted.uses == chosen.uses && counted.uses > 0)
        #expect(counted.onTheWay == 0 && counted.retries == 0)
        let fileBytes = try Self.fileBytes()
        #expect(fileBytes.count == 48)
        let sizes = try chosen.ever.map { try #require(fileBytes[$0]) }
        let misses = counted.uses - counted.hits
        if slots == 48 {
            #expect(misses == chosen.ever.count)
            #expect(counted.bytesRead == sizes.reduce(0, +))
        } else {
            #expect(misses >= chosen.ever.count)
            let (least, most) = (try #require(sizes.min()), try #require(sizes.max()))
            #expect(misses * least <= counted.bytesRead && counted.bytesRead <= misses * most)
        }
        #expect(counted.hitShare == Double(counted.hits) / Double(chosen.uses))
    }

    private struct Failures {
        /// Places that have failed once.
        var places: Set<Int64> = []
    }

    @Test("pieces that are read again are counted, and what a step counted that failed is told, too")
    func retries() throws {
        let model = try Self.model(slots: 6)
        let store = try #require(model.store)
        var failures = Failures()
        try withUnsafeMutablePointer(to: &failures) { pointer in
            defer { store.setFault(nil, nil) }
            store.setFault({ context, descriptor, offset, _, result in
                guard let failures = context?.assumingMemoryBound(to: Failures.self) else { return result }
                return failures.pointee.places.insert(offset << 8 | Int64(descriptor)).inserted ? -5 : result
            }, pointer)
            _ = try Harness(model).evaluate(Array(InvarianceTests.ids.prefix(20)), chunk: 4)
            let counted = try #require(model.storeReport).statistics
            #expect(counted.retries == pointer.pointee.places.count && counted.retries > 0)

            // Each read fails twice: the step ends in its first layer with experts.
            store.setFault({ _, _, _, _, _ in -5 }, nil)
            #expect(throws: KimiError.self) { try Harness(model).evaluate([5], chunk: 1) }
            let failed = try #require(model.storeReport).statistics - counted
            #expect(failed.uses > 0 && failed.hits < failed.uses && failed.retries > 0)
        }
    }
}
