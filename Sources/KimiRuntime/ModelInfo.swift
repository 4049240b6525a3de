import KimiCheckpoint
import KimiCore
import KimiModel

extension Model {
    /// What was opened and how it runs, as JSON, for `kimi_model_info`.
    package var info: String {
        var json = JSONWriter()
        json.object { json in
            checkpoint.describe(CostReport(checkpoint, dense: text.dense), in: &json) { json in self.describeEyes(in: &json) }
            json.member("context_limit", contextLimit)
            json.member("isa", text.isaName)
            json.member("threads", text.pool.threads)
            json.member("bound_threads", text.pool.boundThreads)
            json.member("cache_type", options.cacheType.name)
            json.member("cache_bytes_per_token", text.cache.blockBytes / BlockPool.blockTokens)
            json.member("load_policy", text.loadPolicy.name)
            json.member("chunk_size", options.chunkSize)
            json.member("exact", text.exact)
            json.member("decode_bits", text.decodeBits.rawValue)
            json.object("weight_bytes") { json in
                json.member("mapped", text.weightBytes.mapped)
                json.member("copied", text.weightBytes.copied)
                json.member("converted", text.weightBytes.converted)
            }
            describePlacement(in: &json)
            describeMemory(in: &json)
            describeSteps(in: &json)
            describePrefixes(in: &json)
            if let report = text.storeReport { json.object("expert_store") { json in report.describe(in: &json) } }
        }
        return json.text
    }

    private func describePlacement(in json: inout JSONWriter) {
        let report = text.placementReport
        json.object("placement") { json in
            json.member("policy", report.policy.rawValue)
            json.member("topology", topology.words)
            json.array("nodes") { json in
                for node in report.nodes {
                    json.object { json in
                        if let number = node.number { json.member("number", Int(number)) } else { json.null("number") }
                        json.member("workers", node.workers)
                        json.member("bound_workers", node.boundWorkers)
                        json.member("bytes", node.bytes)
                        json.object("pages") { json in
                            json.member("here", node.pagesHere)
                            json.member("elsewhere", node.pagesElsewhere)
                            json.member("absent", node.pagesAbsent)
                        }
                    }
                }
            }
            json.member("verified", report.isVerified)
            if let bytes = report.hugeBytes { json.member("huge_page_bytes", bytes) } else { json.null("huge_page_bytes") }
            json.array("shortfalls") { json in for words in report.shortfalls { json.element(words) } }
        }
    }

    private func describeSteps(in json: inout JSONWriter) {
        let counts = loop.report
        json.object("steps") { json in
            json.member("passes", counts.passes)
            json.member("rows", counts.rows)
            json.member("shares", counts.works)
            json.member("most_shares", counts.mostWorks)
            json.member("seconds", Double(counts.stepNanoseconds) * 1e-9)
            json.member("between_seconds", Double(counts.betweenNanoseconds) * 1e-9)
            json.member("waiting", counts.waiting)
        }
    }

    private func describePrefixes(in json: inout JSONWriter) {
        guard let prefixes else { return json.null("prefixes") }
        let report = prefixes.report
        json.object("prefixes") { json in
            json.member("limit", prefixes.limit)
            json.member("bytes", report.bytes)
            json.member("blocks", report.blocks)
            json.member("hits", report.hits)
            json.member("misses", report.misses)
            json.member("reused_tokens", report.reusedTokens)
            json.member("evictions", report.evictions)
        }
    }

    private func describeMemory(in json: inout JSONWriter) {
        let budget = text.budget
        json.object("memory") { json in
            if let limit = budget.limit {
                json.member("limit", limit.bytes)
                json.member("limit_from", limit.source.rawValue)
            } else {
                json.null("limit")
                json.null("limit_from")
            }
            json.object("used") { json in
                for kind in MemoryBudget.Kind.allCases { json.member(kind.name, budget.used(kind)) }
            }
            if let available = budget.available { json.member("available", available) } else { json.null("available") }
        }
    }
}
