internal import Netlink

/// Links that the agent before this one left have its alias and no group. They get our group last of all, when what is on them is
/// taken over: after a kill in between, the missing group says that there is still something to do.
extension LinuxWorld {
    /// A request without our mark on a link that is still to be taken over, which comes later; nil: nothing is left of it.
    func withoutMark(_ request: Request, in state: NamespaceState, _ run: inout ExecutionRun) -> Request? {
        guard case .setLink(var attributes) = request, let group = attributes.group,
            let link = state.links[attributes.index], link.isInherited, !link.isTakenOver
        else { return request }
        run.lateMarks.append((state, attributes.index, group))
        attributes.group = nil
        return attributes == LinkAttributes(index: attributes.index) ? nil : .setLink(attributes)
    }

    /// Marks the links that were taken over, unless something in their namespace was not done.
    func markInherited(after operations: [LinuxOperation], _ run: inout ExecutionRun) {
        if run.lateMarks.isEmpty { return }
        let unfinished = Set(
            operations.indices.filter { if case .done = run.results[$0] { false } else { true } }
                .map { operations[$0].namespace })
        for (state, index, group) in run.lateMarks where state.handle != nil {
            if unfinished.contains(state.id) {
                markStale(state)
                continue
            }
            var mark = LinkAttributes(index: index)
            mark.group = group
            state.links[index]?.isTakenOver = true
            enqueue(.setLink(mark), of: ExecutionRun.nobody, in: state, &run)
        }
        run.lateMarks = []
        flushAll(&run)
    }
}
