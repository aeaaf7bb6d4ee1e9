/// Texts in which variables of the environment stand.
enum VariableText {
    /// Puts the values of `$NAME` and `${NAME}` in a text. A variable that is not set is empty; a `$` before anything else stays.
    static func expand(_ text: String, _ value: (String) -> String?) -> String {
        var result: [UInt8] = []
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "$"), index + 1 < bytes.count else {
                result.append(bytes[index])
                index += 1
                continue
            }
            let isBraced = bytes[index + 1] == UInt8(ascii: "{")
            let start = index + (isBraced ? 2 : 1)
            var end = start
            while end < bytes.count, isBraced ? bytes[end] != UInt8(ascii: "}") : isPartOfName(bytes[end], end == start)
            {
                end += 1
            }
            if end == start && !isBraced || isBraced && end == bytes.count {
                result.append(bytes[index])
                index += 1
                continue
            }
            result += (value(String(decoding: bytes[start..<end], as: UTF8.self)) ?? "").utf8
            index = isBraced ? end + 1 : end
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func isPartOfName(_ byte: UInt8, _ isFirst: Bool) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): !isFirst
        default: false
        }
    }
}
