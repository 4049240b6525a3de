/// How many patches a picture or a chunk of a clip has: frame by frame, row by row.
package struct PatchGrid: Sendable, Hashable {
    /// 1 for a picture.
    package var frames: Int
    package var rows: Int
    package var columns: Int

    package init(frames: Int, rows: Int, columns: Int) {
        (self.frames, self.rows, self.columns) = (frames, rows, columns)
    }

    /// All patches. For grids that a tower has accepted, since others may be beyond `Int`.
    package var count: Int { frames * rows * columns }
}

/// The patches of one picture or of one chunk of a clip, ready for a tower.
package protocol PatchSource: Sendable {
    var grid: PatchGrid { get }

    /// Writes some patches, by their numbers in the grid, one after another: of each the red, the green and the blue square, rows
    /// from the top, normalised. Called by several threads at once, for parts that do not overlap.
    func fill(_ patches: Range<Int>, into floats: UnsafeMutablePointer<Float>)
}
