internal import CLinux
#if compiler(>=6.3) && compiler(<6.4)
    @_spi(ExperimentalCustomExecutors) @_spi(ExperimentalScheduling) internal import _Concurrency
#endif

/// The threads on which tasks run that prefer no executor, and which wake up those that sleep; see `cl_use_own_workers`.
///
/// Dispatch's would do both: its pool wakes up once a second, and each sleep wakes the thread that keeps its timers, also if it
/// ends before its time, as the time limit of a call does.
public enum OwnWorkers {
    /// Has tasks run there from now on. To be called before the first one.
    public static func use() {
        cl_use_own_workers()
        // Swift 6.3 asks the default executor itself to wake up who sleeps, past the hooks that do it before. How one sets another is
        // not promised to stay, so what comes later has Dispatch's times until it is looked at.
        #if compiler(>=6.3) && compiler(<6.4)
            _createExecutors(factory: Factory.self)
        #endif
    }
}

#if compiler(>=6.3) && compiler(<6.4)
    private struct Factory: ExecutorFactory {
        static var mainExecutor: any MainExecutor { PlatformExecutorFactory.mainExecutor }
        static let defaultExecutor: any TaskExecutor = Pool()
    }

    private final class Pool: TaskExecutor, SchedulingExecutor {
        func enqueue(_ job: consuming ExecutorJob) { cl_run_task(UnownedJob(job).pointer) }

        func enqueue<C: Clock>(
            _ job: consuming ExecutorJob, after delay: C.Duration, tolerance: C.Duration?, clock: C
        ) {
            guard let delay = delay as? Duration else {
                // A clock of other units, of which there is none here.
                return cl_run_task_later(UnownedJob(job).pointer, 0, 0)
            }
            let tolerance = (tolerance as? Duration)?.wholeNanoseconds ?? 0
            cl_run_task_later(UnownedJob(job).pointer, delay.wholeNanoseconds, tolerance)
        }

        func enqueue<C: Clock>(
            _ job: consuming ExecutorJob, at instant: C.Instant, tolerance: C.Duration?, clock: C
        ) {
            enqueue(job, after: clock.now.duration(to: instant), tolerance: tolerance, clock: clock)
        }
    }

    extension UnownedJob {
        /// A job is one pointer. Source: `swift_task_enqueueGlobal`, <swift/Runtime/Concurrency.h>.
        fileprivate var pointer: UnsafeMutableRawPointer { unsafeBitCast(self, to: UnsafeMutableRawPointer.self) }
    }

    extension Duration {
        /// Rounded up, as nobody may wake up before his time.
        fileprivate var wholeNanoseconds: Int64 {
            let (seconds, attoseconds) = components
            let sum = Int128(seconds) * 1_000_000_000 + Int128((attoseconds + 999_999_999) / 1_000_000_000)
            return Int64(clamping: sum)
        }
    }
#endif
