/// What went wrong, in the words a user can act on.
///
/// `message` says what was found and what would be right. `file` and `subject` (a tensor, a field, an option)
/// are kept apart so that a program can use them without reading English.
package struct KimiError: Error, Equatable, Sendable {
    package let status: Status
    package let message: String
    /// The file at fault, as the caller wrote its folder, or nil.
    package let file: String?
    /// The tensor, JSON field or option at fault, or nil.
    package let subject: String?

    package init(_ status: Status, _ message: String, file: String? = nil, subject: String? = nil) {
        self.status = status
        self.message = message
        self.file = file
        self.subject = subject
    }
}

extension KimiError: CustomStringConvertible {
    /// One line: file, subject and message, as far as they are known.
    package var description: String {
        var parts: [String] = []
        if let file { parts.append(file) }
        if let subject { parts.append(subject) }
        parts.append(message)
        return parts.joined(separator: ": ")
    }
}
