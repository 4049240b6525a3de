import CKimiKernels
import Glibc
import KimiCheckpoint

/// Where patches are: what is added to the stream for it, and how heads are turned.
///
/// The learned grid is resampled to a picture's own by cubic convolution (a = -0.75, corners not aligned, edges repeated); frames
/// of a chunk get sines and cosines of their number on top. In every block pairs of a head turn by the patch's column and row in
/// turns.
struct PositionGrid {
    let config: VisionConfig
    /// The learned grid, [rows * columns, hidden].
    let learned: ck_matrix
    /// Sines and cosines, [frames, hidden].
    let frames: [Float]
    /// What the pairs of a head turn by for each step across, and the next ones for each step down: [head size / 4]
    let frequencies: [Float]

    init(_ config: VisionConfig, learned: ck_matrix) {
        self.config = config
        self.learned = learned
        let (hidden, quarter) = (config.hiddenSize, config.headSize / 4)
        let half = hidden / 2
        frames = (0..<config.positionFrames).flatMap { frame in
            let angles = (0..<half).map { Double(frame) * pow(10_000, -Double($0) / (Double(hidden) / 2)) }
            return angles.map { Float(sin($0)) } + angles.map { Float(cos($0)) }
        }
        frequencies = (0..<quarter).map { Float(pow(VisionConfig.ropeBase, -Double(4 * $0) / Double(config.headSize))) }
    }

    // MARK: Added to the stream

    /// Where one of `count` places falls among `size`: four places and how much each counts. Places beyond an edge are that edge.
    static func taps(_ place: Int, of count: Int, among size: Int) -> (places: SIMD4<Int>, weights: SIMD4<Float>) {
        guard count != size else { return (SIMD4(repeating: place), SIMD4(1, 0, 0, 0)) }
        let at = (Double(place) + 0.5) * Double(size) / Double(count) - 0.5
        let first = at.rounded(.down)
        let fraction = at - first
        var places = SIMD4<Int>()
        var weights = SIMD4<Float>()
        for tap in 0..<4 {
            places[tap] = min(max(Int(first) + tap - 1, 0), size - 1)
            weights[tap] = Float(cubic(abs(fraction - Double(tap - 1))))
        }
        return (places, weights)
    }

    private static func cubic(_ d: Double) -> Double {
        let a = -0.75
        if d <= 1 { return ((a + 2) * d - (a + 3)) * d * d + 1 }
        return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0
    }

    /// Adds a patch's position to its row of the stream.
    ///
    /// - Parameters:
    ///   - patch: its number in the grid.
    ///   - point, line: room for a row each.
    func add(
        to stream: UnsafeMutablePointer<Float>, patch: Int, of grid: PatchGrid, point: UnsafeMutablePointer<Float>,
        line: UnsafeMutablePointer<Float>, _ kernels: UnsafePointer<ck_kernels>
    ) {
        let hidden = config.hiddenSize
        let (frame, place) = patch.quotientAndRemainder(dividingBy: grid.rows * grid.columns)
        let down = Self.taps(place / grid.columns, of: grid.rows, among: config.positionRows)
        let across = Self.taps(place % grid.columns, of: grid.columns, among: config.positionColumns)
        var learned = learned
        for tap in 0..<4 where down.weights[tap] != 0 {
            line.update(repeating: 0, count: hidden)
            for other in 0..<4 where across.weights[other] != 0 {
                kernels.pointee.widen_row(point, &learned, down.places[tap] * config.positionColumns + across.places[other])
                kernels.pointee.add_scaled(line, across.weights[other], point, hidden)
            }
            kernels.pointee.add_scaled(stream, down.weights[tap], line, hidden)
        }
        guard grid.frames > 1 else { return }
        frames.withUnsafeBufferPointer { frames in
            // Safe because grids have at most as many frames as the table.
            guard let base = frames.baseAddress else { return }
            kernels.pointee.add_scaled(stream, 1, base + frame * hidden, hidden)
        }
    }

    // MARK: Turned in every block

    /// Writes the cosines and then the sines of the angles of `count` rows or columns: [count, head size / 2].
    ///
    /// The angle is the place times the frequency in f32, as the reference has it.
    func fillTurns(_ table: UnsafeMutablePointer<Float>, count: Int) {
        let quarter = frequencies.count
        for place in 0..<count {
            let turns = table + place * 2 * quarter
            for (index, frequency) in frequencies.enumerated() {
                let angle = Double(Float(place) * frequency)
                turns[index] = Float(cos(angle))
                turns[quarter + index] = Float(sin(angle))
            }
        }
    }

    /// The angles of a patch as `rope` reads them, from a table that `fillTurns` made.
    func angles(_ patch: Int, of grid: PatchGrid, turns: UnsafePointer<Float>, into angles: UnsafeMutablePointer<Float>) {
        let quarter = config.headSize / 4
        let place = patch % (grid.rows * grid.columns)
        let across = turns + place % grid.columns * 2 * quarter
        let down = turns + place / grid.columns * 2 * quarter
        for index in 0..<quarter {
            angles[2 * index] = across[index]
            angles[2 * index + 1] = down[index]
            angles[2 * quarter + 2 * index] = across[quarter + index]
            angles[2 * quarter + 2 * index + 1] = down[quarter + index]
        }
    }
}
