/// Waits until a condition holds, by letting other tasks go on. A test that waits for ever is ended by its time limit.
func until(_ condition: () -> Bool) async throws {
    while !condition() {
        try Task.checkCancellation()
        await Task.yield()
    }
}
