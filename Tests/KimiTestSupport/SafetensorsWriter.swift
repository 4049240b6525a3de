import Foundation

/// Writes safetensors files for tests: correct ones by default, and any header text over any data for broken ones.
package struct SafetensorsWriter {
    package struct Tensor {
        package var name: String
        /// In the format's spelling, such as `BF16`.
        package var dtype: String
        package var shape: [Int]
        package var bytes: [UInt8]

        package init(_ name: String, _ dtype: String, _ shape: [Int], _ bytes: [UInt8]) {
            self.name = name
            self.dtype = dtype
            self.shape = shape
            self.bytes = bytes
        }
    }

    package var tensors: [Tensor]
    /// Spaces after the header so that the data begins at a multiple of this; 1 for none.
    package var headerAlignment = 8
    package var metadata: [String: String] = ["format": "pt"]

    package init(_ tensors: [Tensor] = []) { self.tensors = tensors }

    /// The header's JSON, tensors in their order, data without holes.
    package func header() -> String {
        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\"\($0.value)\"" }
            members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for tensor in tensors {
            let end = offset + tensor.bytes.count
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            members.append(
                "\"\(tensor.name)\":{\"dtype\":\"\(tensor.dtype)\",\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        let text = "{" + members.joined(separator: ",") + "}"
        let rest = (8 + text.utf8.count) % headerAlignment
        return text + String(repeating: " ", count: rest == 0 ? 0 : headerAlignment - rest)
    }

    /// The whole file.
    package func file() -> [UInt8] { Self.file(header: header(), data: tensors.flatMap(\.bytes)) }

    /// A file of any header text and any data, with the right header length in front.
    package static func file(header: String, data: [UInt8]) -> [UInt8] {
        file(headerLength: UInt64(header.utf8.count), header: Array(header.utf8), data: data)
    }

    /// A file with any number where the header length must be.
    package static func file(headerLength: UInt64, header: [UInt8], data: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: headerLength.littleEndian) { Array($0) } + header + data
    }

    /// Writes the tensors to shards in the usual naming, and an index if there are several.
    package static func write(_ tensors: [Tensor], to folder: TemporaryFolder, shards: Int = 1) throws {
        guard shards > 1 else {
            try folder.write("model.safetensors", SafetensorsWriter(tensors).file())
            return
        }
        var map: [String: String] = [:]
        for shard in 0..<shards {
            let part = tensors.indices.filter { $0 * shards / tensors.count == shard }.map { tensors[$0] }
            let name = shardName(shard, of: shards)
            try folder.write(name, SafetensorsWriter(part).file())
            for tensor in part { map[tensor.name] = name }
        }
        let index: [String: Any] = ["metadata": ["total_size": tensors.reduce(0) { $0 + $1.bytes.count }], "weight_map": map]
        let text = try JSONSerialization.data(withJSONObject: index, options: [.sortedKeys, .withoutEscapingSlashes])
        try folder.write("model.safetensors.index.json", [UInt8](text))
    }

    /// `model-00001-of-000002.safetensors` for shard 0 of 2.
    package static func shardName(_ shard: Int, of count: Int) -> String {
        String(format: "model-%05d-of-%06d.safetensors", shard + 1, count)
    }
}
