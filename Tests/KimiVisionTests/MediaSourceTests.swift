import Foundation
import KimiCore
import KimiTestSupport
import KimiVision
import Testing

@Suite("Where media come from")
struct MediaSourceTests {
    private func content(_ url: String, limit: Int = 1000) throws -> String? {
        guard case .bytes(let bytes) = try MediaSource(url: url, policy: MediaPolicy(), limit: limit, subject: "url") else {
            return nil
        }
        return String(decoding: bytes.buffer, as: UTF8.self)
    }

    @Test(
        "data: URLs",
        arguments: [
            ("data:image/png;base64,aGVsbG8=", "hello"), ("data:;base64,aGVsbG8", "hello"),
            ("DATA:text/plain;charset=utf-8;BASE64,aGVs%0abG8%3D", "hello"),
            ("data:,hello%20you", "hello you"), ("data:text/plain,a+b,c", "a+b,c"), ("data:;base64,Pz8_Pj4-", "???>>>"),
            ("data:;base64,Pz8/ Pj4+\n", "???>>>"),
            ("data:;base64,", ""), ("data:,", ""), ("data:;base64,YQ==", "a"), ("data:;base64,YWI=", "ab"),
        ])
    func data(url: String, expected: String) throws { #expect(try content(url) == expected) }

    @Test(
        "data: URLs that are damaged",
        arguments: [
            "data:", "data:image/png;base64", "data:;base64,aGVsbG8*", "data:;base64,a", "data:;base64,aGVsb",
            "data:;base64,aG=VsbG8=", "data:;base64,aGVsbG8==",
            "data:;base64,a===", "data:,%", "data:,%4", "data:,%zz", "data:;base64,%",
        ])
    func damagedData(url: String) {
        let error = failure { _ = try content(url) }
        #expect(error?.status == .format && error?.subject == "url")
    }

    @Test("More content than allowed is refused, without a megabyte of it in the message")
    func limit() {
        for url in ["data:;base64," + String(repeating: "A", count: 2_000_000), "data:," + String(repeating: "x", count: 1001)] {
            let error = failure { _ = try content(url) }
            #expect(error?.status == .invalidArgument && (error?.message.count ?? 0) < 200)
        }
    }

    @Test(
        "Other schemes are refused, and nothing is fetched",
        arguments: [
            ("http://example.com/a.png", Status.unsupported), ("https://example.com/a.png", .unsupported),
            ("HTTPS://x", .unsupported), ("ftp://x/y", .unsupported),
            ("blob:abc", .unsupported), ("file:///etc/passwd", .unsupported), ("javascript:alert(1)", .unsupported),
            ("picture.png", .invalidArgument),
            ("", .invalidArgument), ("/a/b:c", .invalidArgument), (":x", .invalidArgument), ("1a:x", .invalidArgument),
        ])
    func schemes(url: String, status: Status) { #expect(failure { _ = try content(url) }?.status == status) }

    @Test("file: URLs and paths where the host allows them")
    func files() throws {
        var policy = MediaPolicy()
        #expect(failure { _ = try MediaSource(path: "/tmp/x", policy: policy, subject: "s") }?.status == .unsupported)
        policy.allowsFiles = true
        guard case .file(let path) = try MediaSource(url: "file:///tmp/a%20b%C3%A9.png", policy: policy, limit: 9, subject: "s")
        else {
            Issue.record("no file")
            return
        }
        #expect(path == "/tmp/a bé.png")
        for url in [
            "file://host/x", "file:x", "file:///a%00b", "file:///a?b", "file:///a#b", "file:///%ff", "file:///%", "file://",
        ] {
            #expect(
                failure { _ = try MediaSource(url: url, policy: policy, limit: 9, subject: "s") }?.status == .invalidArgument,
                "\(url)")
        }
        guard case .file = try MediaSource(path: "x.png", policy: policy, subject: "s") else {
            Issue.record("no file")
            return
        }
        #expect(
            MediaSource.isURL("data:,") && MediaSource.isURL("x-y:z") && !MediaSource.isURL("a/b:c")
                && !MediaSource.isURL("picture.png"))
    }
}
