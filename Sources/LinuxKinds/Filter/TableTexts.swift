internal import Netlink

/// What the kernel makes of the texts of users, as learned in a scratch namespace: each text once.
final class TableTexts {
    private var known: [String: Result<TableText, ProgramError>] = [:]
    /// Bytes of the texts that are remembered, and the most of them.
    private var size = 0
    private static let mostBytes = 64 << 20

    /// The kernel's form of a table.
    ///
    /// - Parameters:
    ///   - source: `table … { … }` in the language of nft.
    ///   - devices: links that nft has to find.
    /// - Throws: what nft says of it; and when it is not exactly this table.
    func text(
        of source: String, _ id: FilterTable.ID, devices: Set<String>, _ programs: Programs
    ) throws(ProgramError) -> TableText {
        if let result = known[source] { return try result.get() }
        let result: Result<TableText, ProgramError>
        do throws(ProgramError) {
            result = .success(try learn(source, id, devices, programs))
        } catch {
            // Only what nft says of the text is true the next time, too.
            guard case .refused = error else { throw error }
            result = .failure(error)
        }
        if size > Self.mostBytes {
            known.removeAll()
            size = 0
        }
        size += 2 * source.utf8.count
        known[source] = result
        return try result.get()
    }

    private func learn(
        _ source: String, _ id: FilterTable.ID, _ devices: Set<String>, _ programs: Programs
    ) throws(ProgramError) -> TableText {
        let scratch: NetworkNamespace
        do throws(KernelError) {
            scratch = try programs.scratch(with: devices)
        } catch {
            throw .notStarted(
                .nft, what: "it needs an empty network namespace to try rules in, which takes CAP_SYS_ADMIN",
                "\(error)")
        }
        do throws(ProgramError) {
            try programs.run(.nft, ["-f", "-"], input: "flush ruleset\n" + source, in: scratch)
        } catch {
            throw error.placed(behind: 1 + FilterTableValue.leadingLines)
        }
        let listing = try programs.run(.nft, ["-s", "list", "ruleset"], in: scratch)
        guard let text = TableText(listing: listing, of: id) else {
            throw .refused(.nft, words: "the ruleset is not the inside of one table")
        }
        return text
    }
}
