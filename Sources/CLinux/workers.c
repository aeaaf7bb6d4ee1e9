/*
 * Threads for Swift tasks that prefer no executor, instead of Dispatch's: those wake up once a second as long as the
 * process lives, to count who is blocked. Swift calls hooks for every such job; what a job is stands in
 * <swift/ExecutorImpl.h>.
 */
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SWIFT __attribute__((swiftcall))

typedef struct job {
    const void *metadata;
    uintptr_t references;
    struct job *next; /* for the thread that runs the job */
    void *unused;
} job;

extern SWIFT void (*swift_task_enqueueGlobal_hook)(job *, void *original);
extern SWIFT void (*swift_task_enqueueGlobalWithDelay_hook)(unsigned long long, job *, void *original);
extern SWIFT void (*swift_task_enqueueGlobalWithDeadline_hook)(
    long long, long long, long long, long long, int, job *, void *original);
/* An executor is two words; both are 0 for the one that all tasks share. */
extern SWIFT void swift_job_run(job *, void *identity, uintptr_t implementation);

/* Nanoseconds of CLOCK_BOOTTIME: tokens end while the machine sleeps, too. */
typedef struct {
    int64_t due;
    uint64_t order;
    job *job;
} timer;

/* A thread that runs jobs. It is never freed, as it never ends. */
typedef struct worker {
    pthread_cond_t call;
    bool is_called;
    struct worker *next;
} worker;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_condattr_t clock_of_calls;
/* Jobs to run, oldest first. */
static job *first, *last;
static size_t queued;
/* Jobs whose time is to come: a heap, the next one first. */
static timer *timers;
static size_t timer_count, timer_room;
static uint64_t timer_order;
static size_t threads, most_threads;
/* Threads without a job, the one that had one last first: its caches are warm, and the others may sleep on. */
static worker *resting;
/* Threads that were called, or are new, and have not looked for a job yet. */
static size_t coming;
/* The thread that waits for the next timer. */
static worker *keeper;

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool is_before(const timer *left, const timer *right) {
    return left->due != right->due ? left->due < right->due : left->order < right->order;
}

static void append(job *one) {
    one->next = NULL;
    if (last) last->next = one;
    else first = one;
    last = one;
    queued++;
}

static void push_timer(timer new) {
    if (timer_count == timer_room) {
        size_t room = timer_room ? timer_room * 2 : 16;
        timer *larger = realloc(timers, room * sizeof *larger);
        if (!larger) abort();
        timers = larger;
        timer_room = room;
    }
    size_t at = timer_count++;
    while (at > 0 && is_before(&new, &timers[(at - 1) / 2])) {
        timers[at] = timers[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    timers[at] = new;
}

static job *pop_timer(void) {
    job *result = timers[0].job;
    timer moved = timers[--timer_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < timer_count; at = child) {
        if (child + 1 < timer_count && is_before(&timers[child + 1], &timers[child])) child++;
        if (!is_before(&timers[child], &moved)) break;
        timers[at] = timers[child];
    }
    if (timer_count) timers[at] = moved;
    return result;
}

/* Whom to wake once the lock is released: a thread that wakes up before would only wait for the lock. */
typedef struct {
    /* The last place is for the one that keeps the time. */
    worker *whom[8 + 1];
    size_t count;
} calls;

enum { most_calls = sizeof((calls *)0)->whom / sizeof(worker *) - 1 };

static const int64_t longest_wait = (int64_t)30 * 1000000000;

static void wait_for_call(worker *me) {
    if (timer_count && !keeper) {
        keeper = me;
        /* This wait does not count the time for which the machine sleeps, so it looks now and then. */
        int64_t left = timers[0].due - now(CLOCK_BOOTTIME);
        int64_t end = now(CLOCK_MONOTONIC) + (left < longest_wait ? left : longest_wait);
        struct timespec due = {end / 1000000000, end % 1000000000};
        int error = 0;
        while (!me->is_called && !error) error = pthread_cond_timedwait(&me->call, &lock, &due);
        keeper = NULL;
    } else {
        me->next = resting;
        resting = me;
        while (!me->is_called) pthread_cond_wait(&me->call, &lock);
        coming--;
    }
    me->is_called = false;
}

static calls call_for_threads(void);

static void wake(calls them) {
    for (size_t i = 0; i < them.count; i++) pthread_cond_signal(&them.whom[i]->call);
}

static void *work(void *unused) {
    (void)unused;
    pthread_setname_np(pthread_self(), "tasks");
    worker me = {.is_called = false};
    pthread_cond_init(&me.call, &clock_of_calls);
    pthread_mutex_lock(&lock);
    coming--;
    while (true) {
        if (timer_count) {
            int64_t time = now(CLOCK_BOOTTIME);
            while (timer_count && timers[0].due <= time) append(pop_timer());
        }
        if (!first) {
            wait_for_call(&me);
            continue;
        }
        job *one = first;
        first = one->next;
        if (!first) last = NULL;
        queued--;
        /* Somebody else takes the rest, and keeps the time. */
        calls them = call_for_threads();
        pthread_mutex_unlock(&lock);
        wake(them);
        swift_job_run(one, NULL, 0);
        pthread_mutex_lock(&lock);
    }
}

/* Whether there is one more. */
static bool start_thread(void) {
    /* Signals are for the threads that were there before. */
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, work, NULL);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (error) {
        if (threads) return false;
        fputs("no thread can be made for tasks; raise the limit of tasks\n", stderr);
        abort();
    }
    pthread_detach(thread);
    threads++;
    coming++;
    return true;
}

static void call(worker *one, calls *them) {
    one->is_called = true;
    them->whom[them->count++] = one;
}

/*
 * Has as many threads at work as there are jobs, and one to keep the time. Those that are on their way are not called once more,
 * and the one that keeps the time is left in peace as long as there is another one: who takes its place would have to be called
 * as well. Who comes calls the next, if these are not enough.
 */
static calls call_for_threads(void) {
    calls them = {.count = 0};
    size_t wanted = queued + (timer_count && !keeper);
    while (coming < wanted && resting && them.count < most_calls) {
        worker *one = resting;
        resting = one->next;
        coming++;
        call(one, &them);
    }
    while (coming < wanted && !resting && threads < most_threads && start_thread()) {}
    if (coming < queued && keeper && !keeper->is_called) call(keeper, &them);
    return them;
}

static SWIFT void enqueue(job *one, void *original) {
    (void)original;
    pthread_mutex_lock(&lock);
    append(one);
    calls them = call_for_threads();
    pthread_mutex_unlock(&lock);
    wake(them);
}

static void enqueue_later(job *one, int64_t due) {
    pthread_mutex_lock(&lock);
    push_timer((timer){due, timer_order++, one});
    calls them = call_for_threads();
    /* The thread that keeps the time waits for another one. */
    if (timers[0].job == one && keeper && !keeper->is_called) call(keeper, &them);
    pthread_mutex_unlock(&lock);
    wake(them);
}

/* A time that never comes is as good as one in a hundred years. */
static int64_t after(int64_t delay) {
    const int64_t longest = (int64_t)100 * 365 * 86400 * 1000000000;
    return now(CLOCK_BOOTTIME) + (delay < 0 ? 0 : delay > longest ? longest : delay);
}

static SWIFT void enqueue_with_delay(unsigned long long delay, job *one, void *original) {
    (void)original;
    enqueue_later(one, after(delay > INT64_MAX ? INT64_MAX : (int64_t)delay));
}

static SWIFT void enqueue_with_deadline(
    long long seconds, long long nanoseconds, long long tolerance_seconds, long long tolerance_nanoseconds, int clock,
    job *one, void *original) {
    (void)tolerance_seconds, (void)tolerance_nanoseconds, (void)original;
    /* 1: ContinuousClock, which goes on while the machine sleeps. 2: SuspendingClock. */
    int64_t time = now(clock == 1 ? CLOCK_BOOTTIME : CLOCK_MONOTONIC), due, delay;
    if (__builtin_mul_overflow(seconds, 1000000000LL, &due) || __builtin_add_overflow(due, nanoseconds, &due)
        || __builtin_sub_overflow(due, time, &delay))
        delay = seconds < 0 ? 0 : INT64_MAX;
    enqueue_later(one, after(delay));
}

void cl_run_task(void *one) { enqueue(one, NULL); }

void cl_run_task_later(void *one, int64_t delay, int64_t tolerance) {
    int64_t due = after(delay);
    /* Those that may be late come together: fewer wake-ups, and work that finds its caches warm. */
    int64_t step = 1;
    while (step <= tolerance / 2 && step < (int64_t)1 << 30) step *= 2;
    enqueue_later(one, (due + step - 1) / step * step);
}

void cl_use_own_workers(void) {
    pthread_condattr_init(&clock_of_calls);
    pthread_condattr_setclock(&clock_of_calls, CLOCK_MONOTONIC);
    /* Some may block for a moment although tasks should not. */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    most_threads = processors > 8 ? processors : 8;
    swift_task_enqueueGlobal_hook = enqueue;
    swift_task_enqueueGlobalWithDelay_hook = enqueue_with_delay;
    swift_task_enqueueGlobalWithDeadline_hook = enqueue_with_deadline;
}
