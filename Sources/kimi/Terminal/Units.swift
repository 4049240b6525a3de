import Glibc

/// Numbers as people read them.
enum Units {
    /// 554.3 GiB, 1.50 MiB, 18 B: three figures at least, binary units.
    static func bytes(_ count: Int) -> String { binary(Double(count), whole: count < 1024 && count > -1024) }

    /// 812 MiB/s.
    static func rate(_ bytesPerSecond: Double) -> String { binary(bytesPerSecond, whole: false) + "/s" }

    /// 45.2 GB/s: decimal, as memory bandwidth is told.
    static func bandwidth(_ bytesPerSecond: Double) -> String {
        let giga = bytesPerSecond * 1e-9
        return decimal(giga, giga < 9.995 ? 2 : 1) + " GB/s"
    }

    private static func binary(_ value: Double, whole: Bool) -> String {
        if whole { return "\(Int(value)) B" }
        guard value.isFinite else { return "-" }
        var value = value
        let names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        var unit = 0
        while abs(value) >= 1023.95 && unit < names.count - 1 {
            value /= 1024
            unit += 1
        }
        return decimal(value, value < 9.995 ? 2 : 1) + " " + names[unit]
    }

    /// 208,550.
    static func count(_ number: Int) -> String {
        let digits = String(number.magnitude)
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { result += "," }
            result.append(digit)
        }
        return (number < 0 ? "-" : "") + result
    }

    /// 1.04 T, 32.9 B, 510 M: how many weights, in the short scale that model cards use.
    static func short(_ number: Int) -> String {
        var value = Double(number)
        let names = ["", " K", " M", " B", " T"]
        var unit = 0
        while value >= 999.5 && unit < names.count - 1 {
            value /= 1000
            unit += 1
        }
        return unit == 0 ? String(number) : decimal(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + names[unit]
    }

    /// A fixed number of decimal places, 0 to 9.
    static func decimal(_ value: Double, _ places: Int) -> String {
        guard value.isFinite, abs(value) < 1e9 else { return "\(value)" }
        let scale = pow(10, Double(places))
        let scaled = Int((abs(value) * scale).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard places > 0 else { return sign + String(scaled) }
        let digits = String(scaled)
        let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
        return sign + padded.dropLast(places) + "." + padded.suffix(places)
    }

    /// 12 s, 3 min 20 s, 2 h 5 min.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e9 else { return "-" }
        if seconds < 9.95 { return decimal(seconds, 1) + " s" }
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }

    /// 0.31 ms, 12 ms, 3.4 s: for measured times.
    static func elapsed(_ seconds: Double) -> String {
        if seconds >= 1 { return seconds < 60 ? decimal(seconds, 2) + " s" : duration(seconds) }
        return decimal(seconds * 1000, seconds < 0.01 ? 2 : 1) + " ms"
    }
}
