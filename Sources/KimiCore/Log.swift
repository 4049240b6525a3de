/// Where a model's messages go. Silent unless the host gave a callback; the library never prints.
package struct Log: Sendable {
    package enum Level: Int32, Sendable { case debug = 0, info = 1, warning = 2, error = 3 }

    private let sink: (@Sendable (Level, String) -> Void)?

    /// A log that drops everything.
    package static let silent = Log(nil)

    package init(_ sink: (@Sendable (Level, String) -> Void)?) { self.sink = sink }

    /// The message is built only if somebody listens.
    package func callAsFunction(_ level: Level, _ message: @autoclosure () -> String) {
        sink?(level, message())
    }
}
