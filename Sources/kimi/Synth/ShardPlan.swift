import KimiCore

/// One file of weights before it is written: its header and where each tensor's bytes go.
struct PlannedShard {
    let fileName: String
    /// In the order of their bytes.
    let tensors: [SynthTensor]
    /// Where each tensor begins in the file.
    let offsets: [Int]
    /// The eight bytes of length and the JSON, padded so that the data begins at a multiple of 8.
    let header: [UInt8]
    let fileSize: Int

    init(fileName: String, tensors: [SynthTensor], note: String) {
        // As the published files have it: wide types first, then by name.
        let sorted = tensors.sorted { a, b in
            a.type == b.type ? a.name.utf8.lexicographicallyPrecedes(b.name.utf8) : a.type.rawValue < b.type.rawValue
        }
        var json = JSONWriter()
        var relative: [Int] = []
        var end = 0
        json.object { json in
            json.object("__metadata__") { json in
                json.member("format", "pt")
                json.member("made_by", note)
            }
            for tensor in sorted {
                json.object(tensor.name) { json in
                    json.member("dtype", tensor.type.spelling)
                    json.array("shape") { json in for extent in tensor.shape { json.element(extent) } }
                    json.array("data_offsets") { json in
                        json.element(end)
                        json.element(end + tensor.byteCount)
                    }
                }
                relative.append(end)
                end += tensor.byteCount
            }
        }
        var text = Array(json.text.utf8)
        while text.count % 8 != 0 { text.append(0x20) }
        let length = UInt64(text.count)
        header = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) } + text
        let dataStart = header.count
        self.fileName = fileName
        self.tensors = sorted
        offsets = relative.map { $0 + dataStart }
        fileSize = dataStart + end
    }
}

/// How a checkpoint's tensors are spread over files.
struct ShardPlan {
    let shards: [PlannedShard]
    let weightBytes: Int
    let fileBytes: Int
    let tensorCount: Int

    /// - Parameters:
    ///   - count: files, 1 to the number of tensors. A single one is called `model.safetensors` and needs no index.
    ///   - note: goes into each file's metadata.
    init(_ tensors: [SynthTensor], count: Int, note: String) {
        let total = tensors.reduce(0) { $0 + $1.byteCount }
        var groups: [[SynthTensor]] = [[]]
        var bytes = 0
        for (index, tensor) in tensors.enumerated() {
            // The next file begins where its share does, and at the latest where each file left can only have one tensor.
            let isFull = bytes + tensor.byteCount / 2 >= total / count * groups.count
            let mustMove = tensors.count - index == count - groups.count
            if groups.count < count, !(groups.last?.isEmpty ?? true), isFull || mustMove { groups.append([]) }
            groups[groups.count - 1].append(tensor)
            bytes += tensor.byteCount
        }
        shards = groups.enumerated().map { number, group in
            PlannedShard(fileName: Self.fileName(number, of: groups.count), tensors: group, note: note)
        }
        weightBytes = total
        fileBytes = shards.reduce(0) { $0 + $1.fileSize }
        tensorCount = tensors.count
    }

    /// `model-00001-of-000064.safetensors`: five digits and six, as published.
    private static func fileName(_ number: Int, of count: Int) -> String {
        guard count > 1 else { return "model.safetensors" }
        func padded(_ number: Int, _ digits: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        return "model-\(padded(number + 1, 5))-of-\(padded(count, 6)).safetensors"
    }

    /// The text of `model.safetensors.index.json`, or nil for a single file.
    var index: String? {
        guard shards.count > 1 else { return nil }
        var json = JSONWriter()
        json.object { json in
            json.object("metadata") { json in json.member("total_size", weightBytes) }
            json.object("weight_map") { json in
                for shard in shards {
                    for tensor in shard.tensors { json.member(tensor.name, shard.fileName) }
                }
            }
        }
        return json.text
    }
}
