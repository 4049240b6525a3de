import Foundation
import KimiCore
import KimiTopology
import Testing

private struct Marks {
    let counts: UnsafeMutablePointer<Int32>
    let perWorker: UnsafeMutablePointer<Int32>
    let workers: Int
}

private func mark(_ context: UnsafeMutableRawPointer?, _ begin: Int, _ end: Int, _ worker: Int) {
    guard let marks = context?.assumingMemoryBound(to: Marks.self).pointee else { return }
    for index in begin..<end { marks.counts[index] += 1 }
    if worker < marks.workers { marks.perWorker[worker] += 1 }
}

@Suite(.serialized) struct WorkerPoolTests {
    @Test("every item is worked on exactly once", arguments: [1, 2, 3, 8], [1, 7, 64, 100_000])
    func once(_ threads: Int, grain: Int) throws {
        let pool = try WorkerPool(threads: threads, topology: try Topology.current())
        for count in [0, 1, 2, 63, 64, 65, 1000] {
            let counts = UnsafeMutablePointer<Int32>.allocate(capacity: 1001)
            let perWorker = UnsafeMutablePointer<Int32>.allocate(capacity: threads)
            defer {
                counts.deallocate()
                perWorker.deallocate()
            }
            counts.update(repeating: 0, count: 1001)
            perWorker.update(repeating: 0, count: threads)
            var marks = Marks(counts: counts, perWorker: perWorker, workers: threads)
            for _ in 0..<50 { pool.run(mark, &marks, count: count, grain: grain) }
            #expect((0..<count).allSatisfy { counts[$0] == 50 })
            #expect(counts[count] == 0)
        }
    }

    @Test("a pool that has fallen asleep wakes up again")
    func sleep() throws {
        let pool = try WorkerPool(threads: 2, topology: try Topology.current())
        let counts = UnsafeMutablePointer<Int32>.allocate(capacity: 64)
        let perWorker = UnsafeMutablePointer<Int32>.allocate(capacity: 2)
        defer {
            counts.deallocate()
            perWorker.deallocate()
        }
        counts.update(repeating: 0, count: 64)
        perWorker.update(repeating: 0, count: 2)
        var marks = Marks(counts: counts, perWorker: perWorker, workers: 2)
        for _ in 0..<5 {
            pool.run(mark, &marks, count: 64, grain: 1)
            usleep(20_000)
        }
        #expect((0..<64).allSatisfy { counts[$0] == 5 })
    }

    @Test("an idle pool uses no processor time")
    func idle() throws {
        let pool = try WorkerPool(threads: 4, topology: try Topology.current())
        usleep(50_000)
        // Other suites may run beside this one; so the pool's own threads are asked, not the process's time.
        let states = try threadStates(named: "kimi-worker")
        #expect(states.count >= 3)
        #expect(states.contains("S"))
        _ = pool
    }

    private func threadStates(named name: String) throws -> [String] {
        var states: [String] = []
        guard let folder = opendir("/proc/self/task") else { return [] }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let thread = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let file = fopen("/proc/self/task/\(thread)/stat", "r") else { continue }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 512)
            guard fgets(&line, 511, file) != nil else { continue }
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.contains("(\(name))"), let state = text.split(separator: ")").last?.split(separator: " ").first else { continue }
            states.append(String(state))
        }
        return states
    }

    @Test("absurd thread counts are refused", arguments: [0, -1, 4097, Int.min, Int.max])
    func refused(_ threads: Int) throws {
        let topology = try Topology.current()
        let error = #expect(throws: KimiError.self) { try WorkerPool(threads: threads, topology: topology) }
        #expect(error?.status == .invalidArgument)
    }

    @Test("the topology names real cores inside the cpuset")
    func topology() throws {
        let topology = try Topology.current()
        #expect(!topology.cores.isEmpty && topology.nodeCount >= 1)
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
        // "0-3,8": single numbers and ranges.
        let allowed = line.split(separator: "\t")[1].split(separator: ",").flatMap { part in
            let ends = part.split(separator: "-").compactMap { UInt32($0) }
            return Array(ends[0]...ends[ends.count - 1])
        }
        for core in topology.cores { #expect(allowed.contains(core.processor)) }
        #expect(Set(topology.cores.map(\.processor)).count == topology.cores.count)
    }
}
