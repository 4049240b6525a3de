import KimiCore
import KimiRuntime
import Synchronization

/// The pictures and videos of live handles by the URLs that requests may name them by.
///
/// A name is random, so that who writes a request can only name what the host has told them of.
enum HeldMedia {
    private static let origins = Mutex<[String: MediaReference.Origin]>([:])

    /// A new name for what a handle stands for, valid until `forget`.
    static func name(_ scheme: StaticString, _ origin: MediaReference.Origin) -> String {
        func digits() -> String {
            let text = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }
        let name = "\(scheme):\(digits())\(digits())"
        origins.withLock { $0[name] = origin }
        return name
    }

    static func forget(_ name: String) {
        // It is freed outside the lock.
        let forgotten = origins.withLock { $0.removeValue(forKey: name) }
        withExtendedLifetime(forgotten) {}
    }

    /// What a URL of a request names, if that lives.
    @Sendable static func origin(_ name: String) -> MediaReference.Origin? { origins.withLock { $0[name] } }
}
