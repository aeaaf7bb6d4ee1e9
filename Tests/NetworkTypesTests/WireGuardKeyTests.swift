import NetworkTypes
import Testing

struct SecretHolder {
    let key: WireGuardSecret
    let others: [WireGuardSecret?]
}

@Suite("keys of WireGuard")
struct WireGuardKeyTests {
    private static let texts = [
        "nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHs=", "se19BmIZ096vj0p13JTyRvgq3JfVqHsXvkxc0yCXDn8=",
        "X0KTBM/WHFN4z2QDT5ylG6s/sg6dpiPZ8KiTymq+7wQ=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ]

    @Test("public keys are read and written as wg(8) does", arguments: texts)
    func text(_ text: String) throws {
        let key = try #require(WireGuardKey(text))
        #expect("\(key)" == text)
        #expect(key.withBytes { WireGuardKey($0) } == key)
    }

    @Test(
        "what is no key is refused",
        arguments: [
            "", "nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHs", "nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHt=",
            "nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHs==", "nWd6zmmpbdDvaOuvgPSnBkEU-YnvB0pfC7Yd6ZhioHs=",
            "nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHs\n", "nWd6zmmpbdDvaOuvgPSnBkEU YnvB0pfC7Yd6ZhioHs=",
        ])
    func mistakes(_ text: String) { #expect(WireGuardKey(text) == nil) }

    @Test("nothing prints a secret")
    func hidden() throws {
        let text = "mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w="
        let key = try #require(WireGuardSecret(base64: text.utf8))
        let holder = SecretHolder(key: key, others: [key])
        var dumped = ""
        dump(holder, to: &dumped)
        for shown in ["\(key)", String(reflecting: key), "\(holder)", String(reflecting: holder), dumped] {
            // Neither as text nor as the numbers that it is made of: `1 element` is all there is.
            #expect(
                shown.contains("(hidden)") && !shown.contains("mEHZ") && shown.filter(\.isNumber).count < 4, "\(shown)")
        }
        #expect(key.withBytes { WireGuardSecret($0) } == key)
        #expect(key != WireGuardSecret.none && WireGuardSecret.none.isZero)
    }

    @Test("a private key has the form in which the kernel keeps it")
    func clamped() throws {
        let raw = [UInt8](repeating: 0xff, count: 32)
        let key = try #require(raw.withUnsafeBytes { WireGuardSecret($0) }).clamped
        #expect(key.withBytes { Array($0) } == [0xf8] + [UInt8](repeating: 0xff, count: 30) + [0x7f])
        // What `wg genkey` writes has it already.
        let text = "mHuHV52+W9yPxhIt+cvPPIFuqXah5xSkdt6jaPJluV0="
        let made = try #require(WireGuardSecret(base64: text.utf8))
        #expect(made.clamped == made)
    }
}
