import Glibc
import Testing

@testable import Agent

/// Two ends of a cable between the host and a pod.
let pods = """
    linuxConfig:
      namespaces:
        - name: pod
      interfaces:
        - {name: left, type: VETH, hostIfName: left0, enabled: true, mtu: 1450, ipAddresses: [10.1.0.1/30], veth: {peerIfName: right}}
        - name: right
          type: VETH
          namespace: {type: NSID, reference: pod}
          hostIfName: eth0
          enabled: true
          mtu: 1450
          ipAddresses: [10.1.0.2/30]
          veth: {peerIfName: left}
      routes:
        - {outgoingInterface: right, dstNetwork: 0.0.0.0/0, gwAddr: 10.1.0.1}
    """

@Suite("One-shot commands", .enabled(if: Host.isAvailable, Comment(rawValue: Host.reason)))
struct OneShotTests {
    @Test("check: silent about good files, exact about bad ones")
    func check() throws {
        let host = try Host()
        let good = try host.write("good.yaml", pods)
        let result = try host.agent("check", good)
        #expect(result.status == 0)
        #expect(result.output == "1 file, 4 values: no mistakes.\n")
        let bad = try host.write("bad.yaml", "linuxConfig:\n  interfaces:\n    - {name: a, type: VETH, mtu: many}\n")
        let failure = try host.agent("check", bad)
        #expect(failure.status == 65)
        #expect(failure.errors.contains("bad.yaml:3:"))
        #expect(failure.output.isEmpty)
        let json = try host.agent("check", "-o", "json", bad)
        #expect(json.status == 65)
        #expect(json.output.contains("\"valid\": false"))
        #expect(try host.agent("check", "-", input: pods).status == 0)
    }

    @Test("usage errors are 64 and say what to do")
    func usage() throws {
        let host = try Host()
        for arguments in [["apply"], ["delete"], ["nonsense"], ["apply", "--confirm", "0", "x"]] {
            let result = try host.start(arguments).finish()
            #expect(result.status == 64, "\(arguments)")
            #expect(result.errors.hasPrefix("nsm-agent: "), "\(result.errors)")
        }
        #expect(try host.agent("delete").errors.contains("delete --all"))
        #expect(try host.agent("--version").output.hasPrefix("nsm-agent \(Version.text) ("))
        #expect(try host.agent("plan", "--protocol", "4", "x").status == 64)
    }

    @Test("plan, apply, apply again, change, delete")
    func wayOfAConfiguration() throws {
        let host = try Host()
        let file = try host.write("pods.yaml", pods)
        let plan = try host.agent("plan", file)
        #expect(plan.status == 0)
        #expect(plan.output.contains("+ namespace pod"))
        #expect(plan.output.contains("Plan: "))
        #expect(try host.agent("plan", "--detailed-exitcode", file).status == 2)
        #expect(try !host.ip("link").contains("left0"))

        let first = try host.agent("apply", file)
        #expect(first.status == 0, "\(first.errors)")
        #expect(first.output.hasPrefix("Applied in "))
        #expect(try host.shell("ping -q -c1 -W2 10.1.0.2").status == 0)
        let second = try host.agent("apply", file)
        #expect(second.status == 0)
        #expect(
            second.output.hasPrefix("Nothing to do: ") && second.output.hasSuffix(" values in place.\n"),
            "\(second.output)")
        #expect(try host.agent("plan", "--detailed-exitcode", file).status == 0)

        let changed = try host.write("pods.yaml", String(pods.split(separator: "1450").joined(separator: "1400")))
        let difference = try host.agent("plan", changed)
        #expect(difference.output.contains("mtu 1450 → 1400"), "\(difference.output)")
        #expect(try host.agent("apply", changed).status == 0)
        #expect(try host.ip("link show left0").contains("mtu 1400"))

        let removal = try host.agent("delete", "--all", "--yes")
        #expect(removal.status == 0)
        #expect(try !host.ip("link").contains("left0"))
        #expect(try !host.ip("netns").contains("pod"))
    }

    @Test("pending values are waited for and named")
    func pending() throws {
        let host = try Host()
        let file = try host.write(
            "route.yaml", "linuxConfig: {routes: [{outgoingInterface: nothing0, dstNetwork: 10.9.0.0/16}]}\n")
        let result = try host.agent("apply", "--timeout", "200ms", file)
        #expect(result.status == 1)
        #expect(result.errors.contains("nothing0"), "\(result.errors)")
        #expect(result.output.contains("1 pending"))
        let waiting = try host.start(["apply", "--timeout", "20", file])
        #expect(try host.eventually { try host.isWatched() })
        try host.ip("link add nothing0 type veth peer name nothing1")
        try host.ip("link set nothing0 up")
        try host.ip("link set nothing1 up")
        let outcome = waiting.finish()
        #expect(outcome.status == 0, "\(outcome.errors)\(outcome.output)")
        #expect(try host.ip("route").contains("10.9.0.0/16 dev nothing0"))
    }

    @Test("an unconfirmed apply is undone, a confirmed one stays")
    func confirm() throws {
        let host = try Host()
        let file = try host.write("pods.yaml", pods)
        let lost = try host.agent("apply", "--confirm", "300ms", file)
        #expect(lost.status == 1)
        #expect(lost.errors.contains("not confirmed"), "\(lost.errors)")
        #expect(try !host.ip("link").contains("left0"))
        let waiting = try host.start(["apply", "--confirm", "20", file])
        #expect(waiting.waitForErrors("to keep these changes"))
        let confirmation = try host.agent("confirm")
        #expect(confirmation.status == 0, "\(confirmation.errors)")
        #expect(waiting.finish().status == 0)
        #expect(try host.ip("link").contains("left0"))
        #expect(try host.agent("confirm").status == 69)
    }

    @Test("a signal undoes what waits for confirmation", arguments: [SIGINT, SIGTERM, SIGQUIT])
    func interruptedConfirmation(signal: Int32) throws {
        let host = try Host()
        let waiting = try host.start(["apply", "--confirm", "60", try host.write("pods.yaml", pods)])
        #expect(waiting.waitForErrors("to keep these changes"))
        let outcome = waiting.end(signal)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("not confirmed: everything was undone"), "\(outcome.errors)")
        #expect(try !host.ip("link").contains("left0"))
    }

    @Test("a signal undoes what waits for its last values, if failures do")
    func interruptedWait() throws {
        let host = try Host()
        let route = "    - {outgoingInterface: nothing0, dstNetwork: 10.9.0.0/16}\n"
        let waiting = try host.start(
            ["apply", "--revert-on-failure", "--timeout", "60", try host.write("pods.yaml", pods + "\n" + route)])
        #expect(try host.eventually { try host.isWatched() })
        let outcome = waiting.end(SIGTERM)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("interrupted: everything was undone"), "\(outcome.errors)")
        #expect(outcome.output.hasPrefix("Undone"), "\(outcome.output)")
        #expect(try !host.ip("link").contains("left0"))
    }

    @Test("what export writes, apply finds in place")
    func export() throws {
        let host = try Host()
        #expect(try host.agent("apply", try host.write("pods.yaml", pods)).status == 0)
        let exported = try host.agent("export")
        #expect(exported.status == 0, "\(exported.errors)")
        let again = try host.agent("apply", try host.write("exported.yaml", exported.output))
        #expect(again.output.hasPrefix("Nothing to do"), "\(exported.output)\(again.output)\(again.errors)")
    }

    @Test("without capabilities: 77 and their names")
    func privileges() throws {
        let host = try Host()
        let file = try host.write("pods.yaml", pods)
        let program = Host.program ?? ""
        let result = try host.shell(
            "setpriv --bounding-set -all --inh-caps -all --ambient-caps -all \(program) apply \(file)")
        #expect(result.status == 77)
        #expect(result.errors.contains("CAP_NET_ADMIN"), "\(result.errors)")
        #expect(try host.shell("setpriv --bounding-set -all \(program) check \(file)").status == 0)
    }

    @Test("explain and schema")
    func documentation() throws {
        let host = try Host()
        #expect(try host.agent("explain", "linux.l3.route.metric").status == 0)
        #expect(try host.agent("explain", "linux.l3.rout").status == 64)
        #expect(try host.agent("schema").output.hasPrefix("{"))
    }
}
