import CLinux
import CMnl
import Glibc

extension RouteSocket {
    /// Sends all requests of a batch, in order, and reports what became of them.
    ///
    /// The kernel carries out each request whatever happened to those before it. A position that is not reported
    /// succeeded. The batch is left as it was, so it can be sent again.
    ///
    /// - Parameters:
    ///   - batch: up to 128 requests leave in one system call, with an acknowledgement on the last.
    ///   - onReply: position in the batch and object, for requests with `echo`. For a veth pair `link` is the index
    ///     of the peer in its own namespace.
    ///   - onError: position in the batch and the kernel's answer.
    /// - Throws: `ENOBUFS`, `ETIMEDOUT` when answers were lost: what became of the requests that were not reported
    ///   is not known, and those of later chunks were not sent. Other errors of sendmsg(2).
    public func transact(
        _ batch: Batch, onReply: (Int, Report) -> Void = { _, _ in }, onError: (Int, KernelError) -> Void
    ) throws(KernelError) {
        guard !batch.isEmpty else { return }
        try prepareForRequests()
        try NetlinkChannel.withBuffer { buffer throws(KernelError) in
            var next = 0
            while next < batch.count {
                let chunk = nextChunk(of: batch, from: next, onError)
                next = chunk.upperBound
                guard let last = chunk.last else { continue }
                let base = stamp(batch, chunk.first..<next, last: last)
                // The batch may be sent again, divided in another way.
                defer { batch.header(at: last).pointee.nlmsg_flags &= ~UInt16(NLM_F_ACK) }
                try channel.send(batch.bytes(of: chunk.first..<next))
                try collect(buffer, base: base, chunk, onReply, onError)
            }
        }
    }

    /// Sends one request and waits for its acknowledgement.
    ///
    /// - Throws: the kernel's answer.
    public func perform(_ request: Request) throws(KernelError) {
        let batch = Batch(capacity: 4096)
        batch.append(request)
        var failure: KernelError?
        try transact(batch) { failure = $1 }
        if let failure { throw failure }
    }

    /// Requests that leave together. Those without bytes are between the others and count for nothing.
    struct Chunk {
        let first: Int
        var upperBound: Int
        /// The last request with bytes, if any.
        var last: Int?
    }

    /// - Precondition: `first` is a position of the batch.
    func nextChunk(of batch: Batch, from first: Int, _ onError: (Int, KernelError) -> Void) -> Chunk {
        var chunk = Chunk(first: first, upperBound: first)
        let start = batch.starts[first]
        while chunk.upperBound < min(first + Self.chunkLimit, batch.count) {
            let position = chunk.upperBound
            let end = batch.end(of: position)
            // Of two that leave together the first waits for the next chunk where the second has no place.
            let together = batch.joined.contains(position) ? min(position + 1, batch.count - 1) : position
            let isFull = batch.end(of: together) - start > Self.chunkBytes || together - first >= Self.chunkLimit
            if chunk.last != nil, isFull { break }
            if end == batch.starts[position] {
                onError(position, KernelError(code: EMSGSIZE, message: "the request does not fit a netlink message"))
            } else {
                chunk.last = position
            }
            chunk.upperBound += 1
        }
        return chunk
    }

    /// Writes sequence numbers, one for each position, and asks for an acknowledgement of the last.
    private func stamp(_ batch: Batch, _ positions: Range<Int>, last: Int) -> UInt32 {
        let base = reserveSequence(positions.count)
        for position in positions where batch.end(of: position) > batch.starts[position] {
            let offset = UInt32(truncatingIfNeeded: position - positions.lowerBound)
            batch.header(at: position).pointee.nlmsg_seq = base &+ offset
        }
        batch.header(at: last).pointee.nlmsg_flags |= UInt16(NLM_F_ACK)
        return base
    }

    /// Reads answers up to the one to the last request.
    private func collect(
        _ buffer: UnsafeMutableRawBufferPointer, base: UInt32, _ chunk: Chunk, _ onReply: (Int, Report) -> Void,
        _ onError: (Int, KernelError) -> Void
    ) throws(KernelError) {
        let count = chunk.upperBound - chunk.first
        while true {
            let length = try channel.receive(into: buffer, timeout: Self.answerTimeout)
            for message in MessageReader(UnsafeRawBufferPointer(rebasing: buffer[..<length])) {
                // Answers to earlier requests, whose reader gave up, have other numbers.
                let offset = Int(message.header.nlmsg_seq &- base)
                guard offset < count else { continue }
                let position = chunk.first + offset
                if message.isStatus {
                    if let error = message.error { onError(position, error) }
                    if position == chunk.last { return }
                } else if let report = Report.decode(type: message.type, payload: message.payload) {
                    onReply(position, report)
                }
            }
        }
    }
}

extension Batch {
    /// The header of a request that has bytes.
    fileprivate func header(at position: Int) -> UnsafeMutablePointer<nlmsghdr> {
        (storage + starts[position]).assumingMemoryBound(to: nlmsghdr.self)
    }

    fileprivate func bytes(of positions: Range<Int>) -> UnsafeRawBufferPointer {
        let start = starts[positions.lowerBound]
        return UnsafeRawBufferPointer(start: storage + start, count: end(of: positions.upperBound - 1) - start)
    }
}
