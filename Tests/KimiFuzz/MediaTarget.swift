import Foundation
import KimiCore
import KimiTestSupport
import KimiVision

/// Fuzzes pictures, clips and data: URLs, each through all that is done to them before the tower sees them. What decodes must be
/// within the limits, and resize to what was planned.
final class MediaTarget: FuzzTarget {
    enum Part: String, CaseIterable { case picture, clip, dataurl }

    private struct Fixture: Decodable { let file: Data }

    private let part: Part
    private let seeds: [[UInt8]]
    private let config: MediaConfig
    private var limits = MediaLimits()

    init(_ part: Part) throws {
        self.part = part
        let all = try Fixtures.decode([String: Fixture].self, "vision/pictures.json").sorted { $0.key < $1.key }
        switch part {
        case .picture: seeds = all.map { [UInt8]($0.value.file) }
        case .clip:
            let names = [
                "vp9.webm", "vp8.webm", "open.mkv", "one.mp4", "turned90.mov", "uneven.mkv", "lossless.mkv", "sound.mp4",
                "bars601.mkv",
            ]
            seeds =
                try names.map { try Fixtures.bytes("vision/clips/\($0)") }
                + all.filter { $0.key.hasPrefix("gif") }.map { [UInt8]($0.value.file) }
        case .dataurl:
            seeds = [
                "data:image/png;base64,aGVsbG8gd29ybGQ=", "data:,a%20b%2Cc", "data:text/plain;charset=utf-8;base64,Pz8_Pj4-",
                "file:///tmp/a%20b",
                "https://example.com/a.png", "data:;base64," + Data(all[0].value.file).base64EncodedString(),
            ].map { Array($0.utf8) }
        }
        // Small pictures, and small plans for them, so that resizing has work to do.
        limits.pixels = 1 << 20
        limits.framePixels = 1 << 18
        limits.videoFrames = 2000
        limits.keptFrames = 12
        var config = MediaConfig()
        config.patchLimit = 6
        config.frameLimit = 5
        self.config = config
    }

    func run(_ number: Int, _ mutator: inout Mutator, _ outcome: inout Outcome) throws {
        var bytes = mutator.mutate(seeds[number % seeds.count])
        if mutator.below(2) == 0 { Self.repairPNG(&bytes) }
        do {
            switch part {
            case .picture: try runPicture(bytes, &outcome)
            case .clip: try runClip(bytes, &outcome)
            case .dataurl: try runURL(bytes, &outcome)
            }
            outcome.accepted += 1
        } catch {
            outcome.refuse(error, needsFile: false)
        }
    }

    private func runPicture(_ bytes: [UInt8], _ outcome: inout Outcome) throws {
        let picture = try bytes.withUnsafeBytes { try Picture.decode($0, limits: limits) }
        if picture.width * picture.height > limits.pixels { outcome.wrong.append("\(picture.width) x \(picture.height) pixels") }
        let patches = try Patches(picture, config: config)
        if patches.all().contains(where: { !(-1...1).contains($0) }) { outcome.wrong.append("a patch beyond its range") }
        _ = try picture.digest()
    }

    private func runClip(_ bytes: [UInt8], _ outcome: inout Outcome) throws {
        let media = try bytes.withUnsafeBytes { try MediaBytes($0) }
        let clip = try Clip.decode(.bytes(media), config: config, limits: limits)
        if clip.chunks.isEmpty || clip.frameCount > limits.keptFrames { outcome.wrong.append("\(clip.frameCount) frames") }
        for chunk in clip.chunks where Patches(chunk, config: config).all().contains(where: { !(-1...1).contains($0) }) {
            outcome.wrong.append("a patch beyond its range")
        }
    }

    private func runURL(_ bytes: [UInt8], _ outcome: inout Outcome) throws {
        var policy = MediaPolicy()
        policy.allowsFiles = bytes.count % 2 == 0
        switch try MediaSource(url: String(decoding: bytes, as: UTF8.self), policy: policy, limit: 1000, subject: "url") {
        case .bytes(let content): if content.count > 1000 { outcome.wrong.append("\(content.count) bytes") }
        case .file(let path):
            if !policy.allowsFiles || !path.hasPrefix("/") { outcome.wrong.append("the path \(path.prefix(100))") }
        }
    }

    /// Puts right the checksums of a PNG's chunks, without which the decoder looks no further.
    private static func repairPNG(_ bytes: inout [UInt8]) {
        guard bytes.count > 8, bytes[1] == 0x50, bytes[2] == 0x4E else { return }
        var place = 8
        while place + 12 <= bytes.count {
            let length = bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= bytes.count - place - 12 else { return }
            let end = place + 8 + length
            var crc: UInt32 = 0xFFFF_FFFF
            for byte in bytes[place + 4..<end] {
                crc ^= UInt32(byte)
                for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
            }
            for shift in 0..<4 { bytes[end + shift] = UInt8(truncatingIfNeeded: ~crc >> UInt32(24 - 8 * shift)) }
            place = end + 4
        }
    }
}
