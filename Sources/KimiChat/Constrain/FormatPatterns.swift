/// The formats of JSON Schema as patterns: what the named standard allows and Python's `FormatChecker` takes too.
///
/// Left out of what the standards allow, because validators refuse it: the year 0000, leap seconds, and an upper-case `V` before
/// the version of a future IP address. Not limited: the lengths of an e-mail address's parts.
enum FormatPatterns {
    struct Format {
        let pattern: String
        var longest: Int?
    }

    static let all: [String: Format] = [
        "date": Format(pattern: whole(date)),
        "time": Format(pattern: whole(time)),
        "date-time": Format(pattern: whole("\(date)[Tt]\(time)")),
        "duration": Format(pattern: whole(duration)),
        "email": Format(pattern: whole(email)),
        // Names of hosts by RFC 1123, without the root's dot.
        "hostname": Format(pattern: whole("\(label)(?:\\.\(label))*"), longest: 253),
        "ipv4": Format(pattern: whole(ipv4)),
        "ipv6": Format(pattern: whole(ipv6)),
        "json-pointer": Format(pattern: whole("(?:/(?:[^~/]|~[01])*)*")),
        "uri": Format(pattern: whole(uri)),
        "uri-reference": Format(pattern: whole("(?:\(uri)|\(relativeReference))")),
        "uuid": Format(pattern: whole("[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")),
    ]

    private static func whole(_ pattern: String) -> String { "^(?:\(pattern))$" }

    // RFC 3339.

    private static let date =
        "(?:(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
        + "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
        + "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29))"

    private static let hourAndMinute = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
    private static let time = "\(hourAndMinute):[0-5][0-9](?:\\.[0-9]+)?(?:[Zz]|[+-]\(hourAndMinute))"

    /// Appendix A: each unit may be followed by the next smaller one only.
    private static let duration: String = {
        let time = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
        let date = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
        return "P(?:\(date)(?:\(time))?|\(time)|[0-9]+W)"
    }()

    // RFC 1123, RFC 5321 (4.1.2 and 4.1.3).

    private static let label = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"

    private static let email: String = {
        let atom = "[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]+"
        let quoted = "\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\""
        let part = "[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?"
        let general = "[0-9A-Za-z-]*[0-9A-Za-z]:[!-Z^-~]+"
        return "(?:\(atom)(?:\\.\(atom))*|\(quoted))@(?:\(part)(?:\\.\(part))*|\\[(?:\(ipv4)|IPv6:\(ipv6)|(?!IPv6:)\(general))\\])"
    }()

    // RFC 3986.

    private static let octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    private static let ipv4 = "(?:\(octet)\\.){3}\(octet)"

    private static let ipv6: String = {
        let group = "[0-9A-Fa-f]{1,4}"
        let last = "(?:\(group):\(group)|\(ipv4))"
        // Up to `count` groups before the double colon.
        func before(_ count: Int) -> String { count == 0 ? "" : "(?:(?:\(group):){0,\(count - 1)}\(group))?" }
        var forms = ["(?:\(group):){6}\(last)"]
        for count in 0...4 { forms.append("\(before(count))::(?:\(group):){\(5 - count)}\(last)") }
        forms += ["\(before(5))::\(last)", "\(before(6))::\(group)", "\(before(7))::"]
        return "(?:\(forms.joined(separator: "|")))"
    }()

    private static let plain = "0-9A-Za-z._~!$&'()*+,;=-"
    private static let percent = "%[0-9A-Fa-f]{2}"
    private static let segment = "(?:[:@\(plain)]|\(percent))"

    private static let afterPath = "(?:\\?(?:[/?:@\(plain)]|\(percent))*)?(?:#(?:[/?:@\(plain)]|\(percent))*)?"
    private static let authority =
        "(?:(?:[:\(plain)]|\(percent))*@)?(?:\\[(?:\(ipv6)|v[0-9A-Fa-f]+\\.[:\(plain)]+)\\]|(?:[\(plain)]|\(percent))*)(?::[0-9]*)?"
    private static let networkPath = "//\(authority)(?:/\(segment)*)*"
    private static let absolutePath = "/(?:\(segment)+(?:/\(segment)*)*)?"

    private static let uri =
        "[A-Za-z][0-9A-Za-z+.-]*:(?:\(networkPath)|\(absolutePath)|\(segment)+(?:/\(segment)*)*)?\(afterPath)"
    private static let relativeReference =
        "(?:\(networkPath)|\(absolutePath)|(?:[@\(plain)]|\(percent))+(?:/\(segment)*)*)?\(afterPath)"
}
