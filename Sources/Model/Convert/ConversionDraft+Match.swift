internal import NetworkTypes
internal import YAML

typealias MatchMessage = Ligato_Linux_Interfaces_InterfaceMatch

/// Interfaces that are known by what they are.
extension ConversionDraft {
    /// Why a driver is mentioned that is declared all the same.
    static let driverAlone =
        "it is taken for one interface; where several have this driver, declare each with its MAC address"
    /// Why the rest of a match is mentioned.
    static let nameSays = "the name says which interface is meant"

    /// Has an interface that others made found by what it is.
    mutating func find(_ index: Int, by match: MatchMessage) {
        interfaces[index].match = match
        // With a match it is the name that the interface gets where it is moved to.
        if !interfaces[index].hasNamespace { interfaces[index].hostIfName = "" }
    }

    /// The bus address in the persistent path of a PCI device that udev shows as `ID_PATH`: `pci-0000:03:00.0`. Paths that go on behind
    /// the PCI address, such as those of USB, have no counterpart.
    static func busAddress(ofPath path: String) -> String? {
        guard path.hasPrefix("pci-") else { return nil }
        let address = path.dropFirst(4)
        let digits = address.split(separator: ":", omittingEmptySubsequences: false)
        guard digits.count == 3, let last = digits.last else { return nil }
        let slot = last.split(separator: ".", omittingEmptySubsequences: false)
        guard slot.count == 2 else { return nil }
        let isAddress = zip([digits[0], digits[1], slot[0], slot[1]], [4, 2, 2, 1]).allSatisfy { text, count in
            text.utf8.count == count && text.allSatisfy { $0.isHexDigit }
        }
        return isAddress ? String(address) : nil
    }

    // MARK: - Netplan

    /// Which interface a device of netplan is.
    mutating func readNetplanMatch(_ device: Node, _ index: Int, _ name: String) {
        let match = take("match", in: device)
        let setName = take("set-name", in: device)
        let newName = text(setName)
        guard let match else {
            if let newName { interfaces[index].hostIfName = newName == name ? "" : newName }
            return
        }
        let nameNode = take("name", in: match)
        let pattern = text(nameNode)
        let isNamed = newName == nil && pattern.map { !Words.isPattern($0) } ?? false
        if isNamed, let pattern {
            interfaces[index].hostIfName = pattern == name ? "" : pattern
            for key in ["macaddress", "driver"] { if let node = take(key, in: match) { leave(node, Self.nameSays) } }
            return
        }
        if let found = netplanMatch(match) {
            find(index, by: found)
            if let nameNode { leave(nameNode, "the rest of match finds the interface, whatever it is called") }
            if let setName {
                leave(
                    setName,
                    "renaming is left to udev (systemd.link); match finds the interface, whatever it is called")
            }
            return
        }
        // Whoever renames it looks for it by what `match` says.
        if let newName {
            interfaces[index].hostIfName = newName == name ? "" : newName
            leave(
                match, "renaming is left to udev (systemd.link): \(newName.inQuotes) is taken for the interface's name")
        } else {
            leave(
                match,
                "it says which interface is meant; write the name that it has in the kernel as hostIfName of \(name.inQuotes)"
            )
        }
        takeAll(below: match)
    }

    /// What `match` says of a device, if that can be declared.
    private mutating func netplanMatch(_ node: Node) -> MatchMessage? {
        guard tree.kind(of: node) == .mapping else { return nil }
        var match = MatchMessage()
        if let mac = take("macaddress", in: node) {
            guard let address = text(mac).flatMap({ MACAddress($0.trimmed) }) else { return nil }
            match.mac = "\(address)"
        }
        guard let driver = take("driver", in: node) else { return match.mac.isEmpty ? nil : match }
        let drivers = texts(driver)
        if drivers.count == 1, !Words.isPattern(drivers[0]) {
            match.driver = drivers[0]
            if match.mac.isEmpty { leave(driver, Self.driverAlone) }
        } else if match.mac.isEmpty {
            return nil
        } else {
            leave(driver, "one driver can be declared, and no pattern; the MAC address finds the interface")
        }
        return match
    }

    // MARK: - systemd-networkd

    /// What `[Match]` says of an interface, if that can be declared: one value of each.
    mutating func networkdMatch(_ unit: inout UnitFile, _ section: Int) -> MatchMessage? {
        var match = MatchMessage()
        var rest: [UnitFile.Entry] = []
        /// Takes the only word of a key.
        func word(_ key: String, _ use: (String) -> Bool) {
            let entries = unit.entries(key, section)
            let words = entries.flatMap { $0.value.split(separator: " ").map { String($0) } }
            guard !words.isEmpty else { return }
            if words.count > 1 || Words.isPattern(words[0]) || !use(words[0]) { rest += entries }
        }
        for key in ["PermanentMACAddress", "MACAddress"] {
            word(key) { text in
                guard let mac = MACAddress(text), match.mac.isEmpty || match.mac == "\(mac)" else { return false }
                match.mac = "\(mac)"
                return true
            }
        }
        word("Path") { path in
            match.path = Self.busAddress(ofPath: path) ?? ""
            return !match.path.isEmpty
        }
        word("Driver") { driver in
            match.driver = driver
            return true
        }
        let isOneDevice = !match.mac.isEmpty || !match.path.isEmpty
        // What can't be declared might say which of several it is.
        guard isOneDevice || !match.driver.isEmpty && rest.isEmpty else { return nil }
        for entry in rest {
            leave(entry, "Match", "one value can be declared, and no pattern; the rest of [Match] finds the interface")
        }
        if !isOneDevice, let entry = unit.entry("Driver", section) { leave(entry, "Match", Self.driverAlone) }
        return match
    }

    /// A logical name for an interface whose file does not name it: that of the file, if no unit has such a word.
    func cardName(of unit: UnitFile, _ words: Set<String>) -> String {
        let file = unit.name.split(separator: "/").last.map { String($0) } ?? unit.name
        var name = file.hasSuffix(".network") ? String(file.dropLast(8)) : file
        while words.contains(name) || knows(name) { name += "-card" }
        return name
    }
}
