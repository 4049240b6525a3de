import CKimiKernels
import KimiCheckpoint
import KimiCore

/// Bytes of a tensor, and what becomes of them in memory.
package struct Filling {
    package enum Target {
        /// The bytes as they are.
        case copy(to: UnsafeMutableRawPointer)
        /// Rows of CK_INT8, from row `first` of the matrix on, of rows of the CK_ type.
        case int8(ck_matrix, first: Int, type: Int32)
    }

    package let tensor: TensorInfo
    /// Where in the tensor the bytes begin, and how many they are: whole rows for `.int8`.
    package let begin: Int
    package let count: Int
    /// The group of workers that fills this memory: that of the node where it is, or of the nearest.
    package let group: Int
    package let target: Target

    package init(tensor: TensorInfo, begin: Int, count: Int, group: Int, target: Target) {
        (self.tensor, self.begin, self.count, self.group, self.target) = (tensor, begin, count, group, target)
    }

    /// Bytes of a stored row where rows are converted.
    var convertedRowBytes: Int? {
        guard case .int8(let matrix, _, _) = target else { return nil }
        return tensor.byteCount / max(matrix.rows, 1)
    }

    /// Whether both want the same bytes as they are.
    func isReplica(of other: Filling) -> Bool {
        guard case .copy = target, case .copy = other.target else { return false }
        return tensor.shard == other.tensor.shard && tensor.offset == other.tensor.offset
            && begin == other.begin && count == other.count
    }
}

/// What is read at once: bytes that one filling wants, or several that are replicas of each other.
package struct CopyPiece {
    /// Indices in `CopyPieces.fillings`.
    package let fillings: Range<Int>
    /// Counted from where the fillings begin.
    package let begin: Int
    package let count: Int
}

/// Cuts fillings into pieces, in the order of the files.
///
/// A piece ends where its memory comes to the next huge page, so that each huge page is touched first by one worker: two at once
/// would both clear it, and one of them for nothing.
package struct CopyPieces {
    /// In the order of the files, replicas one behind the other.
    package let fillings: [Filling]
    private var current = 0..<0
    private var done = 0

    /// The most bytes of a piece, if a row that is converted is no longer: a huge page.
    package static let most = 2 << 20
    /// The most bytes of a worker's buffer, if a row is no longer: what a core's cache holds beside what is made of it.
    private static let bufferBytes = 1 << 18

    package init(_ fillings: [Filling]) {
        self.fillings = fillings.filter { $0.count > 0 }.sorted {
            ($0.tensor.shard, $0.tensor.offset + $0.begin, $0.count) < ($1.tensor.shard, $1.tensor.offset + $1.begin, $1.count)
        }
        current = group(from: 0)
    }

    /// Bytes of all pieces, replicas counted each.
    package var byteCount: Int { fillings.reduce(0) { $0 + $1.count } }
    /// The most bytes of a piece.
    var largest: Int { fillings.reduce(Self.most) { max($0, $1.convertedRowBytes ?? 0) } }
    /// What a worker needs to convert some rows of any filling; 0 if none is converted.
    var workerBytes: Int { fillings.reduce(0) { max($0, $1.convertedRowBytes.map { Self.bufferRows($0) * $0 } ?? 0) } }
    /// Rows that are converted at once.
    static func bufferRows(_ rowBytes: Int) -> Int { max(1, bufferBytes / max(rowBytes, 1)) }

    private func group(from first: Int) -> Range<Int> {
        guard first < fillings.count else { return first..<first }
        var end = first + 1
        while end < fillings.count, fillings[end].isReplica(of: fillings[first]) { end += 1 }
        return first..<end
    }

    /// The next piece; nil after the last.
    package mutating func next() -> CopyPiece? {
        guard !current.isEmpty else { return nil }
        let filling = fillings[current.lowerBound]
        let rest = filling.count - done
        let count = switch filling.target {
        case .copy(let base): min(rest, Self.most - Int(bitPattern: base + done) & (Self.most - 1))
        case .int8: min(rest, max(1, Self.most / max(filling.convertedRowBytes ?? 1, 1)) * (filling.convertedRowBytes ?? rest))
        }
        let piece = CopyPiece(fillings: current, begin: done, count: count)
        done += count
        if done == filling.count { (current, done) = (group(from: current.upperBound), 0) }
        return piece
    }
}
