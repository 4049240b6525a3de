import KimiCheckpoint
import KimiCore
import KimiModel

extension ExpertStore.Report {
    /// The members of `expert_store`, as kimi.h has them.
    package func describe(in json: inout JSONWriter) {
        json.member("slots", slots)
        json.member("slot_bytes", slotBytes)
        json.member("experts", experts)
        json.member("uses", statistics.uses)
        json.member("hits", statistics.hits)
        json.member("on_the_way", statistics.onTheWay)
        json.member("bytes_read", statistics.bytesRead)
        json.member("stall_seconds", statistics.stallSeconds)
        json.member("retries", statistics.retries)
        json.member("backend", backend == .ring ? "io_uring" : "threads")
        json.member("direct", isDirect)
    }
}
