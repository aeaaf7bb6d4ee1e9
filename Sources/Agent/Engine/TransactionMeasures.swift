internal import Metrics
internal import Northbound
internal import Reconciler

/// Counts transactions and their steps for ``MetricsSystem``. Without a metrics backend the counts go nowhere.
struct TransactionMeasures {
    private let processed = Counter(label: "ligato_kvscheduler_txn_processed")
    private let repairs = Counter(label: "nsm_agent_repairs_total")
    private let execution = Timer(
        label: "ligato_kvscheduler_txn_process_duration_seconds", dimensions: [("slice", "executeTransaction")])

    func note(_ transaction: Transaction) {
        processed.increment()
        let nanoseconds = Int64(clamping: transaction.duration.nanoseconds)
        execution.recordNanoseconds(nanoseconds)
        let labels = [("txn_type", TransactionJSON.kind(transaction).type)]
        Timer(label: "ligato_kvscheduler_txn_duration_seconds", dimensions: labels).recordNanoseconds(nanoseconds)
        // Nothing waits in a queue: a transaction begins when it is asked for.
        Timer(label: "ligato_kvscheduler_queue_wait_seconds", dimensions: labels).recordNanoseconds(0)
        var counts: [Transaction.Verb: (done: Int64, failed: Int64)] = [:]
        for entry in transaction.entries {
            if entry.error.isEmpty {
                counts[entry.verb, default: (0, 0)].done += 1
            } else {
                counts[entry.verb, default: (0, 0)].failed += 1
            }
        }
        for (verb, count) in counts {
            let labels = [("verb", verb.rawValue)]
            Counter(label: "nsm_agent_operations_total", dimensions: labels).increment(by: count.done)
            Counter(label: "nsm_agent_operation_failures_total", dimensions: labels).increment(by: count.failed)
        }
        if transaction.reason == .drift { repairs.increment(by: counts.values.reduce(0) { $0 + $1.done }) }
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
