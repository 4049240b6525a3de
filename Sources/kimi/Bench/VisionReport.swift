import KimiBench
import KimiCore
import KimiModel
import KimiRuntime
import KimiVision

/// A picture's size as an option says it: 1024x768.
struct PictureSize: Equatable {
    let width: Int
    let height: Int

    init?(_ text: String) {
        let sides = text.lowercased().split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        guard sides.count == 2, let width = sides[0], let height = sides[1], (1...100_000).contains(width),
            (1...100_000).contains(height)
        else { return nil }
        (self.width, self.height) = (width, height)
    }

    var text: String { "\(width) x \(height)" }
}

/// One size of picture, as measured.
struct VisionResult {
    let size: PictureSize
    let plan: SizePlan
    let measurement: Measurement
    /// Seconds of each stage of a repeat, on the mean.
    let stages: [TowerStage: Double]
    /// Multiply-adds of a picture, one for a weight and row.
    let multiplyAdds: Int
}

/// How fast pictures become features.
struct VisionReport: BenchReport {
    let model: Model
    let tower: VisionTower
    let facts: MachineFacts
    let results: [VisionResult]

    /// The part of the peak that a repeat reached, of the multiplications that its path uses: all that were made, or only those that the
    /// maths asks for.
    private func share(_ result: VisionResult, useful: Bool) -> Spread {
        Spread(result.measurement.samples.map { sample in
            Double(useful ? result.multiplyAdds : sample.count.multiplyAdds) / sample.seconds / peak(sample)
        })
    }

    /// What was possible between the turns of a repeat; of one without a pause, around it.
    private func peak(_ sample: Measurement.Sample) -> Double {
        sample.meanwhile ?? (sample.before.peak(of: tower.path) + sample.after.peak(of: tower.path)) / 2
    }

    func print() {
        let stages = TowerStage.allCases
        var table = Table(
            ["picture", "patches", "tokens", "time", "patches/s", "slowest", "fastest", "GMAC/s", "peak", "made", "needed"],
            right: Set(1...10))
        for result in results {
            let speed = result.measurement.tokensPerSecond
            let peak = Spread(result.measurement.samples.map(peak)).median
            table.row([
                result.size.text, Units.count(result.plan.patches), Units.count(result.plan.tokens),
                Units.elapsed(result.measurement.seconds.median), Units.decimal(speed.median, 0), Units.decimal(speed.min, 0),
                Units.decimal(speed.max, 0),
                Units.decimal(result.measurement.multiplyAddsPerSecond.median * 1e-9, 0), Units.decimal(peak * 1e-9, 0),
                MeasurementColumns.percent(share(result, useful: false).median),
                MeasurementColumns.percent(share(result, useful: true).median),
            ])
        }
        table.print()
        var parts = Table(["share of the time"] + stages.map(\.rawValue), right: Set(1...stages.count))
        for result in results {
            let all = max(stages.reduce(0) { $0 + (result.stages[$1] ?? 0) }, 1e-9)
            parts.row([result.size.text] + stages.map { MeasurementColumns.percent((result.stages[$0] ?? 0) / all) })
        }
        parts.print()
        let words = [facts.processor.isEmpty ? nil : facts.processor, "\(model.text.pool.threads) threads", model.text.isaName, facts.date]
        Terminal.output.write(
            words.compactMap { $0 }.joined(separator: ", ") + "\n"
                + "products of \(tower.path.words); GMAC/s: multiply-adds made; peak: of such in registers, measured every 50 ms between turns;\n"
                + "made, needed: shares of that peak, of all multiply-adds made and of those that the maths asks for\n")
    }

    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("digest", model.checkpoint.digest)
            json.member("machine", facts, threads: model.text.pool.threads)
            json.member("isa", model.text.isaName)
            json.member("exact", model.options.exact)
            json.member("arithmetic", model.options.vision.rawValue)
            json.member("path", tower.path.rawValue)
            json.array("results") { json in
                for result in results {
                    json.object { json in
                        json.member("width", result.size.width)
                        json.member("height", result.size.height)
                        json.member("patches", result.plan.patches)
                        json.member("tokens", result.plan.tokens)
                        json.member("needed_multiply_adds", result.multiplyAdds)
                        json.object("stage_seconds") { json in
                            for stage in TowerStage.allCases { json.member(stage.rawValue, result.stages[stage] ?? 0) }
                        }
                        json.member("path_peak", Spread(result.measurement.samples.map(peak)))
                        json.member("share_made", share(result, useful: false))
                        json.member("share_needed", share(result, useful: true))
                        json.measurement(result.measurement, unit: "patches")
                    }
                }
            }
        }
        return json.text
    }
}
