import KimiModel

extension Table {
    /// Adds to a table of tokens, times and speeds how experts have fared that are read from the files as they are chosen.
    ///
    /// - Parameter seconds: the time in which that was.
    mutating func experts(_ statistics: ExpertStore.Statistics, seconds: Double) {
        row(
            "experts in memory", "\(Units.count(statistics.hits)) of \(Units.count(statistics.uses))", "",
            MeasurementColumns.percent(statistics.hitShare))
        row(
            "read from files", "", Units.bytes(statistics.bytesRead),
            seconds > 0 ? Units.rate(Double(statistics.bytesRead) / seconds) : "-")
        row(
            "waited for reads", "", Units.elapsed(statistics.stallSeconds),
            seconds > 0 ? MeasurementColumns.percent(statistics.stallSeconds / seconds) : "-")
    }
}
