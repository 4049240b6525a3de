import KimiCheckpoint
import KimiCore
import KimiModel
import KimiTopology

/// A plan as a picture: nodes as boxes whose memory is filled by kind, and every routed expert as a cell.
///
/// It brings its own light ground, so that it reads the same on light and dark pages, and asks for no font in particular.
struct PlanPicture {
    let plan: PlacementPlan
    let topology: Topology
    let rates: MachineRates
    let folder: String

    private static let width = 1000
    private static let margin = 32
    private var inner: Int { Self.width - 2 * Self.margin }

    /// Colours that remain apart for people who see fewer (after Okabe and Ito); dark and light ones alternate in the order of kinds.
    private static let kinds: [(kind: PlacementPlan.Kind, colour: String)] = [
        (.routedExperts, "#0072b2"), (.replicas, "#003d66"), (.attention, "#e69f00"), (.sharedExperts, "#009e73"),
        (.denseMLP, "#56b4e9"), (.embedding, "#cc79a7"), (.head, "#7a3b61"), (.router, "#8c8c8c"), (.norms, "#4d4d4d"),
        (.cache, "#d55e00"), (.buffers, "#f0e442"), (.vision, "#a6d5c3"),
    ]
    private static let homes = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a3b61", "#f0e442"]
    private static let splitColour = "#5b8fb9"
    private static let everywhereColour = "#1a1a1a"
    private static let distantColour = "#b0855b"
    private static let streamedColour = "#dcdcd6"

    /// The whole document.
    var svg: String {
        var body = ""
        var y = 52
        body += text(Self.margin, y, "Where the weights lie", size: 24, weight: "600")
        y += 26
        body += text(Self.margin, y, "\(folder.split(separator: "/").last.map(String.init) ?? folder) on \(topology.words)", size: 15)
        y += 21
        body += text(Self.margin, y, headline, size: 13, colour: "#555")
        y += 24
        y = nodes(&body, y)
        y = legend(&body, y + 10)
        if !plan.experts.allSatisfy({ $0 == .none }) { y = grid(&body, y + 26) }
        y = footer(&body, y + 26)
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.width) \(y)" width="\(Self.width)" height="\(y)" role="img" \
            font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif">
            <title>\(Self.escaped("A placement of weights over \(plan.nodes.count) memory nodes"))</title>
            <rect width="\(Self.width)" height="\(y)" rx="14" fill="#fbfbf8"/>
            \(body)</svg>

            """
    }

    private var headline: String {
        let policy = "policy \(plan.placement.policy.rawValue)\(plan.isChosen ? " (chosen)" : "")"
        let caches = "\(plan.sequences) x \(Units.count(plan.context)) tokens of context"
        let imbalance = "imbalance \(Units.decimal(plan.imbalance * 100, 1)) %"
        return [policy, caches, imbalance, speed].joined(separator: "  ·  ")
    }

    private var speed: String {
        let single = plan.prediction.single
        return "predicted \(Units.decimal(single.low, 1)) to \(Units.decimal(single.high, 1)) tokens/s for one sequence"
    }

    // MARK: Nodes

    /// Packages from top to bottom, each a box around its nodes. Returns where the next thing may begin.
    private func nodes(_ body: inout String, _ top: Int) -> Int {
        var packages: [Int] = []
        for node in plan.nodes where !packages.contains(node.package) { packages.append(node.package) }
        let largest = max(1, plan.nodes.map { size($0) }.max() ?? 1)
        var y = top
        for (order, package) in packages.enumerated() {
            let members = plan.nodes.filter { $0.package == package }
            let height = 34 + members.count * 46
            if order > 0 { link(&body, y - 16) }
            body += rect(Self.margin, y, inner, height, fill: "#ffffff", extra: " rx=\"10\" stroke=\"#c9c9c2\"")
            body += text(Self.margin + 14, y + 21, "package \(package)", size: 13, weight: "600", colour: "#555")
            for (index, node) in members.enumerated() { bar(&body, node, y + 34 + index * 46, largest) }
            y += height + 32
        }
        return y - 14
    }

    private func size(_ node: PlacementPlan.Node) -> Int { max(node.memoryBytes, node.used) }

    private func bar(_ body: inout String, _ node: PlacementPlan.Node, _ y: Int, _ largest: Int) {
        let (left, room) = (Self.margin + 150, inner - 150 - 150)
        let what = node.workers > 0 ? "\(node.workers) thread\(node.workers == 1 ? "" : "s")" : "memory alone"
        body += text(Self.margin + 14, y + 14, "node \(node.index)", size: 14, weight: "600")
        body += text(Self.margin + 14, y + 30, what, size: 11, colour: "#666")
        func columns(_ bytes: Int) -> Double { Double(bytes) / Double(largest) * Double(room) }
        let whole = columns(size(node))
        body += "<rect x=\"\(left)\" y=\"\(y)\" width=\"\(number(whole))\" height=\"32\" rx=\"4\" fill=\"#eeeee8\" stroke=\"#8a8a82\"/>\n"
        var x = 0.0
        for (kind, colour) in Self.kinds {
            guard let bytes = node.bytes[kind], bytes > 0 else { continue }
            let wide = columns(bytes)
            let title = Self.escaped("\(kind.words): \(PlacementPlanner.amount(bytes))")
            body += "<rect x=\"\(number(Double(left) + x))\" y=\"\(y + 1)\" width=\"\(number(wide))\" height=\"30\" fill=\"\(colour)\"><title>\(title)</title></rect>\n"
            x += wide
        }
        let right = Self.margin + inner - 14
        body += text(right, y + 14, PlacementPlanner.amount(node.used), size: 14, weight: "600", anchor: "end")
        let of = node.memoryBytes > 0 ? "of \(PlacementPlanner.amount(node.memoryBytes))" : "of unknown memory"
        body += text(right, y + 30, of, size: 11, colour: "#666", anchor: "end")
    }

    /// Between two packages, with what goes over it.
    private func link(_ body: inout String, _ y: Int) {
        let x = Self.width / 2
        body += "<path d=\"M\(x) \(y - 13)v26M\(x - 4) \(y - 8)l4 -5l4 5M\(x - 4) \(y + 8)l4 5l4 -5\" fill=\"none\" stroke=\"#555\" stroke-width=\"1.5\"/>\n"
        let words = rates.linkBandwidth.map { "\(Units.decimal($0 * 1e-9, 0)) GB/s" } ?? "40 to 120 GB/s assumed"
        body += text(x + 12, y + 4, words, size: 11, colour: "#555")
    }

    private func legend(_ body: inout String, _ top: Int) -> Int {
        let shown = Self.kinds.filter { plan.total($0.kind) > 0 }
        let columns = 4
        for (index, entry) in shown.enumerated() {
            let (x, y) = (Self.margin + index % columns * (inner / columns), top + index / columns * 22)
            body += rect(x, y, 13, 13, fill: entry.colour, extra: " rx=\"2\"")
            body += text(x + 20, y + 11, "\(entry.kind.words) \(PlacementPlanner.amount(plan.total(entry.kind)))", size: 12)
        }
        return top + (shown.count + columns - 1) / columns * 22
    }

    // MARK: Experts

    private func grid(_ body: inout String, _ top: Int) -> Int {
        let config = plan.inventory.config
        body += text(Self.margin, top, "Routed experts: a row for each layer, a column for each expert", size: 14, weight: "600")
        let left = Self.margin + 28
        let cell = Double(inner - 28) / Double(max(1, config.expertCount))
        let height = max(2, min(6, 480 / max(1, config.layerCount)))
        let y = top + 14
        // Strokes of one colour in one path, neighbours joined: twenty thousand cells stay a small file.
        var paths: [String: String] = [:]
        for layer in 0..<config.layerCount {
            var begin = 0
            while begin < config.expertCount {
                let place = plan.experts[layer * config.expertCount + begin]
                var end = begin + 1
                while end < config.expertCount, plan.experts[layer * config.expertCount + end] == place { end += 1 }
                if let colour = colour(place) {
                    paths[colour, default: ""] +=
                        "M\(number(Double(left) + Double(begin) * cell)) \(y + layer * height + height / 2)h\(number(Double(end - begin) * cell))"
                }
                begin = end
            }
        }
        for (colour, path) in paths.sorted(by: { $0.key < $1.key }) {
            let stroke = Double(height) - (height > 3 ? 0.6 : 0)
            body += "<path d=\"\(path)\" stroke=\"\(colour)\" stroke-width=\"\(number(stroke))\" fill=\"none\"/>\n"
        }
        body += text(Self.margin, y + height + 2, "0", size: 10, colour: "#666")
        body += text(Self.margin, y + config.layerCount * height, "\(config.layerCount - 1)", size: 10, colour: "#666")
        return gridLegend(&body, y + config.layerCount * height + 14)
    }

    private func colour(_ place: PlacementPlan.ExpertPlace) -> String? {
        switch place {
        case .none: nil
        case .split: Self.splitColour
        case .home(let k): Self.homes[k % Self.homes.count]
        case .everywhere: Self.everywhereColour
        case .distant: Self.distantColour
        case .streamed: Self.streamedColour
        }
    }

    private func gridLegend(_ body: inout String, _ y: Int) -> Int {
        var entries: [(String, String)] = []
        func count(_ isCounted: (PlacementPlan.ExpertPlace) -> Bool) -> Int { plan.experts.count(where: isCounted) }
        func add(_ colour: String, _ words: String, _ count: Int) {
            if count > 0 { entries.append((colour, "\(words) (\(Units.count(count)))")) }
        }
        for k in plan.placement.nodes.indices.prefix(Self.homes.count) {
            let more = plan.placement.nodes.count > Self.homes.count ? " and so on" : ""
            add(Self.homes[k], "on node \(plan.nodes[k].index)\(more)", count { $0 == .home(k) })
        }
        add(Self.splitColour, plan.placement.nodes.count > 1 ? "in memory, split over all nodes" : "in memory", count { $0 == .split })
        add(Self.everywhereColour, "on every node", count { $0 == .everywhere })
        add(Self.distantColour, "in memory without cores", count { if case .distant = $0 { true } else { false } })
        add(Self.streamedColour, "read from disk when chosen", count { $0 == .streamed })
        var (x, row) = (Self.margin + 28, y)
        for (colour, words) in entries {
            let wide = 34 + words.count * 7
            if x + wide > Self.margin + inner { (x, row) = (Self.margin + 28, row + 20) }
            body += rect(x, row, 13, 13, fill: colour, extra: " rx=\"2\"")
            body += text(x + 19, row + 11, words, size: 12)
            x += wide
        }
        return row + 16
    }

    // MARK: What is said below

    private func footer(_ body: inout String, _ top: Int) -> Int {
        var y = top
        let basis = "The speed is a prediction from memory bandwidth, links and barriers, not a measurement."
        for line in [basis] + plan.notes {
            for part in Self.wrapped(line, 130) {
                body += text(Self.margin, y, part, size: 11.5, colour: "#555")
                y += 16
            }
        }
        return y + 16
    }

    private static func wrapped(_ line: String, _ limit: Int) -> [String] {
        var lines: [String] = []
        var current = ""
        for word in line.split(separator: " ") {
            if !current.isEmpty, current.count + word.count + 1 > limit {
                lines.append(current)
                current = ""
            }
            current += (current.isEmpty ? "" : " ") + word
        }
        return current.isEmpty ? lines : lines + [current]
    }

    // MARK: Elements

    private func rect(_ x: Int, _ y: Int, _ width: Int, _ height: Int, fill: String, extra: String = "") -> String {
        "<rect x=\"\(x)\" y=\"\(y)\" width=\"\(width)\" height=\"\(height)\" fill=\"\(fill)\"\(extra)/>\n"
    }

    private func text(
        _ x: Int, _ y: Int, _ words: String, size: Double, weight: String = "400", colour: String = "#1d1d1b", anchor: String = "start"
    ) -> String {
        "<text x=\"\(x)\" y=\"\(y)\" font-size=\"\(number(size))\" font-weight=\"\(weight)\" fill=\"\(colour)\" text-anchor=\"\(anchor)\">\(Self.escaped(words))</text>\n"
    }

    private func number(_ value: Double) -> String {
        let text = Units.decimal(value, 2)
        return text.hasSuffix(".00") ? String(text.dropLast(3)) : text
    }

    /// For XML: no markup, and none of the control characters that it cannot hold.
    private static func escaped(_ words: String) -> String {
        var result = ""
        for scalar in words.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case _ where scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF: result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
