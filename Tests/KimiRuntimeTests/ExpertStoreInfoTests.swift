import Foundation
import KimiCore
import KimiModel
import KimiRuntime
import KimiTestSupport
import Testing

/// `expert_store` of a model's information.
struct ExpertStoreInfoTests {
    private struct Info: Decodable {
        struct Store: Decodable {
            let slots, slot_bytes, experts, uses, hits, on_the_way, bytes_read, retries: Int
            let stall_seconds: Double
            let backend: String
            let direct: Bool
        }
        let expert_store: Store?

        static func of(_ model: Model) throws -> Store? {
            try JSONDecoder().decode(Info.self, from: Data(model.info.utf8)).expert_store
        }
    }

    @Test("only a model that reads experts as they are chosen has it", arguments: [nil, LoadPolicy.map, .copy])
    func absent(_ policy: LoadPolicy?) throws {
        #expect(try Info.of(try Tiny.open { $0.loadPolicy = policy }) == nil)
        #expect(try Info.of(try Tiny.open { $0.loadPolicy = .stream }) != nil)
    }

    @Test("uses are layers times distinct experts, of prompts in chunks and of generated tokens, of all sessions")
    func uses() throws {
        let model = try Tiny.open { ($0.loadPolicy, $0.chunkSize) = (.stream, 48) }
        let opened = try #require(try Info.of(model))
        #expect((opened.uses, opened.hits, opened.bytes_read, opened.stall_seconds) == (0, 0, 0, 0))
        #expect((opened.slots, opened.experts) == (48, 48) && ["io_uring", "threads"].contains(opened.backend))
        #expect(opened.slot_bytes > 0)
        let dense = 1
        let uses = Shared(0)
        let ever = Shared<Set<[Int32]>>([])
        model.text.layerObserver = { layer, _, choices in
            guard layer >= dense else { return }
            let distinct = Set(choices.experts.map { [Int32(layer), $0] })
            uses.value += distinct.count
            ever.value.formUnion(distinct)
        }
        let session = try Session(model: model)
        try session.evaluate(Tiny.ids(0, to: 100))
        #expect(try Info.of(model)?.uses == uses.value)
        try session.events([3]) { ($0.maxTokens, $0.seed, $0.ignoreEnd) = (9, 1, true) }
        try Session(model: model).evaluate([1, 2, 3])
        let told = try #require(try Info.of(model))
        #expect(told.uses == uses.value && told.uses > opened.uses)
        #expect(told.uses - told.hits == ever.value.count && told.on_the_way == 0)
        #expect(told.bytes_read > 0 && told.stall_seconds > 0)
    }

    @Test("other threads read whole figures while the model computes")
    func anyThread() throws {
        let model = try Tiny.open { ($0.loadPolicy, $0.chunkSize) = (.stream, 8) }
        let worker = Worker { try Session(model: model).evaluate(Tiny.ids(0, to: 2000)) }
        var (uses, bytes, rises) = (0, 0, 0)
        while !worker.isDone {
            let told = try #require(try Info.of(model))
            #expect(told.hits + told.on_the_way <= told.uses && told.uses >= uses && told.bytes_read >= bytes)
            // All experts have room: what was no hit was read, once, and all of it before its layer ended.
            #expect(told.bytes_read <= (told.uses - told.hits) * told.slot_bytes)
            if told.uses > uses { rises += 1 }
            (uses, bytes) = (told.uses, told.bytes_read)
        }
        _ = try worker.wait()
        #expect(rises > 2)
    }
}
