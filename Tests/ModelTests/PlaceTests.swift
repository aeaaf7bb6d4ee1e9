import Testing

@testable import Model

@Suite("places in texts that programs read") struct PlaceTests {
    @Test("what is wrong in a ruleset is shown in its line of the file, and lines are found later, too")
    func places() throws {
        func text(_ style: String, _ indentation: String = "      ") -> String {
            "linuxConfig:\n  nftables:\n    - name: t\n      ruleset: \(style)\n\n"
                + ["chain c {", "  accept", "}", "}"].map { "\(indentation)  \($0)\n" }.joined()
        }
        #expect(
            mistakes(text("|")) == [
                "f.yaml:9:9: nsmagent.linux.nftables 't': ruleset line 5, column 1: this '}' closes the table; "
                    + "a ruleset is the inside of one table"
            ])
        // Its lines are not those of the file.
        #expect(mistakes(text(">")).first?.hasPrefix("f.yaml:4:16: ") == true)
        let good = load(text("|").replacing("        }\n        }\n", with: "        }\n") + "        # last\n")
        guard case .filterTable(let spec)? = good.items.first?.specification else {
            Issue.record("\(good.mistakes)")
            return
        }
        #expect(spec.places?.position(line: 3, column: 3).map(\.description) == "f.yaml:7:11")
        #expect(spec.places?.position(line: 40, column: 3) == nil)
        // A block in a block.
        let object = """
            apiVersion: pantheon.tech/v1
            kind: CNFConfiguration
            spec:
              microservice: default
              configItems:
                - module: nsmagent.linux
                  type: nftables
                  version: v1
                  data: |
                    name: t
                    ruleset: |
                      chain c { }
                      nonsense
            """
        #expect(mistakes(object).first?.hasPrefix("f.yaml:13:11: ") == true, "\(mistakes(object))")
    }

    @Test("rules of a chain are found in the file")
    func rulePlaces() throws {
        let config = load(
            linux("RuleChain", "name: a\n      chainType: INPUT\n      rules:\n      - -j ACCEPT\n\n      - -j DROP"))
        guard case .ruleChain(let spec)? = config.items.first?.specification else {
            Issue.record("\(config.mistakes)")
            return
        }
        #expect((0...2).map { spec.places?.position(element: $0)?.description } == ["f.yaml:6:9", "f.yaml:8:9", nil])
    }

    @Test("a line that says nothing moves the places of those behind it, though the value is the same")
    func moved() throws {
        var set = ConfigSet()
        func place(_ text: String) throws -> String? {
            set.set(Array(text.utf8).withUnsafeBytes { ConfigText($0, name: "f.yaml", label: "default", names: .none) })
            let changed = set.settle().changed
            guard case .ruleChain(let spec)? = changed.first?.specification else { return nil }
            return spec.places?.position(element: 1)?.description
        }
        let chain = "name: a\n      chainType: INPUT\n      rules:\n      - -j ACCEPT\nX      - -j DROP"
        #expect(try place(linux("RuleChain", chain.replacing("X", with: ""))) == "f.yaml:7:9")
        #expect(try place(linux("RuleChain", chain.replacing("X", with: "      # why\n"))) == "f.yaml:8:9")
    }
}
