import ArgumentParser
import KimiBench
import KimiCheckpoint
import KimiCore
import KimiModel
import KimiRuntime
import KimiTopology
import KimiVision

/// The measurements of one call of `kimi bench`, in the order in which they are taken.
struct BenchRun {
    let command: Bench
    let interrupt: Interrupt
    let cancellation: Cancellation

    // MARK: Prompts and single tokens

    func tokens() throws -> any BenchReport {
        let folder = command.folder ?? ""
        let checkpoint = try Checkpoint(folder: folder)
        let plan = TokenPlan(command)
        try plan.check(contextLimit: command.machine.context ?? checkpoint.config.contextLimit)
        try BenchMemory(checkpoint, command.machine.modelOptions).check(plan)

        var options = command.machine.modelOptions
        options.chunkSize = max(options.chunkSize, plan.batches.last ?? 1)
        let begin = monotonicSeconds()
        let model = try MachineOptions.open(folder, options, interrupt)
        let opening = monotonicSeconds() - begin
        let facts = MachineFacts(try Topology.current())
        let memory = try StreamMemory(lastLevelCacheBytes: facts.lastLevelCacheBytes)
        let meter = try LimitMeter(pool: model.text.pool, memory: memory)
        let work = try TokenWork(model: model.text, contextLimit: plan.longest, cancellation: cancellation)
        let bar = ProgressBar("measuring", unit: .share)
        defer { bar.finish() }
        let total = plan.steps(repeats: command.repeats, rowsPerStep: model.text.maxRows)
        var done = 0
        func advance() throws {
            if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
            done += 1
            bar.update(min(done, total), of: total)
        }
        func experts() -> ExpertStore.Statistics? { model.text.storeReport?.statistics }
        try work.touchWeights()
        var results: [TokenResult] = []
        for depth in plan.depths {
            try work.settle(batch: 1, depth: depth, progress: advance)
            results.append(TokenResult(kind: .prefill, depth: depth, batch: 1, measurement: try Measurement.take(
                tokens: plan.prompt, repeats: command.repeats, meter: meter,
                reset: { try work.settle(batch: 1, depth: depth) }, advance: advance, experts: experts,
                work: { try work.prefill(tokens: plan.prompt) })))
            for batch in plan.batches {
                try work.settle(batch: batch, depth: depth, progress: advance)
                results.append(TokenResult(kind: .decode, depth: depth, batch: batch, measurement: try Measurement.take(
                    tokens: plan.tokens * batch, repeats: command.repeats, meter: meter,
                    reset: { try work.settle(batch: batch, depth: depth) }, advance: advance, experts: experts,
                    work: { try work.decode(batch: batch, steps: plan.tokens) })))
            }
        }
        bar.finish()
        // What is measured with is no part of the model.
        var resident = MachineFacts.residentMemory
        resident.now = max(0, resident.now - memory.byteCount)
        resident.most = max(0, resident.most - memory.byteCount)
        return TokenReport(
            model: model, facts: facts, opening: opening, results: results, cacheBytes: work.mostCacheBytes,
            resident: resident)
    }

    // MARK: Parts alone

    func experts() throws -> any BenchReport {
        let folder = command.folder ?? ""
        let checkpoint = try Checkpoint(folder: folder)
        try BenchMemory(checkpoint, command.machine.modelOptions).check(nil)
        var options = command.machine.modelOptions
        options.chunkSize = ExpertResult.rows.max() ?? 1
        let model = try MachineOptions.open(folder, options, interrupt)
        let facts = MachineFacts(try Topology.current())
        let meter = try LimitMeter(
            pool: model.text.pool, memory: StreamMemory(lastLevelCacheBytes: facts.lastLevelCacheBytes))
        let work = try ExpertWork(model: model.text, cancellation: cancellation)
        let bar = ProgressBar("measuring", unit: .share)
        defer { bar.finish() }
        try work.touchWeights()
        var done = 0
        var results: [ExpertResult] = []
        for rows in ExpertResult.rows {
            let calls = work.calls(rows: rows)
            var experts: [Double] = []
            let measurement = try Measurement.take(
                tokens: rows * calls, repeats: command.repeats, meter: meter, reset: { work.draw() },
                advance: {
                    if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
                    experts.append(Double(work.experts) / Double(calls))
                    done += 1
                    bar.update(done, of: ExpertResult.rows.count * (command.repeats + 1))
                },
                work: { try work.run(rows: rows, calls: calls) })
            results.append(ExpertResult(
                rows: rows, calls: calls, experts: Spread(experts), measurement: measurement))
        }
        bar.finish()
        return ExpertReport(model: model, facts: facts, results: results)
    }

    func vision() throws -> any BenchReport {
        let folder = command.folder ?? ""
        let model = try MachineOptions.open(folder, command.machine.modelOptions, interrupt)
        guard let eyes = model.eyes as? CheckpointEyes else { throw VisionTower.blind(model.checkpoint) }
        let facts = MachineFacts(try Topology.current())
        let meter = try LimitMeter(
            pool: model.text.pool, memory: StreamMemory(lastLevelCacheBytes: facts.lastLevelCacheBytes))
        let work = VisionWork(tower: eyes.tower, meter: meter, cancellation: cancellation)
        let sizes = command.size.isEmpty ? ["256x256", "512x512", "1024x1024"].compactMap(PictureSize.init) : command.size
        let bar = ProgressBar("measuring", unit: .share)
        defer { bar.finish() }
        var done = 0
        var results: [VisionResult] = []
        for size in sizes {
            let plan = eyes.config.plan(width: size.width, height: size.height)
            let grid = PatchGrid(frames: 1, rows: plan.rows, columns: plan.columns)
            let before = eyes.tower.times
            let measurement = try Measurement.take(
                tokens: plan.patches, repeats: command.repeats, meter: meter,
                advance: {
                    if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
                    done += 1
                    bar.update(done, of: sizes.count * (command.repeats + 1))
                },
                pauses: { work.pauses }, work: { try work.encode(grid) })
            let after = eyes.tower.times
            let repeats = Double(command.repeats + 1)
            results.append(VisionResult(
                size: size, plan: plan, measurement: measurement,
                stages: Dictionary(uniqueKeysWithValues: TowerStage.allCases.map {
                    ($0, (after.seconds($0) - before.seconds($0)) / repeats)
                }),
                multiplyAdds: VisionTower.multiplyAdds(of: grid, eyes.tower.config).values.reduce(0, +)))
        }
        bar.finish()
        return VisionReport(model: model, tower: eyes.tower, facts: facts, results: results)
    }

    func kernels() throws -> any BenchReport {
        let topology = try Topology.current()
        let facts = MachineFacts(topology)
        let pool = try WorkerPool(threads: command.machine.threads ?? topology.cores.count, topology: topology)
        let memory = try StreamMemory(lastLevelCacheBytes: facts.lastLevelCacheBytes)
        let meter = try LimitMeter(pool: pool, memory: memory)
        let work = try KernelWork(pool: pool, memory: memory)
        let levels = KernelWork.levels(upTo: command.machine.isa?.level)
        let cases = KernelCase.all
        let bar = ProgressBar("measuring", unit: .share)
        defer { bar.finish() }
        var done = 0
        var results: [KernelResult] = []
        for kernel in cases {
            for level in levels {
                let measurement = try work.measure(kernel, level: level, repeats: command.repeats, meter: meter) {
                    if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
                }
                done += 1
                bar.update(done, of: cases.count * levels.count)
                guard let measurement else { continue }
                results.append(KernelResult(
                    kernel: kernel.name, size: kernel.size, isa: KernelWork.name(ofLevel: level), measurement: measurement))
            }
        }
        bar.finish()
        return KernelReport(threads: pool.threads, facts: facts, results: results)
    }

    // MARK: Accuracy

    func accuracy() throws -> any BenchReport {
        let folder = command.folder ?? ""
        let options = command.machine.modelOptions
        let checkpoint = try Checkpoint(folder: folder)
        try BenchMemory(checkpoint, options).check(nil)
        var ids: [Int32]?
        let accuracy = try Accuracy.compare(
            options: options, open: { try MachineOptions.open(folder, $0, interrupt) }, cancellation: cancellation
        ) { model in
            if let ids { return ids }
            let chosen = try self.ids(for: model)
            ids = chosen
            return chosen
        }
        return AccuracyReport(
            facts: MachineFacts(try Topology.current()), digest: checkpoint.digest, options: options, accuracy: accuracy)
    }

    /// What to evaluate: the text or ids of the command line, or random ids.
    private func ids(for model: Model) throws -> [Int32] {
        if let given = try givenIDs(for: model) { return given }
        var random = SystemRandomNumberGenerator()
        let limit = min(command.prompt, model.contextLimit)
        return (0..<limit).map { _ in Int32.random(in: 0..<Int32(clamping: model.vocabularySize), using: &random) }
    }

    /// The text or ids of the command line; nil if there are none.
    private func givenIDs(for model: Model) throws -> [Int32]? {
        if let text = command.text {
            let ids = try model.tokenizer.encode(Array(text.utf8), special: false)
            guard !ids.isEmpty else { throw Failure("the text is empty", next: "Give at least one character.") }
            return ids
        }
        if let text = command.ids {
            let ids = try InputText.ids(text)
            guard !ids.isEmpty else { throw Failure("there are no ids", next: "Give at least one.") }
            return ids
        }
        return nil
    }

    // MARK: Slots for experts

    /// The sizes of synthetic traces: layers and experts enough for what all layers share to matter, few enough to be quick.
    private static let synthetic = (layers: 6, experts: 384, perToken: 8, tokens: 2400)

    func slots() throws -> any BenchReport {
        let bar = ProgressBar("replaying", unit: .share)
        defer { bar.finish() }
        let traces: [ExpertTrace]
        if let folder = command.folder {
            let model = try MachineOptions.open(folder, command.machine.modelOptions, interrupt)
            var random = Random(seed: command.seed)
            let given = try givenIDs(for: model)
            let prompt = given ?? (0..<min(command.prompt, model.contextLimit)).map { _ in
                Int32(truncatingIfNeeded: random.next() % UInt64(model.vocabularySize))
            }
            let recording = ProgressBar("recording", unit: .share)
            defer { recording.finish() }
            var done = 0
            traces = [try ExpertTrace.recorded(
                model, prompt: prompt, tokens: command.tokens, seed: command.seed, cancellation: cancellation
            ) {
                if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
                done += 1
                recording.update(min(done, command.tokens), of: command.tokens)
            }]
        } else {
            let size = Self.synthetic
            traces = SyntheticTrace.allCases.map {
                $0.trace(
                    layers: size.layers, experts: size.experts, perToken: size.perToken, tokens: size.tokens, seed: command.seed)
            }
        }
        var done = 0
        return try SlotReport(seed: command.seed, traces: traces) {
            if interrupt.isRequested { throw ExitCode(Interrupt.exitCode) }
            done += 1
            bar.update(done, of: SlotReport.steps(traces: traces.count))
        }
    }
}
