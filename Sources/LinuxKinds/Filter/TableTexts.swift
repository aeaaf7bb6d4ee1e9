internal import Netlink

/// What the kernel makes of the texts of users, as learned in a scratch namespace: each text once.
final class TableTexts {
    /// What a text means depends on the family; neither on the name of the table nor on whose it is.
    private struct Source: Hashable {
        var family: FilterTable.Family
        var inside: String
    }

    private var known: [Source: Result<TableText, ProgramError>] = [:]
    /// Bytes of the texts that are remembered, and the most of them.
    private var size = 0
    private static let mostBytes = 64 << 20

    /// The kernel's form of the inside of a table.
    ///
    /// - Parameter devices: links that nft has to find.
    /// - Throws: what nft says of it; and when it is not the inside of exactly one table.
    func text(
        of inside: String, family: FilterTable.Family, devices: Set<String>, _ programs: Programs
    ) throws(ProgramError) -> TableText {
        let source = Source(family: family, inside: inside)
        if let result = known[source] { return try result.get() }
        let result: Result<TableText, ProgramError>
        do throws(ProgramError) {
            result = .success(try learn(source, devices, programs))
        } catch {
            // Only what nft says of the text is true the next time, too; what the kernel says may be another thing then.
            guard error.isAboutText else { throw error }
            result = .failure(error)
        }
        if size > Self.mostBytes {
            known.removeAll()
            size = 0
        }
        size += 2 * inside.utf8.count + ((try? result.get().byteCount) ?? 0)
        known[source] = result
        return try result.get()
    }

    private func learn(
        _ source: Source, _ devices: Set<String>, _ programs: Programs
    ) throws(ProgramError) -> TableText {
        let scratch: NetworkNamespace
        do throws(KernelError) {
            scratch = try programs.scratch(with: devices)
        } catch {
            throw .notStarted(
                .nft, what: "it needs an empty network namespace to try rules in, which takes CAP_SYS_ADMIN",
                "\(error)")
        }
        let id = FilterTable.ID(source.family, "t")
        do throws(ProgramError) {
            let input = "flush ruleset\n\(id) {\n\(source.inside)}\n"
            try programs.run(.nft, ["-f", "-"], input: input, in: scratch)
        } catch {
            throw error.placed(behind: 2)
        }
        let listing = try programs.run(.nft, ["-s", "list", "ruleset"], in: scratch)
        guard let text = TableText(listing: listing, of: id) else {
            throw .refused(.nft, words: "the ruleset is not the inside of one table")
        }
        return text
    }
}
