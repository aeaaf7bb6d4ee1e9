internal import Reconciler

extension LinuxWorld {
    public struct Snapshot {}
    public func snapshot() -> Snapshot { Snapshot() }
    public func operations(toRestore snapshot: Snapshot) -> [LinuxOperation] { [] }
}
