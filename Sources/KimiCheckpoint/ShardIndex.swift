import KimiCore

/// Reads `model.safetensors.index.json`: its `weight_map` says which shard holds which tensor.
///
/// Every name becomes a promise in the table; the shards' headers must keep all of them. What else the file holds
/// (`metadata`) is checked to be JSON and otherwise ignored.
struct ShardIndex {
    /// The longest index read, ten times that of 208,550 tensors.
    static let maxLength = 256 << 20

    private var json: JSONReader
    private var shardNames: [String] = []
    private var numbers: [String: Int32] = [:]

    /// Fills the empty `table` with promises and returns the shards' file names, sorted.
    static func read(_ bytes: [UInt8], file: String, into table: inout TensorTable) throws(KimiError) -> [String] {
        let outcome = bytes.withUnsafeBytes { buffer in
            var reader = ShardIndex(json: JSONReader(buffer, file: file, what: "index"))
            return Result { () throws(KimiError) in
                try reader.document(&table)
                return reader.sortShards(&table)
            }
        }
        return try outcome.get()
    }

    private mutating func document(_ table: inout TensorTable) throws(KimiError) {
        var keys: Set<String> = []
        try json.expect(0x7B)
        if !json.take(0x7D) {
            repeat {
                let key = try json.key()
                guard keys.insert(key.string).inserted else { throw json.fault("key \(key.quoted) stands twice") }
                if key.equals("weight_map") {
                    try weightMap(&table)
                } else {
                    try json.skipValue(depth: 32)
                }
            } while json.take(0x2C)
            try json.expect(0x7D)
        }
        try json.end()
        guard keys.contains("weight_map") else { throw json.fault("the index has no weight_map") }
        guard table.count > 0 else { throw json.fault("the weight_map is empty") }
    }

    private mutating func weightMap(_ table: inout TensorTable) throws(KimiError) {
        try json.expect(0x7B)
        if json.take(0x7D) { return }
        // Neighbours in the map mostly share a shard: comparing with the last name saves the dictionary.
        var last: (name: JSONText, number: Int32)?
        repeat {
            let name = try json.text()
            json.subject = name
            if let reason = TensorTable.faultInName(name) { throw json.fault(reason) }
            guard name.withBytes({ table.find($0) }) == nil else { throw json.fault("the index names the tensor twice") }
            try json.expect(0x3A)
            let shard = try json.text()
            let number: Int32
            if let last, shard.equals(last.name) { number = last.number } else { number = try self.number(of: shard) }
            last = (shard, number)
            guard name.withBytes({ table.promise($0, shard: number) }) != nil else {
                throw KimiError(.unsupported, "more than \(TensorTable.maxTensors) tensors", file: json.file)
            }
        } while json.take(0x2C)
        json.subject = nil
        try json.expect(0x7D)
    }

    /// The number of a shard by its file name, which must be a plain name: the index may not reach outside its folder.
    private mutating func number(of shard: JSONText) throws(KimiError) -> Int32 {
        let name = shard.string
        if let number = numbers[name] { return number }
        guard !name.isEmpty, name.utf8.count <= 255, name.utf8.allSatisfy({ $0 != 0x2F && $0 >= 0x20 }),
            !name.hasPrefix("."), name.hasSuffix(".safetensors")
        else {
            throw json.fault(
                "the index places the tensor in \(shard.quoted); a file name in the same folder that ends in .safetensors is wanted")
        }
        guard shardNames.count < FolderLayout.maxShards else {
            throw KimiError(.unsupported, "more than \(FolderLayout.maxShards) shards", file: json.file)
        }
        let number = Int32(shardNames.count)
        shardNames.append(name)
        numbers[name] = number
        return number
    }

    /// Shards are numbered by name, so that the order of the map's entries changes nothing.
    private mutating func sortShards(_ table: inout TensorTable) -> [String] {
        let sorted = shardNames.sorted()
        var newNumbers = [Int32](repeating: 0, count: shardNames.count)
        for (number, name) in sorted.enumerated() {
            if let old = numbers[name] { newNumbers[Int(old)] = Int32(number) }
        }
        table.renumberShards(newNumbers)
        return sorted
    }
}
