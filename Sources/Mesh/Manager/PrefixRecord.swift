internal import LinuxKinds
internal import Logging
internal import NSM
internal import Netlink

/// Keeps on the disk whose shared prefixes were whose, so that after a start of ours, while their owners are on their way back, nobody
/// else gets them.
///
/// It holds over a start of the machine, too: endpoints of other hosts go on meanwhile.
struct PrefixRecord: Sendable {
    let book: PrefixBook
    private let file: RecordFile?
    private let logger: Logger
    /// How soon it is written again.
    private static let pace = Duration.milliseconds(200)

    /// Reads what there is.
    ///
    /// - Parameter directory: Where it is; nil: nowhere.
    init(directory: String?, logger: Logger) {
        self.logger = logger
        var file = directory.map { RecordFile(title: "shared prefixes 1", directory: $0, isOfOneBoot: false) }
        book = PrefixBook((file?.open(named: "prefixes") ?? []).map { RecordFile.words($0) })
        self.file = file
    }

    /// Writes it whenever it changed, until the task is cancelled.
    func run() async {
        guard let file else { return }
        var told = ""
        for await _ in book.changes {
            do throws(KernelError) {
                try file.write(book.lines.map { RecordFile.line($0) })
                told = ""
            } catch {
                let text = "\(error)"
                if text != told {
                    logger.warning("whose prefixes are whose is not kept", metadata: ["error": "\(text)"])
                }
                told = text
            }
            guard (try? await Task.sleep(for: Self.pace)) != nil else { return }
        }
    }
}
