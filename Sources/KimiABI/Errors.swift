public import CKimi
import Glibc
import KimiCore

/// An error as the C interface shows it: its strings live as long as its handle.
final class ErrorHandle: @unchecked Sendable {
    // Safe because nothing changes after init.
    let status: Status
    let message: UnsafeMutablePointer<CChar>?
    let file: UnsafeMutablePointer<CChar>?
    let subject: UnsafeMutablePointer<CChar>?

    init(_ error: KimiError) {
        status = error.status
        message = strdup(error.description)
        file = error.file.flatMap { strdup($0) }
        subject = error.subject.flatMap { strdup($0) }
    }

    deinit {
        free(message)
        free(file)
        free(subject)
    }
}

/// Runs the body of a C function: a thrown error becomes a status, and an error object if the caller wants one.
func status(
    _ outError: UnsafeMutablePointer<OpaquePointer?>?, _ body: () throws(KimiError) -> Void
) -> kimi_status {
    outError?.pointee = nil
    do {
        try body()
        return Status.ok.rawValue
    } catch {
        if let outError { outError.pointee = try? Handles.add(.error(ErrorHandle(error))) }
        return error.status.rawValue
    }
}

/// Names of the status codes as in kimi.h.
private func name(of status: Status) -> StaticString {
    switch status {
    case .ok: "KIMI_OK"
    case .invalidArgument: "KIMI_ERROR_INVALID_ARGUMENT"
    case .invalidHandle: "KIMI_ERROR_INVALID_HANDLE"
    case .busy: "KIMI_ERROR_BUSY"
    case .cancelled: "KIMI_ERROR_CANCELLED"
    case .outOfMemory: "KIMI_ERROR_OUT_OF_MEMORY"
    case .io: "KIMI_ERROR_IO"
    case .format: "KIMI_ERROR_FORMAT"
    case .unsupported: "KIMI_ERROR_UNSUPPORTED"
    case .contextFull: "KIMI_ERROR_CONTEXT_FULL"
    case .numeric: "KIMI_ERROR_NUMERIC"
    case .mismatch: "KIMI_ERROR_MISMATCH"
    case .internal: "KIMI_ERROR_INTERNAL"
    case .tooSmall: "KIMI_ERROR_TOO_SMALL"
    }
}

/// A string literal as a C string that lives for ever.
func forever(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

@c @implementation public func kimi_status_name(_ status: kimi_status) -> UnsafePointer<CChar>? {
    forever(Status(rawValue: status).map { name(of: $0) } ?? "unknown status")
}

private func error(_ handle: OpaquePointer?) -> ErrorHandle? {
    guard case .error(let error)? = Handles.object(handle) else { return nil }
    return error
}

@c @implementation public func kimi_error_code(_ handle: OpaquePointer?) -> kimi_status {
    error(handle)?.status.rawValue ?? Status.invalidHandle.rawValue
}

@c @implementation public func kimi_error_message(_ handle: OpaquePointer?) -> UnsafePointer<CChar>? {
    UnsafePointer(error(handle)?.message) ?? forever("not a live kimi_error")
}

@c @implementation public func kimi_error_file(_ handle: OpaquePointer?) -> UnsafePointer<CChar>? {
    UnsafePointer(error(handle)?.file)
}

@c @implementation public func kimi_error_subject(_ handle: OpaquePointer?) -> UnsafePointer<CChar>? {
    UnsafePointer(error(handle)?.subject)
}

@c @implementation public func kimi_error_destroy(_ handle: OpaquePointer?) {
    _ = Handles.remove(handle) { if case .error = $0 { true } else { false } }
}
