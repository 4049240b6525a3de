import KimiCore

/// The extents of a tensor, up to five of them, stored in place: a table of 208,550 tensors must not hold 208,550 arrays.
package struct Shape: Sendable, Equatable {
    /// The most axes a tensor may have.
    package static let maxCount = 5

    private var extents: (Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0)
    /// The number of axes; 0 for a single value.
    package private(set) var count = 0

    package init() {}

    /// Nil if there are more than `maxCount` extents.
    package init?(_ extents: [Int]) {
        for extent in extents {
            guard append(extent) else { return nil }
        }
    }

    /// False, and nothing changed, if the shape is full.
    mutating func append(_ extent: Int) -> Bool {
        switch count {
        case 0: extents.0 = extent
        case 1: extents.1 = extent
        case 2: extents.2 = extent
        case 3: extents.3 = extent
        case 4: extents.4 = extent
        default: return false
        }
        count += 1
        return true
    }

    /// The extent along an axis; 1 for an axis the tensor does not have.
    package subscript(axis: Int) -> Int {
        guard axis >= 0, axis < count else { return 1 }
        switch axis {
        case 0: return extents.0
        case 1: return extents.1
        case 2: return extents.2
        case 3: return extents.3
        default: return extents.4
        }
    }

    /// The number of elements, or nil where the product leaves `Int`.
    package var elementCount: Int? {
        Checked.product(of: (0..<count).lazy.map { self[$0] })
    }

    package static func == (a: Shape, b: Shape) -> Bool { a.extents == b.extents && a.count == b.count }
}

extension Shape: CustomStringConvertible {
    /// As in the file: `[384, 7168]`.
    package var description: String { "[" + (0..<count).map { String(self[$0]) }.joined(separator: ", ") + "]" }
}

/// One tensor of a checkpoint: what it is and where its bytes lie. Made by the header reader only, which has checked that
/// the bytes are inside the file and that their number is what type and shape ask for.
package struct TensorInfo: Sendable, Equatable {
    package let dtype: ElementType
    package let shape: Shape
    /// Which shard; see `Checkpoint.shardPath(_:)`.
    package let shard: Int32
    /// Where the data begins, from the start of the file.
    package let offset: Int
    package let byteCount: Int

    /// Whether the elements can be read where they are. Files written by the usual tools are; the format does not promise it.
    package var isAligned: Bool { offset % dtype.alignment == 0 }
}
