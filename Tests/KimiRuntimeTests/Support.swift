import Foundation
import KimiCore
import KimiRuntime
import KimiTestSupport

/// The fixture checkpoint, opened once, with small steps so that short prompts take several.
enum Tiny {
    private static let opened = Result { () throws(KimiError) in try shortSteps(exact: false) }
    private static let openedExact = Result { () throws(KimiError) in try shortSteps(exact: true) }

    private static func shortSteps(exact: Bool) throws(KimiError) -> Model {
        var options = Model.Options()
        (options.threads, options.exact, options.chunkSize, options.prefixBytes) = (2, exact, 48, 0)
        return try Model(folder: Fixtures.path("tiny-kimi"), options: options)
    }

    static var model: Model { get throws { try opened.get() } }
    /// The same with the option `exact`, whose bits are those of any instruction set.
    static var exactModel: Model { get throws { try openedExact.get() } }

    static func open(_ folder: String = Fixtures.path("tiny-kimi"), _ change: (inout Model.Options) -> Void = { _ in }) throws -> Model {
        var options = Model.Options()
        // What sessions leave to others is not among what is counted here, unless it is the test's subject.
        (options.threads, options.prefixBytes) = (2, 0)
        change(&options)
        return try Model(folder: folder, options: options)
    }

    static func session(_ contextLimit: Int? = nil) throws -> Session { try Session(model: try model, contextLimit: contextLimit) }

    /// 6,000 ids of the fixture's longest prompt.
    static let ids: [Int32] = {
        struct Prompt: Decodable { let ids: [Int32] }
        let prompts = try? Fixtures.decode([String: Prompt].self, "tiny-kimi-expected/prompts.json")
        return prompts?["long"]?.ids ?? []
    }()

    /// Logits after each of the first 300 ids, evaluated at once in a session of its own.
    private static let expected = Result { try session().evaluate(Array(ids.prefix(300)), all: true) }

    static func expected(after count: Int) throws -> [Float] {
        let all = try expected.get()
        let size = try model.vocabularySize
        return Array(all[(count - 1) * size..<count * size])
    }

    /// The ids from `first` on, and the expected logits after the last of them.
    static func ids(_ first: Int, to end: Int) -> [Int32] { Array(ids[first..<end]) }
}

extension Session {
    /// One call that appends `ids`; the logits after the last, or after each.
    @discardableResult
    func evaluate(_ ids: [Int32], all: Bool = false) throws(KimiError) -> [Float] {
        var logits = [Float](repeating: .nan, count: (all ? ids.count : 1) * vocabularySize)
        try call { () throws(KimiError) in
            try logits.withUnsafeMutableBufferPointer { target in
                Result { () throws(KimiError) in
                    try ids.withUnsafeBufferPointer { ids in
                        Result { () throws(KimiError) in try evaluate(ids, all: all, into: target.baseAddress) }
                    }.get()
                }
            }.get()
        }
        return logits
    }

    /// All events of a generation by callback.
    @discardableResult
    func events(_ prompt: [Int32] = [], _ change: (inout GenerationOptions) -> Void = { _ in }) throws(KimiError) -> [GenerationEvent] {
        var options = GenerationOptions()
        change(&options)
        var events: [GenerationEvent] = []
        try generate(prompt, options: options) {
            events.append($0)
            return true
        }
        return events
    }

    /// All events of a generation by polling.
    func polled(_ prompt: [Int32] = [], _ change: (inout GenerationOptions) -> Void = { _ in }) throws(KimiError) -> [GenerationEvent] {
        var options = GenerationOptions()
        change(&options)
        let generation = try Generation(session: self, prompt: prompt, options: options)
        var events: [GenerationEvent] = []
        while true {
            events.append(try generation.next())
            if events.last?.isFinish == true { return events }
        }
    }
}

extension GenerationOptions {
    /// The same draws each time, and no end token: random weights give one now and then.
    static var endless: GenerationOptions {
        var options = GenerationOptions()
        (options.seed, options.ignoreEnd) = (1, true)
        return options
    }
}

extension GenerationEvent {
    var isFinish: Bool { if case .finish = self { true } else { false } }
    var isPrompt: Bool { if case .prompt = self { true } else { false } }
    var token: GeneratedToken? { if case .token(let token) = self { token } else { nil } }

    var text: [UInt8] {
        switch self {
        case .prompt: []
        case .token(let token): token.text
        case .finish(_, _, _, let text): text
        }
    }

    var reason: FinishReason? { if case .finish(let reason, _, _, _) = self { reason } else { nil } }
    var endID: Int32? { if case .finish(_, let id, _, _) = self { id } else { nil } }
    var stopString: Int? { if case .finish(_, _, let stop, _) = self { stop } else { nil } }
}

extension [GenerationEvent] {
    /// The ids of all TOKEN events.
    var ids: [Int32] { compactMap { $0.token?.id } }
    var text: [UInt8] { flatMap(\.text) }
    /// Everything but the PROMPT events, in a form that can be compared.
    var answer: [String] { filter { !$0.isPrompt }.map { "\($0)" } }
}

/// Runs `body` and returns the `KimiError` that it must end in.
func failure(_ body: () throws -> Void) -> KimiError? {
    do {
        try body()
        return nil
    } catch {
        return error as? KimiError
    }
}

/// A value that threads hand over; the lock makes it whole, the tests make the order.
final class Shared<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var stored: Value

    init(_ value: Value) { stored = value }

    var value: Value {
        get { lock.withLock { stored } }
        set { lock.withLock { stored = newValue } }
    }

    /// Looks at the value and changes it, with no other thread in between.
    func change<T>(_ body: (inout Value) -> T) -> T { lock.withLock { body(&stored) } }
}

/// A thread of its own; `wait` returns what it returned or throws what it threw.
final class Worker<Value: Sendable>: @unchecked Sendable {
    private let done = DispatchSemaphore(value: 0)
    private let outcome = Shared<Result<Value, any Error>?>(nil)

    init(_ body: @escaping @Sendable () throws -> Value) {
        Thread { [self] in
            outcome.value = Result { try body() }
            done.signal()
        }.start()
    }

    var isDone: Bool { outcome.value != nil }

    func wait() throws -> Value {
        done.wait()
        defer { done.signal() }
        guard let outcome = outcome.value else { throw KimiError(.internal, "a thread without an outcome") }
        return try outcome.get()
    }
}

/// Waits until something has happened on another thread; false after a minute.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<60_000 {
        if condition() { return true }
        usleep(1000)
    }
    return false
}
