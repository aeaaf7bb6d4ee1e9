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

/* Nanoseconds of CLOCK_MONOTONIC. */
typedef struct {
    int64_t due;
    uint64_t order;
    job *job;
} timer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change;
/* Jobs to run, oldest first. */
static job *first, *last;
static size_t queued;
/* Jobs whose time is to come: a heap, the next one first. */
static timer *timers;
static size_t timer_count, timer_room;
static uint64_t timer_order;
static size_t threads, idle, most_threads;
/* Whether a thread waits for the next timer. */
static bool has_keeper;

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

static void wait_for_change(void) {
    idle++;
    if (timer_count && !has_keeper) {
        has_keeper = true;
        struct timespec due = {timers[0].due / 1000000000, timers[0].due % 1000000000};
        pthread_cond_timedwait(&change, &lock, &due);
        has_keeper = false;
    } else {
        pthread_cond_wait(&change, &lock);
    }
    idle--;
}

static void call_for_threads(void);

static void *work(void *unused) {
    (void)unused;
    pthread_setname_np(pthread_self(), "tasks");
    pthread_mutex_lock(&lock);
    idle--;
    while (true) {
        if (timer_count) {
            int64_t time = now(CLOCK_MONOTONIC);
            while (timer_count && timers[0].due <= time) append(pop_timer());
        }
        if (!first) {
            wait_for_change();
            continue;
        }
        job *one = first;
        first = one->next;
        if (!first) last = NULL;
        queued--;
        /* Somebody else takes the rest, and keeps the time. */
        call_for_threads();
        pthread_mutex_unlock(&lock);
        swift_job_run(one, NULL, 0);
        pthread_mutex_lock(&lock);
    }
}

/* Has as many threads at work as there are jobs, and one to keep the time. */
static void call_for_threads(void) {
    size_t wanted = queued + (timer_count && !has_keeper);
    for (size_t woken = 0; woken < wanted && woken < idle; woken++) pthread_cond_signal(&change);
    while (wanted > idle && threads < most_threads) {
        /* Signals are for the threads that were there before. */
        sigset_t all, former;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &former);
        pthread_t thread;
        int error = pthread_create(&thread, NULL, work, NULL);
        pthread_sigmask(SIG_SETMASK, &former, NULL);
        if (error) {
            if (threads) return;
            fputs("no thread can be made for tasks; raise the limit of tasks\n", stderr);
            abort();
        }
        pthread_detach(thread);
        threads++;
        /* Until it has looked for a job. */
        idle++;
    }
}

static SWIFT void enqueue(job *one, void *original) {
    (void)original;
    pthread_mutex_lock(&lock);
    append(one);
    call_for_threads();
    pthread_mutex_unlock(&lock);
}

static void enqueue_later(job *one, int64_t due) {
    pthread_mutex_lock(&lock);
    push_timer((timer){due, timer_order++, one});
    /* The thread that keeps the time waits for another one. */
    if (timers[0].job == one && has_keeper) pthread_cond_broadcast(&change);
    call_for_threads();
    pthread_mutex_unlock(&lock);
}

/* A time that never comes is as good as one in a hundred years. */
static int64_t after(int64_t delay) {
    const int64_t longest = (int64_t)100 * 365 * 86400 * 1000000000;
    return now(CLOCK_MONOTONIC) + (delay < 0 ? 0 : delay > longest ? longest : delay);
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

void cl_use_own_workers(void) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&change, &attributes);
    pthread_condattr_destroy(&attributes);
    /* Some may block for a moment although tasks should not. */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    most_threads = processors > 8 ? processors : 8;
    swift_task_enqueueGlobal_hook = enqueue;
    swift_task_enqueueGlobalWithDelay_hook = enqueue_with_delay;
    swift_task_enqueueGlobalWithDeadline_hook = enqueue_with_deadline;
}
