/*
 * The threads for Swift's tasks, without Swift: jobs from several threads at once, and timers that come sooner than those before
 * them. Each has to run once, a timer not before its time, and none may be forgotten.
 *
 *   workers SEED
 */
#include "../../../Sources/CLinux/workers.c"

#include <sched.h>
#include <stdatomic.h>

SWIFT void (*swift_task_enqueueGlobal_hook)(job *, void *);
SWIFT void (*swift_task_enqueueGlobalWithDelay_hook)(unsigned long long, job *, void *);
SWIFT void (*swift_task_enqueueGlobalWithDeadline_hook)(long long, long long, long long, long long, int, job *, void *);

enum { producers = 4, jobs = 20000, delayed = 5000, longest = 200 };

typedef struct {
    job job;
    int64_t due;
    atomic_int runs;
} task;

static atomic_int ran, early;
static _Atomic int64_t latest;

SWIFT void swift_job_run(job *one, void *identity, uintptr_t implementation) {
    (void)identity, (void)implementation;
    task *done = (task *)one;
    int64_t late = now(CLOCK_BOOTTIME) - done->due;
    if (done->due && late < 0) early++;
    int64_t before = latest;
    while (done->due && late > before && !atomic_compare_exchange_weak(&latest, &before, late)) {}
    done->runs++;
    ran++;
}

static task *new_task(int64_t delay) {
    task *one = calloc(1, sizeof *one);
    if (delay) one->due = now(CLOCK_BOOTTIME) + delay;
    return one;
}

static task *all[producers][jobs + delayed];

static void *produce(void *argument) {
    intptr_t number = (intptr_t)argument;
    unsigned seed = (unsigned)(number >> 8) ^ (unsigned)(number & 0xff) * 2654435761u;
    number &= 0xff;
    for (int i = 0; i < jobs + delayed; i++) {
        bool is_delayed = i % (jobs / delayed + 1) == 0;
        int64_t delay = is_delayed ? 1 + (int64_t)(rand_r(&seed) % longest) * 1000000 : 0;
        task *one = all[number][i] = new_task(delay);
        if (is_delayed) cl_run_task_later(one, delay, 0);
        else cl_run_task(one);
        /* Now and then all threads come to rest. */
        if (rand_r(&seed) % 1000 == 0) nanosleep(&(struct timespec){0, 3000000}, NULL);
    }
    return NULL;
}

/* Waits until so many have run, for a minute at most. */
static bool comes(int count) {
    for (int i = 0; i < 6000 && ran < count; i++) nanosleep(&(struct timespec){0, 10000000}, NULL);
    return ran >= count;
}

static bool has_failed;
static void check(const char *what, bool is_true) {
    printf("%-4s %s\n", is_true ? "ok" : "FAIL", what);
    if (!is_true) has_failed = true;
}

int main(int count, char **arguments) {
    intptr_t seed = count > 1 ? atol(arguments[1]) : 1;
    cl_use_own_workers();
    /* One thread waits for long; those that come later are due sooner. */
    cl_run_task_later(new_task(0), INT64_MAX, 0);
    for (int i = 1; i <= 100; i++) {
        cl_run_task_later(new_task(0), 1000000, 0);
        if (!comes(i)) break;
    }
    check("what is due sooner is not kept waiting by what is due in a hundred years", ran == 100);
    pthread_t them[producers];
    for (intptr_t i = 0; i < producers; i++) pthread_create(&them[i], NULL, produce, (void *)(seed << 8 | i));
    for (int i = 0; i < producers; i++) pthread_join(them[i], NULL);
    int total = 100 + producers * (jobs + delayed);
    check("all run", comes(total) && ran == total);
    int wrong = 0;
    for (int i = 0; i < producers; i++)
        for (int k = 0; k < jobs + delayed; k++) wrong += all[i][k]->runs != 1;
    check("each once", wrong == 0);
    check("none before its time", early == 0);
    printf("     %d jobs of %d threads, the latest %.1f ms late\n", total, producers, (double)latest / 1e6);
    return has_failed;
}
