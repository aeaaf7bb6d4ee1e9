import Testing

@testable import Model

@Suite("qdiscs in files")
struct QdiscTests {
    private func qdisc(_ set: (inout Nsmagent_Linux_Qdisc) -> Void) -> ModelValue {
        var message = Nsmagent_Linux_Qdisc()
        message.interface = "eth0"
        set(&message)
        return .qdisc(message)
    }

    private func findings(_ set: (inout Nsmagent_Linux_Qdisc) -> Void) -> [String] {
        qdisc(set).checked().findings.map(\.description)
    }

    private func bucket(_ rate: String, _ burst: String, latency: String = "", limit: String = "")
        -> (inout Nsmagent_Linux_Qdisc) -> Void
    {
        { message in
            (message.tbf.rate, message.tbf.burst) = (rate, burst)
            (message.tbf.latency, message.tbf.limit) = (latency, limit)
        }
    }

    /// What tc(8) makes of the same texts.
    @Test(
        "rates in the units of tc(8)",
        arguments: [
            ("8", 1), ("80", 10), ("1kbit", 125), ("1Kibit", 128), ("10mbit", 1_250_000), ("1.5gbit", 187_500_000),
            ("100kbps", 100_000), ("1mibps", 1 << 20), ("0.1mbit", 12_500), ("1tbit", 125_000_000_000), ("7bps", 7),
        ] as [(String, UInt64)])
    func rates(_ text: String, _ bytes: UInt64) {
        #expect(TrafficUnits.rate(text) == bytes)
        #expect(TrafficUnits.rate(TrafficUnits.text(rate: bytes)) == bytes)
    }

    @Test(
        "sizes in the units of tc(8)",
        arguments: [
            ("1600", 1600), ("1600b", 1600), ("32k", 32768), ("32kb", 32768), ("1.5m", 1_572_864), ("1gb", 1 << 30),
            ("8kbit", 1024), ("8mbit", 1 << 20),
        ] as [(String, UInt64)])
    func sizes(_ text: String, _ bytes: UInt64) {
        #expect(TrafficUnits.size(text) == bytes)
        #expect(TrafficUnits.size(TrafficUnits.text(size: bytes)) == bytes)
    }

    @Test(
        "times in the units of tc(8)",
        arguments: [
            ("50ms", 50_000_000), ("400us", 400_000), ("400", 400_000), ("1.5s", 1_500_000_000), ("7ns", 7),
            ("0.5usec", 500),
        ] as [(String, UInt64)])
    func times(_ text: String, _ nanoseconds: UInt64) {
        #expect(TrafficUnits.time(text) == nanoseconds)
        #expect(TrafficUnits.time(TrafficUnits.text(time: nanoseconds)) == nanoseconds)
    }

    @Test(
        "shares are rounded as by tc(8)",
        arguments: [
            ("0.5%", 21_474_836), ("1%", 42_949_673), ("25%", 1 << 30), ("100%", .max), ("0%", 0), ("0.1%", 4_294_967),
        ] as [(String, UInt32)])
    func shares(_ text: String, _ share: UInt32) {
        #expect(TrafficUnits.share(text) == share)
        #expect(TrafficUnits.text(share: share) == text)
    }

    @Test("any share is written so that it reads back as the same")
    func anyShare() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<1000 {
            let share = UInt32.random(in: 0...UInt32.max, using: &generator)
            #expect(TrafficUnits.share(TrafficUnits.text(share: share)) == share)
        }
    }

    @Test(
        "what is not a number with a unit is nothing",
        arguments: [
            "", "mbit", ".", "1..5mbit", "1e3", "-1mbit", "10 mbit", "10mbyte", "99999999999999999999mbit",
            "18446744073709551615tbit", "0.0000000001mbit", "1٣mbit",
        ])
    func nothing(_ text: String) {
        #expect(TrafficUnits.rate(text) == nil)
        #expect(TrafficUnits.size(text.replacing("mbit", with: "mb")) == nil || text == "10mbyte")
        #expect(TrafficUnits.time(text.replacing("mbit", with: "s")) == nil || text.hasPrefix("18446744"))
        #expect(TrafficUnits.share("101%") == nil)
    }

    @Test("a latency is the size of what may wait")
    func latency() {
        guard case .qdisc(let spec) = qdisc(bucket("10mbit", "32kb", latency: "50ms")).checked().specification else {
            Issue.record("no specification")
            return
        }
        // What tc(8) sends for it.
        #expect(spec.kind == .tokenBucket(.init(rate: 1_250_000, burst: 32768, limit: 95268)))
    }

    @Test("what can't be said of a qdisc is told")
    func mistakes() {
        #expect(findings(bucket("10mbit", "32kb", latency: "50ms")) == [])
        #expect(findings { _ in } == ["tbf is missing; give the interface one of tbf, fq_codel, netem and police"])
        #expect(
            findings {
                bucket("10mbit", "32kb", latency: "50ms")(&$0)
                $0.netem = .init()
            } == ["netem can't be set together with tbf: an interface has one root qdisc"])
        #expect(
            findings(bucket("fast", "much", limit: "1b")) == [
                "tbf.rate 'fast' is not a rate, such as 10mbit, 1.5gbit or 100kbps",
                "tbf.burst 'much' is not a size, such as 1600, 32kb or 1mb",
            ])
        #expect(
            findings(bucket("", "")) == [
                "tbf.rate is missing; give it a rate, such as 10mbit",
                "tbf.burst is missing; give it a size, such as 32kb",
                "tbf.latency is missing; give it a time, or limit a size",
            ])
        #expect(
            findings(bucket("1gbit", "1kb", latency: "1s", limit: "1mb")) == [
                "tbf.latency can't be set together with limit"
            ])
        #expect(
            findings(bucket("100gbit", "1kb", latency: "1s")) == [
                "tbf.latency '1s' is too long: more than 4 GiB would wait at this rate"
            ])
        #expect(findings(bucket("7", "1kb", limit: "1mb")) == ["tbf.rate '7' is less than 8bit, the smallest rate"])
        #expect(
            findings(bucket("1kbit", "64kb", limit: "1mb")) == ["tbf.burst '64kb' takes longer than 274s at this rate"])
        #expect(findings(bucket("1kbit", "32kb", limit: "1mb")) == [])
        #expect(
            findings {
                $0.netem.delay = "3s"
                $0.netem.jitter = "2148ms"
            } == ["netem.jitter '2148ms' is longer than 2147ms, the most that the kernel takes"])
        #expect(
            findings { $0.fqCodel.memoryLimit = "2.1gb" } == [
                "fq_codel.memory_limit '2.1gb' is more than 2gb, the most that the kernel takes"
            ])
        #expect(findings { $0.fqCodel.memoryLimit = "2gb" } == [])
        #expect(findings { $0.netem.jitter = "1ms" } == ["netem.jitter '1ms' needs delay"])
        #expect(
            findings { $0.netem.loss = "half" } == [
                "netem.loss 'half' is not a share between 0% and 100%, such as 0.5%"
            ])
        #expect(
            findings { $0.fqCodel.target = "1ns" } == [
                "fq_codel.target '1ns' is not between 1us and 4294s in whole microseconds"
            ])
        #expect(
            findings { $0.fqCodel.flows = 70_000 } == ["fq_codel.flows '70000' is out of range (0–65536)"])
    }

    @Test("a limit for what arrives has its own key, and stands alone")
    func police() {
        func police(_ rate: String, _ burst: String) -> (inout Nsmagent_Linux_Qdisc) -> Void {
            { ($0.police.rate, $0.police.burst) = (rate, burst) }
        }
        let value = qdisc(police("10mbit", "32kb"))
        #expect(value.key == "config/nsmagent/linux/v1/qdisc/eth0/ingress")
        guard case .qdisc(let spec) = value.checked().specification else {
            Issue.record("no specification")
            return
        }
        #expect(spec.kind == .police(.init(rate: 1_250_000, burst: 32768)))
        #expect(Nsmagent_Linux_Qdisc(spec.kind).police.rate == "10mbit")
        #expect(
            findings(police("", "")) == [
                "police.rate is missing; give it a rate, such as 10mbit",
                "police.burst is missing; give it a size, such as 32kb",
            ])
        #expect(
            findings(police("100gbit", "100b")) == [
                "police.burst '100b' is less than what arrives in 64ns at this rate"
            ])
        #expect(
            findings(police("1kbit", "64kb")) == ["police.burst '64kb' is more than what arrives in 274s at this rate"])
        #expect(
            findings {
                bucket("10mbit", "32kb", latency: "50ms")(&$0)
                police("10mbit", "32kb")(&$0)
            } == ["police can't be set together with tbf: give police an item of its own"])
    }

    @Test("the key is that of the interface")
    func keys() {
        #expect(qdisc { _ in }.key == "config/nsmagent/linux/v1/qdisc/eth0/root")
    }
}
