internal import Concurrency
internal import Glibc
internal import Netlink

/// The programs that a world runs, and an empty namespace to learn from them what a text means to the kernel.
final class Programs {
    private var scratch: Scratch?
    /// How many were started, for the promise that what is unchanged costs none.
    private(set) var runs = 0
    /// Runs that took too long, and until when they are not tried again.
    private var slow: [Run: Pause] = [:]
    /// The number of the last one, which is the port number of its netlink socket, too.
    private(set) var lastProcess: pid_t = 0

    /// Runs a program and waits for it: what it wrote.
    ///
    /// - Parameter namespace: where; nil: where we are.
    /// - Throws: also when the program says no, with its words; and without running it when the same run took too long a short
    ///   while ago.
    @discardableResult
    func run(
        _ program: Program, _ arguments: [String], input: String = "", in namespace: NetworkNamespace?,
        limits: ConfinedProgram.Limits? = nil
    ) throws(ProgramError) -> String {
        // Each time anew: what it may read is known by inode, and an upgrade puts other files in their places.
        let confined = try ConfinedProgram(program)
        let run = Run(program: program, arguments: arguments, input: input.hashValue, namespace: namespace?.identity)
        let now = Self.seconds()
        if let pause = slow[run], now < pause.end { throw .tookTooLong(program, seconds: pause.seconds) }
        runs += 1
        let result: ProgramResult
        do throws(ProgramError) {
            result = try confined.run(
                arguments, input: input, in: namespace, limits: limits ?? .init(for: input)
            ) { lastProcess = $0 }
        } catch {
            if case .tookTooLong(_, let seconds) = error { pause(run, seconds, from: now) }
            throw error
        }
        if !slow.isEmpty { slow[run] = nil }
        guard result.status == 0 else {
            throw .refused(program, words: result.words.trimmingSpace)
        }
        return result.output
    }

    // MARK: - Backing off

    /// All that says what a program does.
    private struct Run: Hashable {
        var program: Program
        var arguments: [String]
        var input: Int
        var namespace: NetworkNamespace.Identity?
    }

    private struct Pause {
        var end: Int
        var length: Int
        /// How long the program was waited for.
        var seconds: Int32
    }

    /// While a program runs nothing else is done. So one that takes too long may take no more than a tenth of the time.
    private func pause(_ run: Run, _ seconds: Int32, from now: Int) {
        slow = slow.filter { $0.value.end + $0.value.length > now }
        let length = min(max(10 * Int(seconds), 2 * (slow[run]?.length ?? 0), 1), Self.longestPause)
        slow[run] = Pause(end: Self.seconds() + length, length: length, seconds: seconds)
    }

    private static let longestPause = 600

    private static func seconds() -> Int { Int(SteadyClock.monotonic / 1_000_000_000) }

    // MARK: - Learning

    /// An empty network namespace that nobody else knows, to load a text in and to see what the kernel makes of it.
    ///
    /// - Parameter devices: names of links that the text has to find there. Dummies stand for them.
    /// - Throws: `EPERM` without `CAP_SYS_ADMIN`, with which a namespace is made.
    func scratch(with devices: Set<String> = []) throws(KernelError) -> NetworkNamespace {
        // Many names come together in the course of time.
        if let scratch, scratch.devices.count + devices.count > Scratch.mostDevices { forgetScratch() }
        var place = try current()
        try place.add(devices)
        scratch = place
        return place.namespace
    }

    private func current() throws(KernelError) -> Scratch {
        if let scratch { return scratch }
        return try Scratch()
    }

    /// What was loaded in the scratch namespace is not to be relied on any more.
    func forgetScratch() { scratch = nil }
}

private struct Scratch {
    static let mostDevices = 256

    let namespace: NetworkNamespace
    private(set) var devices: Set<String> = ["lo"]

    init() throws(KernelError) { namespace = try NetworkNamespace.scratch() }

    mutating func add(_ names: Set<String>) throws(KernelError) {
        let missing = names.subtracting(devices)
        if missing.isEmpty { return }
        let socket = try RouteSocket(in: namespace)
        for name in missing.sorted() {
            var attributes = LinkAttributes(index: 0)
            attributes.name = name
            attributes.kind = .dummy
            do throws(KernelError) {
                try socket.perform(.createLink(attributes, echo: false))
            } catch {
                // Not every kernel has dummies; any link will do.
                guard error.code == EOPNOTSUPP else { throw error }
                attributes.kind = .bridge(BridgeAttributes())
                try socket.perform(.createLink(attributes, echo: false))
            }
            devices.insert(name)
        }
    }
}

extension String {
    /// Without the white space at its ends.
    var trimmingSpace: String {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }
}
