import NetworkTypes
import TestSupport
import Testing

@testable import NSM

@Suite("Whose shared prefixes were whose")
struct PrefixBookTests {
    private static func prefix(_ number: Int) -> IPPrefix {
        IPPrefix("10.\(number / 256).\(number % 256).0/24") ?? .any(.v4)
    }

    private static func owner(_ identity: String, _ service: String = "") -> PrefixBook.Owner {
        PrefixBook.Owner(identity, service: service)
    }

    @Test("of two services of one owner each has its own again, and of before services were told apart any")
    func services() {
        let book = PrefixBook([["10.0.9.0/24", "a"]])
        book.hold(Self.prefix(1), Self.owner("a", "s"))
        book.hold(Self.prefix(2), Self.owner("a", "t"))
        book.release(Self.prefix(1), Self.owner("a", "s"))
        book.release(Self.prefix(2), Self.owner("a", "t"))
        let next = PrefixBook(book.lines)
        #expect(next.lines == book.lines && next.lines.last == ["10.0.2.0/24", "a", "t"])
        for book in [book, next] {
            #expect(book.former(of: Self.owner("a", "s")) { _ in true } == Self.prefix(1))
            #expect(book.former(of: Self.owner("a", "t")) { _ in true } == Self.prefix(2))
            #expect(book.former(of: Self.owner("a", "u")) { _ in true } == Self.prefix(9))
            #expect(book.isOthers(Self.prefix(1), than: Self.owner("a", "t")))
            #expect(book.isOthers(Self.prefix(1), than: Self.owner("a")))
            #expect(!book.isOthers(Self.prefix(9), than: Self.owner("a", "t")))
            #expect(book.isOthers(Self.prefix(9), than: Self.owner("b", "t")))
        }
        // By names of services nobody has more than his.
        for number in 0..<2 * PrefixBook.mostOfOne {
            book.hold(Self.prefix(number + 100), Self.owner("b", "s\(number)"))
            book.release(Self.prefix(number + 100), Self.owner("b", "s\(number)"))
        }
        #expect(book.count == PrefixBook.mostOfOne + 3)
        book.hold(Self.prefix(3), Self.owner("c", String(repeating: "x", count: 254)))
        #expect(book.lines.last == ["10.0.3.0/24", "c"])
    }

    @Test("a prefix stays his who had it last, and he has it again")
    func former() {
        let book = PrefixBook()
        book.hold(Self.prefix(1), Self.owner("a"))
        book.hold(Self.prefix(2), Self.owner("a"))
        #expect(book.former(of: Self.owner("a")) { _ in true } == nil)
        book.release(Self.prefix(1), Self.owner("a"))
        book.release(Self.prefix(2), Self.owner("a"))
        #expect(book.former(of: Self.owner("a")) { _ in true } == Self.prefix(2))
        #expect(book.former(of: Self.owner("a")) { $0 != Self.prefix(2) } == Self.prefix(1))
        #expect(book.former(of: Self.owner("b")) { _ in true } == nil)
        #expect(
            book.isOthers(Self.prefix(1), than: Self.owner("b"))
                && !book.isOthers(Self.prefix(1), than: Self.owner("a")))
        #expect(!book.isOthers(Self.prefix(3), than: Self.owner("b")))
        // Nobody can give back what is another one's.
        book.hold(Self.prefix(1), Self.owner("b"))
        book.release(Self.prefix(1), Self.owner("a"))
        #expect(
            book.former(of: Self.owner("b")) { _ in true } == nil
                && book.isOthers(Self.prefix(1), than: Self.owner("a")))
    }

    @Test("what is written is read again, and what can't be read is left out")
    func lines() {
        let book = PrefixBook()
        for number in 0..<5 { book.hold(Self.prefix(number), Self.owner("spiffe://example.org/\(number % 2)")) }
        let next = PrefixBook(book.lines)
        #expect(next.lines == book.lines)
        #expect(next.former(of: Self.owner("spiffe://example.org/1")) { _ in true } == Self.prefix(3))
        let odd = [
            ["x", "a"], ["10.0.0.0/24"], ["10.0.0.0/24", ""], ["10.0.1.0/24", "a"], ["10.0.1.0/24", "b"], [],
        ]
        #expect(PrefixBook(odd).lines == [["10.0.1.0/24", "a"]])
    }

    @Test("it does not grow, and forgets nothing that somebody has")
    func bounds() {
        let book = PrefixBook()
        for number in 0..<PrefixBook.mostOfOne { book.hold(Self.prefix(number), Self.owner("a")) }
        for number in 0..<PrefixBook.mostOfOne { book.release(Self.prefix(number), Self.owner("a")) }
        for number in 10_000..<10_010 { book.hold(Self.prefix(number), Self.owner("a")) }
        #expect(book.count == PrefixBook.mostOfOne)
        for number in 20_000..<20_000 + 2 * PrefixBook.most {
            book.hold(Self.prefix(number), Self.owner("b\(number % 50)"))
            book.release(Self.prefix(number), Self.owner("b\(number % 50)"))
        }
        #expect(book.count == PrefixBook.most)
        for number in 10_000..<10_010 { #expect(book.isOthers(Self.prefix(number), than: Self.owner("b"))) }
        book.hold(Self.prefix(1), Self.owner(String(repeating: "x", count: 5000)))
        #expect(!book.isOthers(Self.prefix(1), than: Self.owner("y")))
    }

    @Test("whoever comes, goes and asks for what, nobody has the part of one who is away while others are free")
    func random() {
        for seed in Seeds("shared prefixes", usual: 200, long: 5000) {
            var generator = SeededGenerator(seed: seed)
            guard var pool = PrefixPool(IPPrefix("10.0.0.0/20") ?? .any(.v4), length: 24) else { return }
            let book = PrefixBook()
            var last: [String: IPPrefix] = [:]
            var held: [String: IPPrefix] = [:]
            for _ in 0..<80 {
                let name = "e\(Int.random(in: 0..<10, using: &generator))"
                if let part = held.removeValue(forKey: name) {
                    book.release(part, Self.owner(name))
                    pool.free(part)
                    continue
                }
                // Some say what they want, and lie.
                let wish = Bool.random(using: &generator) ? pool.network : last.values.randomElement(using: &generator)
                let own = wish.flatMap { book.isOthers($0, than: Self.owner(name)) || !pool.isFree($0) ? nil : $0 }
                let former = own ?? book.former(of: Self.owner(name)) { pool.isFree($0) }
                let part = pool.take(former, sparing: (PrefixBook.most, { book.isOthers($0, than: Self.owner(name)) }))
                guard let part else {
                    Issue.record("seed \(seed): no part is left")
                    break
                }
                for (other, theirs) in last where other != name {
                    #expect(theirs != part, "seed \(seed): \(name) has the part of \(other)")
                }
                if let before = last[name], own == nil {
                    #expect(part == before, "seed \(seed): \(name) has another part")
                }
                book.hold(part, Self.owner(name))
                (held[name], last[name]) = (part, part)
            }
        }
    }
}
