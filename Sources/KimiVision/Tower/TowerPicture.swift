import CKimiKernels
import KimiCheckpoint
import KimiCore
import KimiModel

/// What a tower has to do at once: one picture or chunk, or several that share products.
///
/// Each begins at a row that is a multiple of `TowerBatch.unit`; rows between one's last patch and the next one's first are
/// computed like the others and go nowhere.
struct TowerPicture {
    let source: any PatchSource
    let grid: PatchGrid
    let features: MediaFeatures
    /// The first row, and how many there are with those that go nowhere.
    let firstRow: Int
    let paddedRows: Int
    /// The first of its attention's items, and of its tokens.
    let firstItem: Int
    let firstToken: Int

    /// Patches, each a row.
    var rows: Int { grid.count }
}

struct TowerBatch {
    private(set) var pictures: [TowerPicture] = []
    private(set) var rows = 0
    private(set) var items = 0
    private(set) var tokens = 0

    /// Rows that are prepared for attention together: whole sixteens of queries, and two blocks of tiles.
    static let unit = 2 * Int(CK_PACKED_ROWS)
    /// Rows of a batch, unless one picture alone has more.
    static let mostRows = 16_384

    /// Rows with those that go nowhere.
    static func padded(_ rows: Int) -> Int { (rows + unit - 1) / unit * unit }

    /// Adds a picture if there is room for it.
    ///
    /// - Parameters:
    ///   - grid: one that `check` has accepted.
    ///   - features: makes room for what the tower will make of it.
    mutating func add(
        _ source: any PatchSource, _ grid: PatchGrid, _ config: VisionConfig,
        features: (_ tokens: Int) throws(KimiError) -> MediaFeatures
    ) throws(KimiError) -> Bool {
        let padded = Self.padded(grid.count)
        guard pictures.isEmpty || padded <= Self.mostRows - rows else { return false }
        let made = Self.tokens(grid, config)
        pictures.append(TowerPicture(
            source: source, grid: grid, features: try features(made), firstRow: rows, paddedRows: padded, firstItem: items,
            firstToken: tokens))
        rows += padded
        items += config.headCount * TowerAttention.bands(rows: grid.count)
        tokens += made
        return true
    }

    /// Tokens of a picture or chunk: the frames of a chunk share theirs.
    static func tokens(_ grid: PatchGrid, _ config: VisionConfig) -> Int {
        (grid.rows / config.mergeRows) * (grid.columns / config.mergeColumns)
    }

    /// - Throws: `invalidArgument` for a grid that the tower cannot take, so that no later product of its numbers leaves `Int`.
    static func check(_ grid: PatchGrid, _ config: VisionConfig) throws(KimiError) {
        func fault(_ message: String) -> KimiError { KimiError(.invalidArgument, message, subject: "grid") }
        guard grid.rows > 0, grid.columns > 0, grid.rows % config.mergeRows == 0, grid.columns % config.mergeColumns == 0 else {
            throw fault(
                "\(grid.rows) x \(grid.columns) patches; both must be multiples of "
                    + "\(config.mergeRows) x \(config.mergeColumns), and not 0")
        }
        guard (1...config.positionFrames).contains(grid.frames) else {
            throw fault("\(grid.frames) frames; a chunk has 1 to \(config.positionFrames)")
        }
        guard let patches = Checked.product(grid.frames, grid.rows, grid.columns), patches <= mostPatches else {
            throw fault("\(grid.frames) x \(grid.rows) x \(grid.columns) patches; at most \(mostPatches) are attended at once")
        }
    }

    /// Beyond any limit of preprocessing; attention to more would take hours.
    static let mostPatches = 1 << 20

    /// The picture that a row, an item or a token belongs to.
    func picture(of number: Int, by first: KeyPath<TowerPicture, Int>) -> Int {
        var (low, high) = (0, pictures.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if pictures[middle][keyPath: first] <= number { low = middle } else { high = middle }
        }
        return low
    }
}
