import CKimiSystem
import Foundation
import KimiCheckpoint
import KimiCore
import KimiTestSupport
import Testing

/// Parts of tensors, read while somebody else computes.
struct ShardReaderTests {
    private final class Room {
        let base: UnsafeMutableRawPointer
        init(_ bytes: Int) {
            base = .allocate(byteCount: bytes, alignment: ShardReader.block)
            base.initializeMemory(as: UInt8.self, repeating: 0xAA, count: bytes)
        }
        deinit { base.deallocate() }
    }

    private func tensors(_ checkpoint: Checkpoint) -> [TensorInfo] {
        var tensors: [TensorInfo] = []
        checkpoint.forEachTensor { (_, tensor) throws(Never) in tensors.append(tensor) }
        return tensors
    }

    @Test("any range of any tensor, as plain reading gives it", arguments: [ShardReader.Backend.best, .threads], [1, 7, 300])
    func ranges(_ backend: ShardReader.Backend, requests: Int) throws {
        let checkpoint = try Checkpoint(folder: Fixtures.path("tiny-kimi"))
        let tensors = tensors(checkpoint)
        let reader = try ShardReader(checkpoint, requests: requests, backend: backend)
        if backend == .threads { #expect(reader.backend == .threads) }
        var random = SplitMix(UInt64(requests))
        var running: [UInt64: (tensor: TensorInfo, begin: Int, count: Int, room: Room)] = [:]
        var ended = 0
        func settle(_ milliseconds: Int) {
            _ = reader.wait(milliseconds: milliseconds) { tag, error in
                #expect(error == nil)
                guard let read = running.removeValue(forKey: tag) else { Issue.record("\(tag) ended twice"); return }
                ended += 1
                var expected = [UInt8](repeating: 0, count: read.count)
                let isRead: Void? = try? expected.withUnsafeMutableBytes { try checkpoint.read(read.tensor, from: read.begin, into: $0) }
                let found = UnsafeRawBufferPointer(
                    start: read.room.base + ShardReader.lead(read.tensor.offset + read.begin), count: read.count)
                #expect(isRead != nil && found.elementsEqual(expected))
            }
        }
        for tag in 0..<UInt64(600) {
            // The last tensors of the files too, whose last blocks are not whole.
            let tensor = tag % 5 == 0 ? tensors[tensors.count - 1] : tensors[Int.random(in: 0..<tensors.count, using: &random)]
            let begin = Int.random(in: 0...tensor.byteCount, using: &random)
            let count = tag % 3 == 0 ? tensor.byteCount - begin : Int.random(in: 0...tensor.byteCount - begin, using: &random)
            let room = Room(ShardReader.room(for: max(count, 1)))
            while try !reader.request(tensor, from: begin, count: count, into: room.base, tag: tag) { settle(1000) }
            running[tag] = (tensor, begin, count, room)
        }
        while reader.pending > 0 { settle(1000) }
        #expect(ended == 600 && running.isEmpty)
    }

    @Test("ranges that a tensor does not have are refused", arguments: [(-1, 1), (0, -1), (1, Int.max), (Int.max, 1), (0, 1 << 40)])
    func outside(_ begin: Int, count: Int) throws {
        let checkpoint = try Checkpoint(folder: Fixtures.path("tiny-kimi"))
        let tensor = try #require(tensors(checkpoint).first)
        let reader = try ShardReader(checkpoint, requests: 4)
        let room = Room(4096)
        let error = #expect(throws: KimiError.self) { try reader.request(tensor, from: begin, count: count, into: room.base, tag: 0) }
        #expect(error?.status == .invalidArgument && reader.pending == 0)
    }

    @Test("a file that was cut or written to is an error that names file and tensor; one that was replaced does no harm",
        arguments: [ShardReader.Backend.best, .threads], ["cut", "written", "replaced", "removed"])
    func changed(_ backend: ShardReader.Backend, _ what: String) throws {
        let folder = try TemporaryFolder()
        try folder.copyFixture("tiny-kimi")
        let checkpoint = try Checkpoint(folder: folder.path)
        let last = try #require(tensors(checkpoint).last)
        let path = checkpoint.shardPath(last.shard)
        let reader = try ShardReader(checkpoint, requests: 4, backend: backend)
        var expected = [UInt8](repeating: 0, count: last.byteCount)
        try expected.withUnsafeMutableBytes { try checkpoint.read(last, into: $0) }
        switch what {
        case "cut": #expect(truncate(path, off_t(last.offset)) == 0)
        case "written":
            let handle = try FileHandle(forWritingTo: URL(filePath: path))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data([1]))
            try handle.close()
        case "replaced":
            try folder.write("other", "no weights")
            #expect(rename(folder.path + "/other", path) == 0)
        default: #expect(unlink(path) == 0)
        }
        let room = Room(ShardReader.room(for: last.byteCount))
        #expect(try reader.request(last, from: 0, count: last.byteCount, into: room.base, tag: 9))
        var found: KimiError?
        while reader.pending > 0 { _ = reader.wait(milliseconds: 1000) { #expect($0 == 9); found = $1 } }
        if what == "cut" || what == "written" {
            #expect(found?.status == .io && found?.file == path && found?.subject != nil)
        } else {
            let bytes = UnsafeRawBufferPointer(start: room.base + ShardReader.lead(last.offset), count: last.byteCount)
            #expect(found == nil && bytes.elementsEqual(expected))
        }
    }

    @Test("a reader that goes while reads are under way leaves memory alone afterwards", arguments: [ShardReader.Backend.best, .threads])
    func gone(_ backend: ShardReader.Backend) throws {
        let checkpoint = try Checkpoint(folder: Fixtures.path("tiny-kimi"))
        let tensors = tensors(checkpoint)
        for round in 0..<20 {
            let rooms = tensors.map { Room(ShardReader.room(for: $0.byteCount)) }
            do {
                let reader = try ShardReader(checkpoint, requests: tensors.count, backend: backend)
                for (index, tensor) in tensors.enumerated() {
                    #expect(try reader.request(tensor, from: 0, count: tensor.byteCount, into: rooms[index].base, tag: UInt64(index)))
                }
                if round % 2 == 0 { _ = reader.wait(milliseconds: 1) { _, error in #expect(error == nil) } }
            }
            for (index, tensor) in tensors.enumerated() { memset(rooms[index].base, 0x55, tensor.byteCount) }
            usleep(200)
            let isLeftAlone = zip(rooms, tensors).allSatisfy { room, tensor in
                UnsafeRawBufferPointer(start: room.base, count: tensor.byteCount).allSatisfy { $0 == 0x55 }
            }
            #expect(isLeftAlone)
        }
    }
}
