import CKimiMedia
import KimiCore

/// Turns what the C of this room returns into errors.
struct DecodingFault {
    /// The medium's file, or nil.
    let file: String?
    /// The option or field that it came by.
    let subject: String
    var fault = ckm_fault()

    init(file: String?, subject: String) {
        (self.file, self.subject) = (file, subject)
    }

    /// - Parameter wanted: what would be right, for damaged and unknown files.
    func error(_ code: Int32, wanted: String) -> KimiError {
        let words = withUnsafeBytes(of: fault.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return switch Int(code) {
        case CKM_FORMAT: KimiError(.format, "\(words); \(wanted) must be here", file: file, subject: subject)
        case CKM_UNSUPPORTED: KimiError(.unsupported, "\(words); \(wanted) must be here", file: file, subject: subject)
        case CKM_NO_MEMORY: KimiError(.outOfMemory, words, file: file, subject: subject)
        case CKM_LIMIT: KimiError(.invalidArgument, "\(words), which is beyond the limits", file: file, subject: subject)
        case CKM_CANCELLED: KimiError(.cancelled, "the call was cancelled", file: file, subject: subject)
        case CKM_IO: KimiError(.io, words, file: file, subject: subject)
        case CKM_NO_LIBRARY: KimiError(.unsupported, words, file: file, subject: subject)
        default: KimiError(.internal, "decoding ended with code \(code)", file: file, subject: subject)
        }
    }
}

extension ckm_limits {
    /// For a decoder of pictures.
    init(pictures limits: MediaLimits) {
        self.init(pixels: UInt64(max(0, limits.pixels)), side: UInt64(max(0, limits.side)), work: UInt64(max(0, limits.workBytes)))
    }

    /// For a decoder of videos.
    init(frames limits: MediaLimits) {
        self.init(
            pixels: UInt64(max(0, limits.framePixels)), side: UInt64(max(0, limits.side)), work: UInt64(max(0, limits.workBytes)))
    }
}
