import NSM
import Testing

@Suite("Those who stop to watch")
struct CancelledWatcherTests {
    @Test("an event and the end of who waits for it never wait for each other", .timeLimit(.minutes(10)))
    func cancelled() async {
        let monitor = ConnectionMonitor()
        let telling = Task {
            var connection = NSMConnection()
            connection.id = "c"
            monitor.update(connection, owner: PeerIdentity(unproven: "a"))
            while !Task.isCancelled {
                for state in [NSMState.down, .up] { monitor.setState(state, of: "c") }
                await Task.yield()
            }
        }
        for _ in 0..<20_000 {
            let watching = Task { for await _ in monitor.watch(NSMMonitorScopeSelector()) {} }
            await Task.yield()
            watching.cancel()
            await watching.value
        }
        telling.cancel()
        await telling.value
    }
}
