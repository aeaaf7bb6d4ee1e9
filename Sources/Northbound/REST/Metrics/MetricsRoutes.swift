internal import Concurrency
internal import Hummingbird
internal import HTTPTypes
internal import Model
internal import Reconciler

/// `/metrics`: the agent in numbers.
struct MetricsRoutes: Sendable {
    let backend: any RESTBackend
    let registry: PrometheusRegistry?

    func metrics(_ call: RESTCall) async throws -> Response {
        let counted = await registry?.currentText ?? ""
        return .text(counted + Self.text(await backend.agentReport()), type: PrometheusText.type)
    }

    /// There are no metrics with a model, as only VPP has any.
    func model(_ call: RESTCall) async throws -> Response {
        throw RESTError("no model registered for name \(call.parameters.get("model")?.prefix(100) ?? "")", .notFound)
    }

    private static func text(_ report: AgentReport) -> String {
        let states = ValueState.allCases.map { state in
            (labels: [("state", state.name)], value: Double(report.counts[state] ?? 0))
        }
        let build = [("version", report.version)]
        var text = PrometheusText.family("ligato_build_info", .gauge, [(build, 1)])
        text += PrometheusText.family("nsm_agent_build_info", .gauge, [(build + [("label", report.label)], 1)])
        text += PrometheusText.family("nsm_agent_values", .gauge, states)
        text += single("nsm_agent_ready", .gauge, report.isReady ? 1 : 0)
        text += single("nsm_agent_file_mistakes", .gauge, Double(report.mistakes.count))
        // Changes wait for the one thread, not in a queue with an end.
        text += single("ligato_kvscheduler_queue_capacity", .gauge, 0)
        text += single("ligato_kvscheduler_queue_length", .gauge, 0)
        text += single("ligato_kvscheduler_txn_dropped", .counter, 0)
        let kernel = report.kernel
        text += "# TYPE nsm_agent_batch_duration_seconds summary\n"
        text += "nsm_agent_batch_duration_seconds_sum \(PrometheusText.number(kernel.batchSeconds))\n"
        text += "nsm_agent_batch_duration_seconds_count \(kernel.batches)\n"
        text += single("nsm_agent_batch_operations_total", .counter, Double(kernel.operations))
        text += single("nsm_agent_kernel_events_total", .counter, Double(kernel.events))
        text += single("nsm_agent_kernel_event_overruns_total", .counter, Double(kernel.overruns))
        text += PrometheusText.family(
            "nsm_agent_nsm_connections", .gauge,
            report.services.sorted { $0.key < $1.key }.map { ([("state", $0.key)], Double($0.value)) })
        return text + PrometheusText.process(["process", "ligato_process"], start: report.start)
    }

    private static func single(_ name: String, _ kind: PrometheusRegistry.Kind, _ value: Double) -> String {
        PrometheusText.family(name, kind, [([], value)])
    }
}

extension PrometheusText {
    /// What the kernel says of this process, under the names that Prometheus' own libraries have, and under other prefixes.
    static func process(_ prefixes: [String], start: Timestamp) -> String {
        let figures = ProcessFigures()
        func single(_ name: String, _ kind: PrometheusRegistry.Kind, _ value: Double) -> String {
            family(name, kind, [([], value)])
        }
        return prefixes.map { name in
            single("\(name)_cpu_seconds_total", .counter, figures.cpuSeconds)
                + single("\(name)_max_fds", .gauge, figures.fileLimit)
                + single("\(name)_open_fds", .gauge, figures.openFiles)
                + single("\(name)_resident_memory_bytes", .gauge, figures.residentBytes)
                + single("\(name)_start_time_seconds", .gauge, Double(start.nanoseconds) / 1e9)
                + single("\(name)_virtual_memory_bytes", .gauge, figures.virtualBytes)
                + single("\(name)_virtual_memory_max_bytes", .gauge, figures.virtualLimit)
        }.joined() + single("process_threads", .gauge, figures.threads)
    }
}
