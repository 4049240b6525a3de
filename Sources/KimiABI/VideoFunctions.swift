public import CKimi
import Glibc
import KimiCore
import KimiRuntime
import KimiVision

/// A video of the host's: a file, its bytes, or frames.
final class VideoHandle: @unchecked Sendable {
    // Safe because nothing changes after init.
    let origin: MediaReference.Origin
    let name: String
    let nameText: UnsafeMutablePointer<CChar>?

    init(_ origin: MediaReference.Origin) {
        self.origin = origin
        name = HeldMedia.name("kimi-video", origin)
        nameText = strdup(name)
    }

    deinit { free(nameText) }
}

/// Hands a video over as a handle.
private func make(
    _ outVideo: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?,
    _ origin: () throws(KimiError) -> MediaReference.Origin
) -> kimi_status {
    status(outError) { () throws(KimiError) in
        let out = try require(outVideo, "out_video")
        let handle = VideoHandle(try origin())
        do throws(KimiError) { out.pointee = try Handles.add(.video(handle)) } catch {
            HeldMedia.forget(handle.name)
            throw error
        }
    }
}

@c @implementation public func kimi_video_from_path(
    _ file: UnsafePointer<CChar>?, _ length: Int, _ outVideo: UnsafeMutablePointer<OpaquePointer?>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    make(outVideo, outError) { () throws(KimiError) in
        let file = try path(file, length)
        // A name that is none should not wait for its first use.
        guard access(file, R_OK) == 0 else {
            throw KimiError(.io, "there is no file here that may be read", file: file, subject: "path")
        }
        return .encoded(.file(file))
    }
}

@c @implementation public func kimi_video_from_bytes(
    _ bytes: UnsafeRawPointer?, _ count: Int, _ outVideo: UnsafeMutablePointer<OpaquePointer?>?,
    _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    make(outVideo, outError) { () throws(KimiError) in
        let bytes = try memory(bytes, count, "bytes")
        guard !bytes.isEmpty else { throw KimiError(.format, "no bytes at all; a whole video must be here", subject: "bytes") }
        return .encoded(.bytes(try MediaBytes(bytes)))
    }
}

@c @implementation public func kimi_video_from_frames(
    _ frames: UnsafePointer<OpaquePointer?>?, _ timestamps: UnsafePointer<Double>?, _ count: Int,
    _ outVideo: UnsafeMutablePointer<OpaquePointer?>?, _ outError: UnsafeMutablePointer<OpaquePointer?>?
) -> kimi_status {
    make(outVideo, outError) { () throws(KimiError) in
        let handles = try array(frames, count, "frames", limit: 1 << 22)
        var pictures: [Picture] = []
        for (index, handle) in handles.enumerated() {
            do throws(KimiError) { pictures.append(try image(handle).picture) } catch {
                throw KimiError(error.status, "frames[\(index)]: \(error.message)", subject: "frames[\(index)]")
            }
        }
        let seconds = timestamps.map { Array(UnsafeBufferPointer(start: $0, count: count)) }
        // What is wrong with them, too, should not wait for the first use; no model's own numbers matter for that.
        _ = try Clip(frames: pictures, timestamps: seconds, config: MediaConfig(), subject: "video")
        return .frames(pictures, seconds: seconds)
    }
}

@c @implementation public func kimi_video_url(_ handle: OpaquePointer?) -> UnsafePointer<CChar>? {
    UnsafePointer((try? video(handle))?.nameText)
}

@c @implementation public func kimi_video_destroy(_ handle: OpaquePointer?) {
    let removed = Handles.remove(handle) { if case .video = $0 { true } else { false } }
    if case .video(let video)? = removed { HeldMedia.forget(video.name) }
}
