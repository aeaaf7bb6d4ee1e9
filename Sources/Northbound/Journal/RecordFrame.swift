internal import Concurrency

/// Records one after the other: length, hash and content of each, the numbers in little-endian order.
enum RecordFrame {
    /// Bytes before the content: 4 of its length, 8 of its FNV-1a hash.
    static let headSize = 12

    /// A record with this content, of less than 4 GiB.
    static func encode(_ payload: [UInt8]) -> [UInt8] {
        var record: [UInt8] = []
        record.reserveCapacity(headSize + payload.count)
        append(UInt64(payload.count), bytes: 4, to: &record)
        append(FNV1a.hash64(payload), bytes: 8, to: &record)
        return record + payload
    }

    private static func append(_ number: UInt64, bytes: Int, to record: inout [UInt8]) {
        for index in 0..<bytes { record.append(UInt8(truncatingIfNeeded: number >> (8 * UInt64(index)))) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// What reading found.
    struct Outcome {
        /// Bytes of whole records, with what comes before the first.
        var length: Int
        /// Whether something follows that is more than a record that was being written.
        var isDamaged = false
    }

    /// Reads records until one is not whole.
    ///
    /// - Parameters:
    ///   - start: bytes before the first record.
    ///   - limit: the most bytes that a record has.
    ///   - take: takes a record's content; false: it can't be read.
    static func read(
        _ bytes: [UInt8], behind start: Int, limit: Int, take: (ArraySlice<UInt8>) -> Bool
    ) -> Outcome {
        var outcome = Outcome(length: min(start, bytes.count))
        var rest = bytes[...].dropFirst(start)
        while rest.count >= headSize {
            let size = number(rest.prefix(4))
            let hash = number(rest.dropFirst(4).prefix(8))
            let payload = rest.dropFirst(headSize)
            guard size <= payload.count else {
                outcome.isDamaged = size > limit
                break
            }
            let body = payload.prefix(Int(size))
            guard FNV1a.hash64(body) == hash else {
                // Of what was written last, blocks that never reached the disk are zero.
                outcome.isDamaged = payload.dropFirst(Int(size)).contains { $0 != 0 }
                break
            }
            guard take(body) else {
                outcome.isDamaged = true
                break
            }
            outcome.length += headSize + Int(size)
            rest = payload.dropFirst(Int(size))
        }
        return outcome
    }
}
