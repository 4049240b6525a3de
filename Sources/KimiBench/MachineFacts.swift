import Glibc
import KimiTopology

/// What a figure depends on besides the program: to be told along with it.
package struct MachineFacts: Sendable {
    /// The processor's name, or "".
    package let processor: String
    package let cores: Int
    package let lastLevelCacheBytes: Int
    /// Physical memory.
    package let memoryBytes: Int
    /// The moment in UTC, as 2026-11-25T07:30:00Z.
    package let date: String

    package init(_ topology: Topology) {
        processor = topology.processorModel
        cores = topology.cores.count
        lastLevelCacheBytes = topology.lastLevelCacheBytes
        memoryBytes = Self.physicalMemory
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let length = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        date = String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Bytes of memory in this machine, or 0 if the system does not say.
    package static var physicalMemory: Int {
        let (bytes, overflow) = sysconf(Int32(_SC_PHYS_PAGES)).multipliedReportingOverflow(by: sysconf(Int32(_SC_PAGESIZE)))
        return overflow ? 0 : max(bytes, 0)
    }

    /// Bytes that programs may still have, counting what the system would give up for them; 0 if it does not say.
    static var availableMemory: Int {
        guard let text = contents("/proc/meminfo") else { return 0 }
        for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            let kibibytes = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            return kibibytes.multipliedReportingOverflow(by: 1024).partialValue
        }
        return 0
    }

    /// Bytes of this program in memory now, mapped weights that were touched included; and the most there were.
    package static var residentMemory: (now: Int, most: Int) {
        let pages = contents("/proc/self/statm")?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        var usage = rusage()
        let most = getrusage(RUSAGE_SELF.rawValue, &usage) == 0 ? usage.ru_maxrss * 1024 : 0
        let now = pages * sysconf(Int32(_SC_PAGESIZE))
        // The system counts the peak in coarser steps.
        return (now, max(now, most))
    }

    /// The beginning of one of the system's small text files.
    private static func contents(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
