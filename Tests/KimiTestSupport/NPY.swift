import Foundation

/// A NumPy array file (format 1.0 or 2.0, C order, little endian) as the fixtures have them.
package struct NPY {
    package let shape: [Int]
    private let dtype: String
    private let body: Data

    package struct Malformed: Error { package let reason: String }

    /// Reads `Tests/Fixtures/<name>`.
    package init(_ name: String) throws {
        let data = try Data(contentsOf: Fixtures.root.appending(path: name))
        guard data.count > 12, data[0] == 0x93 else { throw Malformed(reason: "\(name): no NumPy magic") }
        let lengthBytes = data[6] == 1 ? 2 : 4
        let headerLength = (0..<lengthBytes).reduce(0) { $0 | Int(data[8 + $1]) << (8 * $1) }
        let start = 8 + lengthBytes
        let header = String(decoding: data[start..<start + headerLength], as: UTF8.self)
        guard let shapeMatch = header.firstMatch(of: #/'shape': \(([^)]*)\)/#),
            let typeMatch = header.firstMatch(of: #/'descr': '([^']*)'/#), header.contains("'fortran_order': False")
        else { throw Malformed(reason: "\(name): header \(header)") }
        shape = shapeMatch.1.split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
        dtype = String(typeMatch.1)
        body = data.subdata(in: start + headerLength..<data.count)
    }

    package func floats() throws -> [Float] {
        guard dtype == "<f4" else { throw Malformed(reason: "expected <f4, found \(dtype)") }
        return body.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    package func ints() throws -> [Int32] {
        guard dtype == "<i4" else { throw Malformed(reason: "expected <i4, found \(dtype)") }
        return body.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    }
}
