import Glibc
import KimiCheckpoint
import KimiCore

extension MediaConfig {
    /// The most bytes of a configuration file.
    private static let fileLimit = 1 << 20

    /// Reads `preprocessor_config.json` of a checkpoint folder, and `video_preprocessor_config.json` where there is one.
    ///
    /// - Throws: `format` and `unsupported` with the field and what would be right; `io`. Absent files and fields are no fault.
    package init(folder: String) throws(KimiError) {
        self.init()
        if let fields = try Self.fields(folder, "preprocessor_config.json") { try take(fields) }
        if let fields = try Self.fields(folder, "video_preprocessor_config.json") { try takeVideo(fields) }
    }

    private static func fields(_ folder: String, _ name: String) throws(KimiError) -> ConfigFields? {
        let path = folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
        guard !path.utf8.contains(0), access(path, F_OK) == 0 else { return nil }
        return try ConfigFields.parse(try OpenFile(path).contents(limit: fileLimit), file: path)
    }

    private static let patches = 1...(1 << 24)

    private mutating func take(_ file: ConfigFields) throws(KimiError) {
        // The published form has all in one member; the newer one of transformers has its fields at the top.
        guard let fields = try file.section("media_proc_cfg") else { return try takeNewForm(file) }
        try takeCommon(fields, merge: "merge_kernel_size")
        if let limit = try fields.optionalInteger("in_patch_limit", in: Self.patches) { patchLimit = limit }
        if let limit = try fields.optionalInteger("patch_limit_on_one_side", in: 1...65536) { sideLimit = limit }
        if let tokens = fields["fixed_output_tokens"] {
            throw fields.fault("fixed_output_tokens", "\(ConfigFields.words(tokens)) is not supported; null is", .unsupported)
        }
        // Where the member is there, null means no limit of its own; where it is not, what was published holds.
        if fields.keys.contains("in_patch_limit_each_frame") {
            frameLimit = try fields.optionalInteger("in_patch_limit_each_frame", in: Self.patches)
        }
        chunkLimit = try fields.optionalInteger("in_patch_limit_video", in: Self.patches)
        frameCountLimit = try fields.optionalInteger("max_num_frames_each_video", in: 1...(1 << 24))
        try takeSampling(fields, chunk: "temporal_merge_kernel_size")
        if let text = try fields.optionalText("timestamp_mode") {
            guard let form = TimestampForm(rawValue: text) else {
                let known = TimestampForm.allCases.map { JSONWriter.quoted($0.rawValue) }.joined(separator: ", ")
                throw fields.fault(
                    "timestamp_mode", "\(JSONWriter.quoted(String(text.prefix(60)))) is not supported; \(known) are", .unsupported)
            }
            timestampForm = form
        }
    }

    private mutating func takeNewForm(_ fields: ConfigFields) throws(KimiError) {
        try takeCommon(fields, merge: fields["merge_size"] != nil ? "merge_size" : "merge_kernel_size")
        if let limit = try fields.optionalInteger("max_patches", in: Self.patches) { patchLimit = limit }
        if let limit = try Self.side(fields) { sideLimit = limit }
    }

    private mutating func takeVideo(_ fields: ConfigFields) throws(KimiError) {
        if let limit = try fields.optionalInteger("max_patches", in: Self.patches) { frameLimit = limit }
        try takeSampling(fields, chunk: "temporal_patch_size")
        frameCountLimit = try fields.optionalInteger("max_frames", in: 1...(1 << 24)) ?? frameCountLimit
    }

    /// The sides of the newer form, in patches, which must be one number: no other is published.
    private static func side(_ fields: ConfigFields) throws(KimiError) -> Int? {
        guard let size = try fields.section("size") else { return nil }
        let height = try size.optionalInteger("max_height", in: 1...65536)
        let width = try size.optionalInteger("max_width", in: 1...65536)
        if let height, let width, height != width {
            throw size.fault(
                "max_width", "\(width) beside a max_height of \(height) is not supported; equal numbers are", .unsupported)
        }
        return height ?? width
    }

    private mutating func takeCommon(_ fields: ConfigFields, merge: String) throws(KimiError) {
        if let size = try fields.optionalInteger("patch_size", in: 1...256) { patchSize = size }
        if let size = try Self.square(fields, merge) { mergeSize = size }
        if let values = try Self.channels(fields, "image_mean", in: -1000...1000) { mean = values }
        if let values = try Self.channels(fields, "image_std", in: 1e-6...1e6) { deviation = values }
    }

    private mutating func takeSampling(_ fields: ConfigFields, chunk: String) throws(KimiError) {
        if let rate = try fields.optionalNumber("sample_fps", in: 1e-3...1000) { sampleRate = rate }
        if let frames = try fields.optionalInteger(chunk, in: 1...64) { framesPerChunk = frames }
    }

    /// A side, as a number or a list of two that are equal.
    private static func square(_ fields: ConfigFields, _ key: String) throws(KimiError) -> Int? {
        guard let sides = fields[key]?.arrayValue else { return try fields.optionalInteger(key, in: 1...16) }
        guard sides.count == 2, let side = sides[0].intValue, sides[1].intValue == side, (1...16).contains(side) else {
            throw fields.fault(key, "a list that is not two equal numbers from 1 to 16; such a list, or one number, must be here")
        }
        return side
    }

    private static func channels(_ fields: ConfigFields, _ key: String, in range: ClosedRange<Double>) throws(KimiError)
        -> [Double]?
    {
        guard let value = fields[key] else { return nil }
        let numbers = (value.arrayValue ?? []).compactMap(\.doubleValue)
        guard numbers.count == 3, value.arrayValue?.count == 3, numbers.allSatisfy(range.contains) else {
            throw fields.fault(
                key,
                "\(ConfigFields.words(value)); a list of three numbers from \(range.lowerBound) to \(range.upperBound) must be here"
            )
        }
        return numbers
    }
}
