internal import Glibc
internal import Netlink
internal import Reconciler

/// Others may put filters into a qdisc that we made, or another qdisc in its place, at any time. So the kernel is asked just
/// before one is taken away.
extension LinuxWorld {
    /// Takes away a qdisc for what arrives, or where others have filters in it, our filter only.
    func deleteIngress(_ qdisc: Qdisc, in state: NamespaceState) -> OperationResult {
        var qdisc = qdisc
        qdisc.linkIndex = madeIndexes[qdisc.linkIndex] ?? qdisc.linkIndex
        do throws(KernelError) {
            let (ours, others) = try filters(ofLink: qdisc.linkIndex, in: state)
            if others.isEmpty {
                modifyingRequests += 1
                try routeSocket(state).perform(.deleteQdisc(qdisc))
                return .done
            }
            for filter in ours {
                modifyingRequests += 1
                try routeSocket(state).perform(.deleteFilter(filter))
            }
            // It stays, other than was planned.
            markStale(state)
            return .done
        } catch {
            markStale(state)
            if error.meansGone || error.code == EINVAL && isGone(qdisc, in: state) { return .done }
            return .failed(text(for: error), retriable: true)
        }
    }

    /// Whether there is none any more, or another one. For both the kernel says that something about the request is wrong.
    private func isGone(_ qdisc: Qdisc, in state: NamespaceState) -> Bool {
        guard let reports = try? routeSocket(state).dump(.qdiscs) else { return false }
        return !reports.contains { report in
            guard case .qdisc(let other) = report, other.parent == qdisc.parent else { return false }
            return other.linkIndex == qdisc.linkIndex && other.kind == qdisc.kind
        }
    }

    /// A qdisc that was made for a filter which the kernel refused goes: nothing would say later that it is ours.
    func takeBackIngress(after operations: [LinuxOperation], _ results: [OperationResult]) {
        for (position, operation) in operations.enumerated() {
            guard case .request(.addQdisc(var qdisc)) = operation.action, qdisc.parent == Qdisc.ingress,
                case .done = results[position], let state = states[operation.namespace], state.handle != nil
            else { continue }
            let isFilterThere = zip(operations, results).contains { other, result in
                guard case .request(.addFilter(let filter)) = other.action, case .done = result else { return false }
                return other.namespace == operation.namespace && filter.linkIndex == qdisc.linkIndex
            }
            if isFilterThere { continue }
            guard let index = qdisc.linkIndex < 0 ? madeIndexes[qdisc.linkIndex] : qdisc.linkIndex,
                let found = try? filters(ofLink: index, in: state), found.ours.isEmpty, found.others.isEmpty
            else { continue }
            qdisc.linkIndex = index
            modifyingRequests += 1
            try? routeSocket(state).perform(.deleteQdisc(qdisc))
            markStale(state)
        }
    }

    /// The filters of what arrives by a link. The kernel tells of each preference without a handle, too.
    private func filters(
        ofLink index: Int32, in state: NamespaceState
    ) throws(KernelError) -> (ours: [TrafficFilter], others: [TrafficFilter]) {
        var (ours, others): ([TrafficFilter], [TrafficFilter]) = ([], [])
        for case .filter(let filter) in try routeSocket(state).dump(.filters(linkIndex: index, preference: nil))
        where filter.handle != 0 {
            if PoliceClass.isOurs(filter, self) { ours.append(filter) } else { others.append(filter) }
        }
        return (ours, others)
    }
}
