internal import Logging
internal import Northbound
internal import Reconciler

extension Engine {
    /// How long files wait at the start for what other sources declare, so that both are made at once.
    private static var patience: Duration { .seconds(3) }

    /// Whether files that were read are to wait for what other sources declare.
    var waitsForSources: Bool {
        // A file with mistakes says nothing however long one waits.
        !isPatienceOver && !network.awaitedSources.subtracting([Self.initialSource]).isEmpty
    }

    /// Whether files were read of which nothing is made yet, as other sources have not answered.
    var waitsAtStart: Bool { hasWaitingFiles && !loop.isInForce }

    /// Takes in that a source has said all that it declares. Returns whether it was the first time.
    func noteDelivery(of source: String) -> Bool {
        guard network.awaitedSources.remove(source) != nil else { return false }
        sourceWarnings[source] = nil
        return true
    }

    /// Goes on without the sources that do not say what they declare. Nothing is removed that may be theirs.
    nonisolated func endPatience() async {
        // A task that sleeps has a timer of the system's pool wake the process each second from then on.
        guard await isAwaitingSources() else { return }
        // Who stops changes nothing any more.
        do { try await Task.sleep(for: Self.patience) } catch { return }
        await goOnWithoutSources()
    }

    private func isAwaitingSources() -> Bool { !network.awaitedSources.isEmpty }

    private func goOnWithoutSources() {
        isPatienceOver = true
        let missing = network.awaitedSources.sorted()
        for source in missing where sourceWarnings[source] == nil {
            sourceWarnings[source] = "\(source) has not answered yet; what it may have declared before stays"
        }
        guard hasWaitingFiles, !loop.isInForce else { return }
        hasWaitingFiles = false
        logger.warning(
            "the files go first", metadata: ["missing": "\(missing.joined(separator: ", "))"])
        declareRestored()
        loop.isInForce = true
        take(loop.readAndReconcile(reason: .files))
        manager.ready(statusLine())
    }

    /// Yields when an operator accepts what the sources hold, even if they lost data.
    public nonisolated func acceptances() -> AsyncStream<Void> { acceptance.stream }

    /// What is to be said of a source in the status; nil: nothing any more.
    public func note(_ source: String, _ warning: String?) { sourceWarnings[source] = warning }
}
