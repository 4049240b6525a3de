import CKimiSystem
import KimiCore

/// Keeps the shards as long as they are while their mappings are read, so that a file that somebody cuts is an error and not
/// SIGBUS, which would end the host.
///
/// During a step each shard has a read lease: a writer waits, the step sees it waiting before its next layer, fails, and lets the
/// lease go; then the writer goes on, and the next step finds the file short. A step that finds a writer there already fails too.
/// Between steps nothing is held. Where there were no leases to be had when the model was opened (see `cks_file_hold`), the
/// shards' lengths are compared before each layer, which leaves a gap of one layer.
///
/// For one thread at a time. Allocates nothing after init.
package final class ReadHold: @unchecked Sendable {
    // Safe because only the holder of the model's step lock uses it, and the table lives as long as the object.
    private let checkpoint: Checkpoint
    private let held: UnsafeMutablePointer<Bool>
    /// Shards whose file gives leases: there, a refusal later means that somebody has the file open for writing.
    private let leasable: [Bool]

    package init(_ checkpoint: Checkpoint) {
        self.checkpoint = checkpoint
        held = .allocate(capacity: max(checkpoint.shardCount, 1))
        held.initialize(repeating: false, count: max(checkpoint.shardCount, 1))
        leasable = checkpoint.shards.map { shard in
            guard cks_file_hold(shard.file.descriptor) == 1 else { return false }
            cks_file_let_go(shard.file.descriptor)
            return true
        }
    }

    deinit {
        end()
        held.deallocate()
    }

    /// Takes the leases, then checks that every shard is as long as it was. `end` must follow, also after an error.
    package func begin() throws(KimiError) {
        for (index, shard) in checkpoint.shards.enumerated() where leasable[index] {
            held[index] = cks_file_hold(shard.file.descriptor) == 1
            guard held[index] else { throw Self.written(shard) }
        }
        try checkpoint.checkIntact()
    }

    /// Whether the mappings may be read for another layer.
    ///
    /// - Throws: `.io` naming the shard that is short, or that somebody wants to write to.
    package func check() throws(KimiError) {
        for (index, shard) in checkpoint.shards.enumerated() {
            if !held[index] {
                if shard.hasChanged { throw Checkpoint.changed(shard) }
            } else if cks_file_hold_lasts(shard.file.descriptor) == 0 {
                throw Self.written(shard)
            }
        }
    }

    private static func written(_ shard: Shard) -> KimiError {
        if shard.hasChanged { return Checkpoint.changed(shard) }
        return KimiError(
            .io, "somebody has the file open for writing, or cuts it, while its weights are in use", file: shard.file.path)
    }

    /// Gives the leases back; whoever waited goes on.
    package func end() {
        for (index, shard) in checkpoint.shards.enumerated() where held[index] {
            cks_file_let_go(shard.file.descriptor)
            held[index] = false
        }
    }
}
