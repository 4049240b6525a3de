import CKimiSystem
import KimiCore

/// One open, mapped weight file. The mapping is read only, is made without reading the data, and goes with the object.
///
/// A file that shrinks while it is mapped turns reads past its new end into SIGBUS; `hasChanged` is the cheap question to ask
/// before such a read. A file that is *replaced* (renamed over) does no harm: the old one stays until it is closed.
final class Shard: @unchecked Sendable {
    // Safe because the mapping is read only and neither changes nor moves between init and deinit.
    let name: String
    let file: OpenFile
    let bytes: UnsafeRawBufferPointer

    init(folder: String, name: String) throws(KimiError) {
        self.name = name
        file = try OpenFile(FolderLayout.path(folder, name))
        bytes = try file.map()
    }

    deinit {
        if let start = bytes.baseAddress { cks_file_unmap(start, bytes.count) }
    }

    /// Whether the file is another than when it was opened: shorter, or written to. Two system calls, no allocation.
    var hasChanged: Bool { hasShrunk || file.isModified }

    /// Whether the file is smaller than when it was opened, or cannot be asked. One system call, no allocation.
    var hasShrunk: Bool { file.currentSize < file.size }
}
