import CKimiSystem
import Foundation
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

/// Files that are cut while a model computes from their mappings.
@Suite(.serialized) struct ReadHoldTests {
    @Test("a shard that is cut in the midst of steps is an error, not a signal", arguments: [0, 4096, 1_000_000], 0..<8)
    func cutWhileRunning(_ length: Int, round: Int) throws {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        let shard = folder.url.appending(path: "model-00001-of-000002.safetensors").path
        // Without leases there is a gap that this test would fall into.
        try #require(leasesWork(shard))
        let checkpoint = try Checkpoint(folder: folder.path)
        var options = TextModel.Options()
        options.threads = 2
        let model = try TextModel(checkpoint: checkpoint, topology: try Topology.current(), options: options)
        let sequence = try TokenSequence(pool: model.cache, contextLimit: 100_000)
        let cutter = Thread {
            Thread.sleep(forTimeInterval: 0.02 + Double(round) * 1.7e-4) // meets the step elsewhere each time
            truncate(shard, off_t(length))
        }
        cutter.start()
        var failure: KimiError?
        var steps = 0
        while failure == nil && steps < 100_000 {
            steps += 1
            try sequence.prepare(1)
            let row = [StepRow(sequence: sequence, token: 65, position: sequence.count)]
            do throws(KimiError) {
                try row.withUnsafeBufferPointer { rows in
                    Result { () throws(KimiError) in
                        try model.withStep(nil) { () throws(KimiError) in
                            try model.step(rows, logits: LogitsTarget(nil, rows: 0), cancellation: Cancellation())
                        }
                    }
                }.get()
            } catch { failure = error }
            if sequence.count < 1000 { [Int32(65)].withUnsafeBufferPointer { sequence.append($0) } }
        }
        #expect(failure?.status == .io)
        #expect(failure?.file?.hasSuffix("model-00001-of-000002.safetensors") == true)
    }

    @Test("nothing is held between steps: a writer does not wait")
    func nothingHeldBetween() throws {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        let checkpoint = try Checkpoint(folder: folder.path)
        let hold = ReadHold(checkpoint)
        let shard = folder.url.appending(path: "model-00002-of-000002.safetensors").path
        try hold.begin()
        hold.end()
        let writer = open(shard, O_WRONLY | O_NONBLOCK)
        #expect(writer >= 0, "a lease would answer EWOULDBLOCK")
        close(writer)
        #expect(throws: Never.self) { try checkpoint.checkIntact() }
    }

    @Test("a step fails while somebody has a shard open for writing, and works again afterwards")
    func writer() throws {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        let shard = folder.url.appending(path: "model-00001-of-000002.safetensors").path
        try #require(leasesWork(shard))
        let hold = ReadHold(try Checkpoint(folder: folder.path))
        let writer = open(shard, O_RDWR)
        let error = #expect(throws: KimiError.self) { try hold.begin() }
        hold.end()
        #expect(error?.status == .io && error?.file == shard)
        close(writer)
        try hold.begin()
        try hold.check()
        hold.end()
    }

    private func leasesWork(_ path: String) -> Bool {
        let file = open(path, O_RDONLY)
        defer { close(file) }
        return cks_file_hold(file) == 1
    }
}
