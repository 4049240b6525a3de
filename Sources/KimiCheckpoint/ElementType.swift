/// What a tensor's elements are: every type the safetensors format knows, so that an unsupported one is refused by its name
/// and not as "unknown".
///
/// The raw values go into the checkpoint's digest: they are never renumbered.
package enum ElementType: UInt8, Sendable, CaseIterable {
    case bool = 0
    case uint8 = 1, int8 = 2, uint16 = 3, int16 = 4, uint32 = 5, int32 = 6, uint64 = 7, int64 = 8
    case f16 = 9, bf16 = 10, f32 = 11, f64 = 12
    case f8e4m3 = 13, f8e5m2 = 14, f8e8m0 = 15, f8e4m3fnuz = 16, f8e5m2fnuz = 17
    case f6e2m3 = 18, f6e3m2 = 19, f4 = 20
    case c64 = 21

    /// How safetensors spells the type.
    package var spelling: String {
        switch self {
        case .bool: "BOOL"
        case .uint8: "U8"
        case .int8: "I8"
        case .uint16: "U16"
        case .int16: "I16"
        case .uint32: "U32"
        case .int32: "I32"
        case .uint64: "U64"
        case .int64: "I64"
        case .f16: "F16"
        case .bf16: "BF16"
        case .f32: "F32"
        case .f64: "F64"
        case .f8e4m3: "F8_E4M3"
        case .f8e5m2: "F8_E5M2"
        case .f8e8m0: "F8_E8M0"
        case .f8e4m3fnuz: "F8_E4M3FNUZ"
        case .f8e5m2fnuz: "F8_E5M2FNUZ"
        case .f6e2m3: "F6_E2M3"
        case .f6e3m2: "F6_E3M2"
        case .f4: "F4"
        case .c64: "C64"
        }
    }

    /// Bits per element; 4 and 6 exist.
    package var bits: Int {
        switch self {
        case .f4: 4
        case .f6e2m3, .f6e3m2: 6
        case .bool, .uint8, .int8, .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
        case .uint16, .int16, .f16, .bf16: 16
        case .uint32, .int32, .f32: 32
        case .uint64, .int64, .f64, .c64: 64
        }
    }

    /// The address must be a multiple of this many bytes for the elements to be read in place.
    package var alignment: Int {
        switch self {
        case .c64: 4
        default: max(1, bits / 8)
        }
    }

    /// Floating point with fewer than 16 bits: weights this library does not compute with.
    package var isNarrowFloat: Bool {
        switch self {
        case .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz, .f6e2m3, .f6e3m2, .f4: true
        default: false
        }
    }

    private static let spellings: [(bytes: [UInt8], type: ElementType)] = allCases.map { (Array($0.spelling.utf8), $0) }

    /// The type with this spelling, or nil.
    package init?(spelling: UnsafeRawBufferPointer) {
        for (bytes, type) in Self.spellings where bytes.count == spelling.count && spelling.elementsEqual(bytes) {
            self = type
            return
        }
        return nil
    }
}
