import CKimiKernels
import Glibc
import KimiBench
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTestSupport
import KimiTopology
import Testing

struct MeasurementTests {
    @Test("figures by hand: two repeats, the second at half the speed beside a neighbour that takes half the bandwidth")
    func figuresFollowFromTheSamples() {
        func limits(_ read: Double, _ bf16: Double?) -> Limits { Limits(read: read, f32: 10, bf16: bf16, int8: nil) }
        let measurement = Measurement(tokens: 4, samples: [
            .init(
                seconds: 2, count: WorkCount(bytes: 80, multiplyAdds: 20), before: limits(60, 100), after: limits(40, 60)),
            .init(
                seconds: 4, count: WorkCount(bytes: 80, multiplyAdds: 20), before: limits(30, 50), after: limits(20, 30)),
        ])
        #expect(measurement.tokensPerSecond == Spread([2, 1]))
        #expect(measurement.tokensPerSecond.median == 1.5)
        #expect(measurement.bytesPerSecond == Spread([40, 20]))
        #expect(measurement.plainRead == Spread([50, 25]))
        // Each repeat against its own moment: as near to the limit as the other.
        #expect(measurement.readShare == Spread([0.8, 0.8]))
        #expect(measurement.arithmeticShare == Spread([0.125, 0.125]))
        #expect(measurement.limitShare == Spread([0.8, 0.8]))
        #expect(measurement.peak { $0.f32 } == Spread([10, 10, 10, 10]))
        #expect(measurement.peak { $0.int8 } == nil)
        #expect(limits(1, nil).arithmetic == 10)
        #expect(measurement.expertHitShare == nil && measurement.fileBytesPerSecond == nil && measurement.stallShare == nil)
    }

    @Test(
        "median, least and most",
        arguments: [([3.0], 3.0, 3.0, 3.0), ([5, 1, 2], 2, 1, 5), ([4, 1, 3, 2], 2.5, 1, 4), ([], 0, 0, 0)])
    func spread(_ values: [Double], median: Double, min: Double, max: Double) {
        let spread = Spread(values)
        #expect(spread.median == median && spread.min == min && spread.max == max)
    }
}

/// That the report notices what the work really does.
@Suite(.serialized) struct HonestyTests {
    private static func meter() throws -> LimitMeter {
        let pool = try WorkerPool(threads: 1, topology: try Topology.current())
        return try LimitMeter(pool: pool, memory: StreamMemory(lastLevelCacheBytes: 0))
    }

    @Test("experts that are read as they are chosen: each repeat has its own counts, the unmeasured run none")
    func experts() throws {
        let options = try streaming(slots: 5)
        let model = try TextModel(
            checkpoint: try Checkpoint(folder: Fixtures.path("tiny-kimi")), topology: try Topology.current(), options: options)
        let work = try TokenWork(model: model, contextLimit: 64, cancellation: Cancellation())
        try work.settle(batch: 1, depth: 0)
        let meter = try Self.meter()
        let result = try Measurement.take(
            tokens: 4, repeats: 3, meter: meter, reset: { try work.settle(batch: 1, depth: 0) },
            experts: { model.storeReport?.statistics }, work: { try work.decode(batch: 1, steps: 4) })
        // Four steps of one token: what each chooses in each layer with experts.
        let uses = 4 * model.config.expertsPerToken * (model.config.layerCount - model.config.denseLayerCount)
        #expect(result.samples.map { $0.experts?.uses } == [uses, uses, uses])
        let all = try #require(model.storeReport).statistics
        #expect(all.uses == 4 * uses)
        #expect(result.samples.reduce(0) { $0 + ($1.experts?.bytesRead ?? 0) } < all.bytesRead)
        for (index, sample) in result.samples.enumerated() {
            let experts = try #require(sample.experts)
            #expect(experts.hits < experts.uses && experts.bytesRead > 0, "repeat \(index)")
            #expect(experts.stallSeconds < sample.seconds, "repeat \(index)")
        }
        #expect(result.expertHitShare == Spread(result.samples.map { Double($0.experts?.hits ?? -1) / Double(uses) }))
        #expect(result.fileBytesPerSecond == Spread(result.samples.map { Double($0.experts?.bytesRead ?? -1) / $0.seconds }))
    }

    /// Options that leave room for so many experts.
    private func streaming(slots: Int) throws -> TextModel.Options {
        var options = TextModel.Options()
        options.loadPolicy = .stream
        options.memory.residentBytes = 1 << 40
        let whole = try TextModel(
            checkpoint: try Checkpoint(folder: Fixtures.path("tiny-kimi")), topology: try Topology.current(), options: options)
        options.memory.residentBytes = slots * (try #require(whole.storeReport)).slotBytes
        return options
    }

    @Test("work that sleeps is slower by what it sleeps")
    func workThatSleepsIsSlowerByWhatItSleeps() throws {
        let meter = try Self.meter()
        func measure(_ microseconds: UInt32) throws -> Measurement {
            try Measurement.take(tokens: 10, repeats: 3, meter: meter) {
                usleep(microseconds)
                return WorkCount(bytes: 1_000_000, multiplyAdds: 1000)
            }
        }
        let fast = try measure(1000)
        let slow = try measure(50_000)
        // A sleep may last longer, never shorter.
        #expect(slow.seconds.min >= 0.05)
        #expect(slow.tokensPerSecond.max <= 200)
        #expect(slow.tokensPerSecond.max < fast.tokensPerSecond.max)
        #expect(slow.bytesPerSecond.max <= 20_000_000)
        #expect(slow.readShare.max < fast.readShare.max)
        #expect(slow.arithmeticShare.max < fast.arithmeticShare.max)
    }

    @Test("the unmeasured run and the resets are not in the time")
    func theUnmeasuredRunAndResetsAreNotInTheTime() throws {
        var runs = 0, resets = 0, advances = 0
        let result = try Measurement.take(
            tokens: 1, repeats: 4, meter: try Self.meter(),
            reset: {
                resets += 1
                usleep(300_000)
            },
            advance: { advances += 1 },
            work: {
                runs += 1
                if runs == 1 { usleep(300_000) }
                return WorkCount(bytes: runs, multiplyAdds: 1)
            })
        #expect(runs == 5 && advances == 5 && resets == 6)
        #expect(result.samples.map(\.count.bytes) == [2, 3, 4, 5])
        #expect(result.seconds.median < 0.3)
    }

    @Test("a model whose norm dawdles: the figures of single tokens say so")
    func aSlowedKernelShowsInTheTokens() throws {
        let meter = try Self.meter()
        let normal = try #require(ck_kernels_for(ck_isa_best()))
        let slowed = UnsafeMutablePointer<ck_kernels>.allocate(capacity: 1)
        defer { slowed.deallocate() }
        slowed.initialize(to: normal.pointee)
        slowed.pointee.rms_norm = { y, x, w, n, epsilon in
            usleep(2000)
            ck_kernels_for(ck_isa_best()).pointee.rms_norm(y, x, w, n, epsilon)
        }
        func measure(_ kernels: UnsafePointer<ck_kernels>?) throws -> (Measurement, layers: Int) {
            var options = TextModel.Options()
            options.kernels = kernels
            let model = try TextModel(
                checkpoint: try Checkpoint(folder: Fixtures.path("tiny-kimi")), topology: try Topology.current(), options: options)
            let work = try TokenWork(model: model, contextLimit: 64, cancellation: Cancellation())
            try work.settle(batch: 1, depth: 3)
            let result = try Measurement.take(
                tokens: 4, repeats: 2, meter: meter, reset: { try work.settle(batch: 1, depth: 3) },
                work: { try work.decode(batch: 1, steps: 4) })
            return (result, model.config.layerCount)
        }
        let (fast, _) = try measure(nil)
        let (slow, layers) = try measure(UnsafePointer(slowed))
        // Two norms a layer and the last one, at the least.
        #expect(slow.seconds.min >= 4 * Double(2 * layers + 1) * 0.002)
        #expect(slow.tokensPerSecond.max < fast.tokensPerSecond.max)
        #expect(slow.readShare.max < fast.readShare.max)
        // What is counted is the same: only the time tells.
        #expect(slow.bytes.median > 0 && slow.multiplyAdds == fast.multiplyAdds)
    }
}
