/// The status codes of the C interface, spelled once for Swift.
///
/// The raw values are the ones of `kimi.h` and are never reused; a test compares the two lists.
package enum Status: Int32, Sendable, CaseIterable {
    case ok = 0
    /// An argument is out of its range, or a combination of arguments makes no sense.
    case invalidArgument = -1
    /// A handle is NULL, was destroyed, or never came from this library.
    case invalidHandle = -2
    /// Another call is running on the same session.
    case busy = -3
    /// The call was cancelled, by `kimi_session_cancel` or by a progress callback.
    case cancelled = -4
    /// Memory for weights, cache or work space could not be had.
    case outOfMemory = -5
    /// The operating system refused a file operation: missing, no permission, read error.
    case io = -6
    /// A file does not follow its format.
    case format = -7
    /// A well-formed request or checkpoint that this library does not serve.
    case unsupported = -8
    /// The context limit would be passed.
    case contextFull = -9
    /// NaN or infinity where a number must be.
    case numeric = -10
    /// Two things that belong together do not fit, such as a session file and a checkpoint.
    case mismatch = -11
    /// Something the library promises itself did not hold; a bug worth reporting.
    case `internal` = -12
    /// A buffer of the caller's is too small; the needed count is reported beside it.
    case tooSmall = -13
}
