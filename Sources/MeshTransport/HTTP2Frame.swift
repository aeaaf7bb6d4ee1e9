internal import NIOCore

/// The nine bytes before a frame of HTTP/2. Source: RFC 9113, section 4.1.
struct FrameHead {
    /// The kinds of frames that have a meaning here. Source: RFC 9113, section 6.
    enum Kind: UInt8 {
        case data = 0
        case headers = 1
        case priority = 2
        case reset = 3
        case settings = 4
        case pushPromise = 5
        case ping = 6
        case goAway = 7
        case windowUpdate = 8
        case continuation = 9
    }

    static let size = 9
    static let acknowledges: UInt8 = 1
    static let endsStream: UInt8 = 1

    /// Bytes of the payload.
    let length: Int
    /// Nil: an unknown one, which HTTP/2 ignores.
    let kind: Kind?
    let flags: UInt8
    let stream: UInt32

    /// Reads the bytes at an index, which must be there.
    init(_ bytes: UnsafeRawBufferPointer, at index: Int) {
        length = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
        kind = Kind(rawValue: bytes[index + 3])
        flags = bytes[index + 4]
        stream =
            UInt32(bytes[index + 5] & 0x7f) << 24 | UInt32(bytes[index + 6]) << 16 | UInt32(bytes[index + 7]) << 8
            | UInt32(bytes[index + 8])
    }

    /// Whether it carries work: the head of a call or an answer, or bytes of a message.
    var isWork: Bool {
        switch kind {
        case .data, .headers: length > 0
        case .priority, .reset, .settings, .pushPromise, .ping, .goAway, .windowUpdate, .continuation, nil: false
        }
    }

    /// Whether nothing but the end of a stream comes with it.
    var isPlainEnd: Bool { kind == .data && length == 0 && flags & Self.endsStream != 0 }
}

/// Follows a stream of frames that another writes, so that something can be written between two of them.
struct FrameFollower {
    /// Bytes of the preface or of a payload that are to come.
    private var left: Int
    /// What there is of the head of the next frame.
    private var head: [UInt8] = []

    /// - Parameter preface: Bytes that come before the first frame.
    init(preface: Int) { left = preface }

    /// Whether the next byte begins a frame.
    var isBetweenFrames: Bool { left == 0 && head.isEmpty }

    mutating func follow(_ bytes: UnsafeRawBufferPointer, _ found: (FrameHead) -> Void) {
        var index = 0
        while index < bytes.count {
            if left > 0 {
                let count = min(left, bytes.count - index)
                index += count
                left -= count
            } else if head.isEmpty, bytes.count - index >= FrameHead.size {
                let next = FrameHead(bytes, at: index)
                index += FrameHead.size
                left = next.length
                found(next)
            } else {
                head.append(bytes[index])
                index += 1
                guard head.count == FrameHead.size else { continue }
                let next = head.withUnsafeBytes { FrameHead($0, at: 0) }
                head = []
                left = next.length
                found(next)
            }
        }
    }
}
