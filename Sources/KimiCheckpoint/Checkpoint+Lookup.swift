import KimiCore

/// The weights of one linear map, as the checkpoint has them: rows of the output, columns of the input, row after row.
package enum LinearWeights: Sendable, Equatable {
    /// BF16, F16 or F32, [rows, columns].
    case plain(TensorInfo)
    /// INT4 in groups of 32: `packed` is I32 [rows, columns / 8] (element i of a row in bits 4 (i mod 8) of word i / 8, stored
    /// plus 8), `scales` is BF16 [rows, columns / 32].
    case int4(packed: TensorInfo, scales: TensorInfo)

    /// The bytes of all parts.
    package var byteCount: Int {
        switch self {
        case .plain(let tensor): tensor.byteCount
        case .int4(let packed, let scales): packed.byteCount + scales.byteCount
        }
    }
}

/// Look-ups that check. Names are full names, with the prefix. Every error is `.format` or `.unsupported` and says what was
/// found and what would be right.
extension Checkpoint {
    /// Types that weights may have where they are not packed.
    package static let plainTypes: [ElementType] = [.bf16, .f16, .f32]

    /// A tensor [count] of BF16, F16 or F32, such as a norm's weights.
    package func vector(_ name: String, count: Int) throws(KimiError) -> TensorInfo {
        try checked(name, [count], types: Self.plainTypes)
    }

    /// A tensor [rows, columns] of BF16, F16 or F32.
    package func matrix(_ name: String, rows: Int, columns: Int) throws(KimiError) -> TensorInfo {
        try checked(name, [rows, columns], types: Self.plainTypes)
    }

    /// A tensor of this shape of BF16, F16 or F32, of up to five axes.
    package func array(_ name: String, shape: [Int]) throws(KimiError) -> TensorInfo {
        try checked(name, shape, types: Self.plainTypes)
    }

    /// The weights `base`.weight, or `base`.weight_packed with its scales.
    ///
    /// Parts that would change the result and that the architecture does not have (a bias, zero points, a reordering) are
    /// refused by name.
    package func linear(_ base: String, rows: Int, columns: Int) throws(KimiError) -> LinearWeights {
        let plain = part(base, ".weight")
        let packed = part(base, ".weight_packed")
        for suffix in Self.foreignParts {
            if let other = part(base, suffix) {
                throw fault(
                    "\(base)\(suffix)", other, "is not supported; \(base) may have .weight, or .weight_packed, .weight_scale and .weight_shape",
                    .unsupported)
            }
        }
        switch (plain, packed) {
        case (nil, nil):
            throw missing(base + ".weight", "tensor missing: neither \(base).weight nor \(base).weight_packed is in the checkpoint")
        case (.some, .some(let packed)):
            throw fault(base + ".weight_packed", packed, "the weights are there twice, packed and as \(base).weight")
        case (.some(let tensor), nil):
            return .plain(try check(tensor, base + ".weight", [rows, columns], types: Self.plainTypes))
        case (nil, .some):
            let (packed, scales) = try int4(base, rows: rows, columns: columns)
            return .int4(packed: packed, scales: scales)
        }
    }

    /// The packed weights and the scales of `base`; `weight_shape` must hold [rows, columns].
    package func int4(
        _ base: String, rows: Int, columns: Int
    ) throws(KimiError) -> (packed: TensorInfo, scales: TensorInfo) {
        let name = base + ".weight_packed"
        guard let packed = tensor(name) else { throw missing(name) }
        guard config.quantization == .int4 else {
            throw fault(name, packed, "packed weights, but config.json has no quantization_config that says how")
        }
        guard columns % 32 == 0 else {
            throw fault(name, packed, "rows of \(columns) values are no whole groups of 32", .unsupported)
        }
        _ = try check(packed, name, [rows, columns / 8], types: [.int32])
        let scales = try checked(base + ".weight_scale", [rows, columns / 32], types: [.bf16])
        let shape = try checked(base + ".weight_shape", [2], types: [.int32, .int64])
        let written = try integers(shape, base + ".weight_shape")
        guard written == [rows, columns] else {
            throw fault(
                base + ".weight_shape", shape, "holds \(written) where [\(rows), \(columns)] must be")
        }
        return (packed, scales)
    }

    private static let foreignParts: [StaticString] = [
        ".bias", ".weight_zero_point", ".weight_g_idx", ".weight_scale_inv", ".qweight", ".weight_global_scale",
    ]

    // MARK: One tensor

    private func checked(_ name: String, _ shape: [Int], types: [ElementType]) throws(KimiError) -> TensorInfo {
        guard let found = tensor(name) else { throw missing(name) }
        return try check(found, name, shape, types: types)
    }

    private func check(
        _ tensor: TensorInfo, _ name: String, _ shape: [Int], types: [ElementType]
    ) throws(KimiError) -> TensorInfo {
        guard types.contains(tensor.dtype) else {
            let wanted = types.map(\.spelling).joined(separator: ", ")
            throw fault(name, tensor, "is \(tensor.dtype.spelling) where \(wanted) is supported", .unsupported)
        }
        guard Shape(shape) == tensor.shape else {
            throw fault(name, tensor, "wrong shape: \(tensor.shape) where config.json asks for \(shape)")
        }
        return tensor
    }

    /// `base` + `suffix` without making a string on the heap: six of these look-ups for each of 69,120 expert matrices.
    private func part(_ base: String, _ suffix: StaticString) -> TensorInfo? {
        var base = base
        return base.withUTF8 { base in
            withUnsafeTemporaryAllocation(byteCount: base.count + suffix.utf8CodeUnitCount, alignment: 1) { name in
                name.copyBytes(from: base)
                suffix.withUTF8Buffer { UnsafeMutableRawBufferPointer(rebasing: name[base.count...]).copyBytes(from: $0) }
                return table.info(UnsafeRawBufferPointer(name))
            }
        }
    }

    /// The few values of an integer tensor, read from the file.
    private func integers(_ tensor: TensorInfo, _ name: String) throws(KimiError) -> [Int] {
        var words: (Int64, Int64) = (0, 0)
        let outcome = withUnsafeMutableBytes(of: &words) { buffer in
            Result { () throws(KimiError) in
                let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(tensor.byteCount))
                try read(tensor, into: bytes)
                if tensor.dtype == .int64 {
                    return (0..<2).map { Int(Int64(littleEndian: bytes.load(fromByteOffset: $0 * 8, as: Int64.self))) }
                }
                return (0..<2).map { Int(Int32(littleEndian: bytes.load(fromByteOffset: $0 * 4, as: Int32.self))) }
            }
        }
        return try outcome.get()
    }

    private func missing(_ name: String, _ message: String = "tensor missing") -> KimiError {
        KimiError(.format, message, file: folder, subject: name)
    }

    private func fault(
        _ name: String, _ tensor: TensorInfo, _ message: String, _ status: Status = .format
    ) -> KimiError {
        KimiError(status, message, file: shardPath(tensor.shard), subject: name)
    }
}
