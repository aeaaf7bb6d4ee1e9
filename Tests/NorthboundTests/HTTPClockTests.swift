import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Testing

@testable import Northbound

@Suite("The clock of connections")
struct HTTPClockTests {
    private let channel: EmbeddedChannel
    private let limits = RESTSettings.Limits()

    init() throws {
        channel = EmbeddedChannel(handler: HTTPClock(limits))
        try channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    private func come(_ parts: HTTPRequestPart...) throws { for part in parts { try channel.writeInbound(part) } }
    private func pass(_ time: Duration) { channel.embeddedEventLoop.advanceTime(by: TimeAmount(time)) }
    /// Written, and read by the client only when the channel is flushed.
    private func answer() {
        channel.write(HTTPResponsePart.head(.init(status: .ok)), promise: nil)
        channel.write(HTTPResponsePart.body(ByteBuffer(string: "x")), promise: nil)
        channel.write(HTTPResponsePart.end(nil), promise: nil)
    }
    private let head = HTTPRequestPart.head(.init(method: .put, scheme: "http", authority: "localhost", path: "/"))
    private let body = HTTPRequestPart.body(ByteBuffer(string: "x"))

    @Test("an answer may take any time, a client that does not read it may not")
    func reader() throws {
        try come(head, .end(nil))
        pass(.seconds(1000))
        #expect(channel.isActive)
        answer()
        pass(limits.writeTime)
        #expect(!channel.isActive)
    }

    @Test("the next request is no excuse for not reading")
    func pipelined() throws {
        try come(head, .end(nil))
        answer()
        pass(limits.writeTime / 2)
        try come(head, .end(nil), head, .end(nil))
        pass(limits.writeTime / 2)
        #expect(!channel.isActive)
    }

    @Test("the next request may be half there when an answer is written")
    func half() throws {
        try come(head, .end(nil), head, body)
        answer()
        channel.flush()
        #expect(channel.isActive)
        pass(limits.bodyTime / 2)
        try come(body, .end(nil))
        pass(limits.bodyTime)
        #expect(channel.isActive)
        answer()
        channel.flush()
        pass(limits.idleTime)
        #expect(!channel.isActive)
    }

    @Test("its body has as much time as others")
    func halfForGood() throws {
        try come(head, .end(nil), head, body)
        answer()
        channel.flush()
        pass(limits.bodyTime)
        #expect(!channel.isActive)
    }

    @Test("who is answered before his request has ended can't go on with it")
    func early() throws {
        try come(head, body)
        answer()
        channel.flush()
        try? come(body, .end(nil))
        pass(.seconds(1))
        #expect(!channel.isActive)
    }
}
