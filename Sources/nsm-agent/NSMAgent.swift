@main
struct NSMAgent {
    static func main() {}
}
