import KimiCore
import KimiTopology

extension PlacementPlan {
    /// Writes the plan's members: `model`, `machine`, `policy`, `nodes`, `experts`, `prediction`, `notes` and so on; see kimi_plan in
    /// kimi.h. Bytes are whole numbers.
    package func describe(_ topology: Topology, _ rates: MachineRates, comparison: PlacementComparison?, in json: inout JSONWriter) {
        let config = inventory.config
        json.member("format", "kimi-plan")
        json.member("version", 1)
        json.object("model") { json in
            json.member("from_config_alone", inventory.isFromConfigAlone)
            json.member("layers", config.layerCount)
            json.member("experts", config.expertCount)
            json.member("experts_per_token", config.expertsPerToken)
            json.member("dense", inventory.dense.rawValue)
            json.member("matrix_bytes", inventory.matrixBytes)
            json.member("expert_bytes", inventory.expertBytes)
        }
        json.object("machine") { json in
            json.member("source", topology.source.words)
            json.member("packages", topology.packageCount)
            json.member("nodes", topology.nodeCount)
            json.member("cores", topology.cores.count)
        }
        json.member("policy", placement.policy.rawValue)
        json.member("policy_chosen", isChosen)
        json.member("context", context)
        json.member("sequences", sequences)
        json.member("cache", cacheType.name)
        json.array("nodes") { json in
            for (node, computes) in zip(nodes, isComputing) {
                json.object { json in describe(node, computes, in: &json) }
            }
        }
        json.object("bytes") { json in
            for kind in Kind.allCases { json.member(kind.rawValue, total(kind)) }
            json.member("all", used)
        }
        json.object("experts") { json in
            func count(_ isCounted: (ExpertPlace) -> Bool) -> Int { experts.count(where: isCounted) }
            json.member("split", count { $0 == .split })
            json.member("whole", count { if case .home = $0 { true } else { false } })
            json.member("everywhere", count { $0 == .everywhere })
            json.member("distant", count { if case .distant = $0 { true } else { false } })
            json.member("streamed", count { $0 == .streamed })
            if let resident = placement.residentExpertBytes { json.member("resident_bytes", resident) } else { json.null("resident_bytes") }
            json.member("streamed_bytes", streamedBytes)
            json.member("hit_rate", hitRate)
            json.member("read_from_disk_per_token", missBytesPerToken)
        }
        json.member("imbalance", imbalance)
        json.member("worst_layer_imbalance", worstLayerImbalance)
        json.object("prediction") { json in
            json.object("tokens_per_second") { json in describe(prediction, in: &json) }
            json.array("assumptions") { json in for line in rates.assumptions { json.element(line) } }
        }
        if let comparison {
            json.object("comparison") { json in describe(comparison, in: &json) }
        }
        json.array("notes") { json in for note in notes { json.element(note) } }
    }

    private func describe(_ node: Node, _ computes: Bool, in json: inout JSONWriter) {
        json.member("node", node.index)
        json.member("number", Int(node.number))
        json.member("package", node.package)
        json.member("threads", node.workers)
        json.member("computes", computes)
        if node.memoryBytes > 0 { json.member("memory_bytes", node.memoryBytes) } else { json.null("memory_bytes") }
        json.member("usable_bytes", node.capacity)
        json.object("bytes") { json in
            for kind in Kind.allCases { json.member(kind.rawValue, node.bytes[kind] ?? 0) }
            json.member("all", node.used)
        }
        json.member("free_bytes", node.free)
        json.member("read_per_token", node.readPerToken)
    }

    private func describe(_ prediction: PlacementPrediction, in json: inout JSONWriter) {
        for (name, range) in [("single", prediction.single), ("batch", prediction.batch)] {
            json.object(name) { json in
                json.member("low", range.low)
                json.member("high", range.high)
            }
        }
    }

    private func describe(_ comparison: PlacementComparison, in json: inout JSONWriter) {
        json.array("rows") { json in
            for row in comparison.rows {
                json.object { json in
                    json.member("policy", row.policy.rawValue)
                    json.member("packages", row.packages)
                    json.member("nodes", row.nodes)
                    if let failure = row.failure {
                        json.member("failure", failure)
                    } else {
                        json.member("imbalance", row.imbalance)
                        json.member("streamed_bytes", row.streamedBytes)
                        json.object("tokens_per_second") { json in describe(row.prediction, in: &json) }
                    }
                }
            }
        }
        func member(_ name: String, _ value: Double?) { if let value { json.member(name, value) } else { json.null(name) } }
        member("one_package_is_faster_below_link_bytes_per_second", comparison.linkCrossover)
        member("one_package_is_faster_above_barrier_seconds", comparison.barrierCrossover)
        if let sequences = comparison.expertCrossover {
            json.member("expert_is_faster_from_sequences", sequences)
        } else {
            json.null("expert_is_faster_from_sequences")
        }
    }
}

extension Topology.Source {
    /// "this machine", or what describes it.
    package var words: String {
        switch self {
        case .machine: "this machine"
        case .synthetic(let text): "\"\(text)\""
        case .file(let path): path
        }
    }
}
