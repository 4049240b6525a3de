import KimiCheckpoint
import KimiCore

extension ExpertStore {
    /// What a store is and how it has fared, as of the end of the latest layer.
    package struct Report: Sendable, Equatable {
        /// Experts that have room in memory at once, and bytes of one of them over all nodes.
        package let slots: Int
        package let slotBytes: Int
        /// Routed experts of all layers.
        package let experts: Int
        /// How files are read, and whether all are read past the page cache.
        package let backend: ShardReader.Backend
        package let isDirect: Bool
        package let statistics: Statistics

        /// The same store with only what it has counted since an earlier report of it.
        package func since(_ earlier: Report) -> Report {
            Report(
                slots: slots, slotBytes: slotBytes, experts: experts, backend: backend, isDirect: isDirect,
                statistics: statistics - earlier.statistics)
        }
    }

    /// Any thread.
    var report: Report {
        Report(
            slots: slotCount, slotBytes: slotBytes, experts: expertCount, backend: backend, isDirect: isDirect, statistics: latest)
    }
}

extension ExpertStore.Statistics {
    /// The part of the uses whose expert was in memory already, 0 to 1; 0 if there were none.
    package var hitShare: Double { uses > 0 ? Double(hits) / Double(uses) : 0 }
    package var stallSeconds: Double { Double(stallNanoseconds) * 1e-9 }

    /// What was counted between two readings of one store.
    package static func - (later: Self, earlier: Self) -> Self {
        // Safe from overflow because counts start at 0 and only grow.
        var difference = Self()
        difference.uses = later.uses - earlier.uses
        difference.hits = later.hits - earlier.hits
        difference.onTheWay = later.onTheWay - earlier.onTheWay
        difference.bytesRead = later.bytesRead - earlier.bytesRead
        difference.stallNanoseconds = later.stallNanoseconds - earlier.stallNanoseconds
        difference.retries = later.retries - earlier.retries
        return difference
    }
}
