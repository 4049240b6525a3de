import CKimiMedia
import KimiCheckpoint
import KimiCore

/// Clips from files: MP4, MOV, WebM, MKV and some more by FFmpeg's libraries where they are installed, GIF without them.
extension Clip {
    /// Decodes the frames that the model gets. A file of any length is read piece by piece, and of its frames only those are
    /// kept, in the size in which the tower takes them.
    ///
    /// - Parameters:
    ///   - subject: the option or field that it came by.
    ///   - isCancelled: asked now and then on the calling thread.
    /// - Throws: `unsupported` where FFmpeg's libraries are missing, with the names of their packages, or have no decoder;
    ///   `format` for what is damaged or has no pictures; `invalidArgument` beyond the limits; `io`; `outOfMemory`; `cancelled`.
    package static func decode(
        _ source: MediaSource, config: MediaConfig, limits: MediaLimits = MediaLimits(), subject: String = "video",
        isCancelled: () -> Bool = { false }
    ) throws(KimiError) -> Clip {
        switch source {
        case .bytes(let bytes):
            guard bytes.count <= limits.videoBytes else { throw tooLarge(bytes.count, limits, nil, subject) }
            if isGIF(bytes.buffer) { return try gif(bytes, nil, config, limits, subject, isCancelled) }
            return try withoutActuallyEscaping(isCancelled) { isCancelled throws(KimiError) in
                try VideoCall(nil, config, limits, subject, isCancelled).run(bytes.buffer, descriptor: -1, count: bytes.count)
            }
        case .file(let path):
            let file = try OpenFile(path)
            guard file.size <= limits.videoBytes else { throw tooLarge(file.size, limits, path, subject) }
            var head = [UInt8](repeating: 0, count: min(6, file.size))
            let outcome = head.withUnsafeMutableBytes { head in
                Result { () throws(KimiError) in try file.read(into: head, at: 0, subject: subject) }
            }
            try outcome.get()
            if head.withUnsafeBytes(isGIF) {
                let bytes = try MediaBytes.read(path: path, limit: limits.encodedBytes, subject: subject)
                return try gif(bytes, path, config, limits, subject, isCancelled)
            }
            return try withoutActuallyEscaping(isCancelled) { isCancelled throws(KimiError) in
                try VideoCall(path, config, limits, subject, isCancelled).run(nil, descriptor: file.descriptor, count: file.size)
            }
        }
    }

    /// - Throws: `unsupported` where FFmpeg's libraries are missing, with the names of their packages.
    package static func requireVideoLibraries(subject: String = "video") throws(KimiError) {
        var fault = DecodingFault(file: nil, subject: subject)
        let code = ckm_video_libraries(&fault.fault)
        guard code == Int32(CKM_OK) else { throw fault.error(code, wanted: "") }
    }

    fileprivate static let wanted = "a whole MP4, MOV, WebM, MKV or GIF with pictures in it"

    private static func tooLarge(_ count: Int, _ limits: MediaLimits, _ file: String?, _ subject: String) -> KimiError {
        KimiError(.invalidArgument, "\(count) bytes; at most \(limits.videoBytes) are decoded", file: file, subject: subject)
    }

    private static func isGIF(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else { return false }
        return ckm_picture_kind(base, bytes.count) == Int32(CKM_GIF)
    }

    private static func gif(
        _ bytes: MediaBytes, _ file: String?, _ config: MediaConfig, _ limits: MediaLimits, _ subject: String,
        _ isCancelled: () -> Bool
    ) throws(KimiError) -> Clip {
        var fault = DecodingFault(file: file, subject: subject)
        var (gif, size, allowed) = (OpaquePointer?.none, ckm_size(), ckm_limits(frames: limits))
        let base = bytes.buffer.bindMemory(to: UInt8.self).baseAddress
        let opened = ckm_gif_open(base, bytes.count, &allowed, min(limits.videoFrames, 1 << 17), &gif, &size, &fault.fault)
        guard opened == Int32(CKM_OK), let gif else { throw fault.error(opened, wanted: wanted) }
        defer { ckm_gif_close(gif) }
        let (width, height, count) = (Int(size.width), Int(size.height), ckm_gif_frame_count(gif))
        let ends = UnsafeBufferPointer(start: ckm_gif_times(gif), count: count + 1)
        let times = ends.dropLast().map { Double($0) / 100 }
        let rate = Double(count) / (Double(ends[count]) / 100)
        let sampling = times.withUnsafeBufferPointer {
            config.sampling(times: $0, count: count, rate: rate, width: width, height: height, limits: limits)
        }
        var assembly = ClipAssembly(sampling, width: width, height: height, config: config)
        var number = 0
        while let next = assembly.next {
            guard !isCancelled() else { throw fault.error(Int32(CKM_CANCELLED), wanted: wanted) }
            let code = ckm_gif_next(gif, &fault.fault)
            guard code == Int32(CKM_OK) else { throw fault.error(code, wanted: wanted) }
            if number == next {
                let picture = try Picture(width: width, height: height)
                ckm_orient(picture.pixels, ckm_gif_pixels(gif), width, height, 3 * width, 1)
                try assembly.add(picture, number: number)
            }
            number += 1
        }
        return assembly.finish()
    }
}

/// One decoding of a video by FFmpeg's libraries, and what their callbacks need at hand.
private final class VideoCall {
    private let config: MediaConfig
    private let limits: MediaLimits
    private let isCancelled: () -> Bool
    private var fault: DecodingFault
    private var assembly: ClipAssembly?
    private var info = ckm_video_info()
    /// What went wrong in a callback.
    private var failure: KimiError?

    init(_ file: String?, _ config: MediaConfig, _ limits: MediaLimits, _ subject: String, _ isCancelled: @escaping () -> Bool) {
        (self.config, self.limits, self.isCancelled) = (config, limits, isCancelled)
        fault = DecodingFault(file: file, subject: subject)
    }

    func run(_ bytes: UnsafeRawBufferPointer?, descriptor: Int32, count: Int) throws(KimiError) -> Clip {
        // Safe because the callbacks are made within the calls below only, on this thread.
        let me = Unmanaged.passUnretained(self).toOpaque()
        let askCancelled: ckm_is_cancelled = { Unmanaged<VideoCall>.fromOpaque($0!).takeUnretainedValue().isCancelled() ? 1 : 0 }
        var (video, allowed) = (OpaquePointer?.none, ckm_limits(frames: limits))
        let base = bytes?.bindMemory(to: UInt8.self).baseAddress
        guard count > 0 else { throw noBytes }
        let opened = ckm_video_open(
            base, descriptor, count, &allowed, limits.videoFrames, askCancelled, me, &video, &info, &fault.fault)
        guard opened == Int32(CKM_OK), let video else { throw fault.error(opened, wanted: Clip.wanted) }
        defer { ckm_video_close(video) }
        let (width, height) = size
        let sampling = config.sampling(
            times: info.times.map { UnsafeBufferPointer(start: $0, count: info.frame_count) }, count: info.frame_count,
            rate: info.rate,
            width: width, height: height, limits: limits)
        var wanted: [Int] = []
        for index in sampling.indices where wanted.last != index { wanted.append(index) }
        assembly = ClipAssembly(sampling, width: width, height: height, config: config)
        let sink: ckm_frame_sink = { Unmanaged<VideoCall>.fromOpaque($0!).takeUnretainedValue().take($1, $2!, $3) }
        let code = ckm_video_decode(video, wanted, wanted.count, sink, askCancelled, me, &fault.fault)
        if let failure { throw failure }
        guard code == Int32(CKM_OK), let assembly, assembly.next == nil else { throw fault.error(code, wanted: Clip.wanted) }
        return assembly.finish()
    }

    private var noBytes: KimiError {
        KimiError(.format, "no bytes at all; \(Clip.wanted) must be here", file: fault.file, subject: fault.subject)
    }

    /// Upright.
    private var size: (width: Int, height: Int) {
        info.orientation >= 5 ? (Int(info.height), Int(info.width)) : (Int(info.width), Int(info.height))
    }

    private func take(_ number: Int, _ rgb: UnsafePointer<UInt8>, _ stride: Int) -> Int32 {
        do throws(KimiError) {
            let picture = try Picture(width: size.width, height: size.height)
            ckm_orient(picture.pixels, rgb, Int(info.width), Int(info.height), stride, info.orientation)
            try assembly?.add(picture, number: number)
            return Int32(CKM_OK)
        } catch {
            failure = error
            return Int32(CKM_FORMAT)
        }
    }
}
