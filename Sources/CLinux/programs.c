/*
 * Runs a program in a network namespace, without files and with CAP_NET_ADMIN as its only right.
 *
 * Between clone and exec the child shares the memory of the caller, who waits: only system calls there.
 */
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Landlock, landlock(7). The headers of older systems don't have it; the kernel's numbers are the same everywhere. */
#define LANDLOCK_CREATE_RULESET 444
#define LANDLOCK_ADD_RULE 445
#define LANDLOCK_RESTRICT_SELF 446
enum { LANDLOCK_EXECUTE = 1, LANDLOCK_READ_FILE = 4, LANDLOCK_READ_DIRECTORY = 8 };
struct landlock_ruleset { uint64_t files, ports, scopes; };
struct landlock_path { uint64_t allowed; int32_t parent; } __attribute__((packed));

/* A short text can be a long list of rules. */
#define MOST_MEMORY (1ULL << 30)

static int result(long value) { return value < 0 ? -errno : (int)value; }

int cl_files_allowed(const struct cl_path *paths, size_t count)
{
	/* What each version of Landlock added to what it can forbid. */
	static const uint64_t files[] = {0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};
	long version = syscall(LANDLOCK_CREATE_RULESET, NULL, 0, 1);
	if (version < 1)
		return version < 0 ? -errno : -ENOSYS;
	struct landlock_ruleset all = {
		.files = files[version > 5 ? 4 : version - 1], .ports = version >= 4 ? 3 : 0, .scopes = version >= 6 ? 3 : 0};
	size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
	int rules = result(syscall(LANDLOCK_CREATE_RULESET, &all, size, 0));
	if (rules < 0)
		return rules;
	fcntl(rules, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < count; i++) {
		int fd = open(paths[i].path, O_PATH | O_CLOEXEC);
		struct stat s;
		if (fd < 0)
			continue;
		struct landlock_path rule = {.allowed = LANDLOCK_READ_FILE, .parent = fd};
		if (paths[i].executable)
			rule.allowed |= LANDLOCK_EXECUTE;
		if (fstat(fd, &s) == 0 && S_ISDIR(s.st_mode))
			rule.allowed |= LANDLOCK_READ_DIRECTORY;
		int error = result(syscall(LANDLOCK_ADD_RULE, rules, 1, &rule, 0));
		close(fd);
		if (error < 0) {
			close(rules);
			return error;
		}
	}
	return rules;
}

/* What the child tells of its way to exec. */
struct start {
	const struct cl_program *program;
	volatile int error;
	volatile int step;
};

static void fail(struct start *start, int step)
{
	start->error = errno;
	start->step = step;
	_exit(127);
}

/* Makes the directories of `path` below the working directory; the last part too, as a file or a directory. */
static int make_place(const char *path, bool directory)
{
	char part[512];
	size_t length = strlen(path);
	if (length >= sizeof part)
		return -1;
	memcpy(part, path, length + 1);
	for (size_t i = 1; i < length; i++)
		if (part[i] == '/') {
			part[i] = 0;
			mkdir(part, 0755);
			part[i] = '/';
		}
	if (directory)
		return mkdir(part, 0755) < 0 && errno != EEXIST ? -1 : 0;
	int fd = open(part, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

/* The input as a file: without /proc there is no /dev/stdin. */
static int copy_input(int input)
{
	char buffer[4096];
	int fd;
	ssize_t count;
	off_t position = 0;
	if (make_place("dev/stdin", false) < 0 || (fd = open("dev/stdin", O_WRONLY | O_CLOEXEC)) < 0)
		return -1;
	while ((count = pread(input, buffer, sizeof buffer, position)) > 0) {
		if (write(fd, buffer, count) != count)
			return -1;
		position += count;
	}
	close(fd);
	return count < 0 ? -1 : 0;
}

/* Without Landlock: a mount namespace in which nothing but the allowed paths is to be seen, all of them read-only. */
static int leave_files(const struct cl_program *program)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	if (mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0 || chdir("/tmp") < 0)
		return -1;
	for (size_t i = 0; i < program->path_count; i++) {
		const char *from = program->paths[i].path;
		struct stat s;
		if (stat(from, &s) < 0)
			continue;
		if (make_place(from + 1, S_ISDIR(s.st_mode)) < 0 || mount(from, from + 1, NULL, MS_BIND, NULL) < 0 ||
		    mount("", from + 1, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
			return -1;
	}
	if (copy_input(program->input) < 0)
		return -1;
	if (mount("", ".", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		return -1;
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return -1;
	return 0;
}

/* CAP_NET_ADMIN, also after exec, and none else. */
static int leave_rights(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2] = {{0}};
	/* With this a program of root gets no right at exec that it had not before; so it matters little that the bounding
	 * set can be cut only by those who hold CAP_SETPCAP. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	for (int capability = 0; capability <= 63; capability++)
		if (capability != CAP_NET_ADMIN && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno == EINVAL)
			break;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	sets[0].effective = sets[0].permitted = sets[0].inheritable = 1u << CAP_NET_ADMIN;
	if (syscall(SYS_capset, &header, sets) < 0)
		return -1;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0);
	return 0;
}

static int limit(int resource, uint64_t most)
{
	struct rlimit limits = {most, most};
	return setrlimit(resource, &limits);
}

static int child(void *argument)
{
	struct start *start = argument;
	const struct cl_program *program = start->program;
	static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	sigset_t none;

	/* No handler of ours may run here: it would do so in the caller's memory. */
	for (int signal = 1; signal < NSIG; signal++) {
		struct sigaction action = {.sa_handler = SIG_DFL};
		sigaction(signal, &action, NULL);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (program->network >= 0 && setns(program->network, CLONE_NEWNET) < 0)
		fail(start, CL_PROGRAM_NAMESPACE);
	setsid();
	umask(077);
	int streams[] = {program->input, program->output, program->errors};
	for (int i = 0; i < 3; i++)
		if (dup2(streams[i], i) < 0)
			fail(start, CL_PROGRAM_STREAMS);
	if (program->files < 0 && leave_files(program) < 0)
		fail(start, CL_PROGRAM_FILES);
	if (limit(RLIMIT_FSIZE, program->most_output) < 0 || limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_CPU, 60) < 0 ||
	    limit(RLIMIT_AS, MOST_MEMORY) < 0)
		fail(start, CL_PROGRAM_LIMITS);
	if (chdir("/") < 0)
		fail(start, CL_PROGRAM_FILES);
	if (leave_rights() < 0)
		fail(start, CL_PROGRAM_RIGHTS);
	if (program->files >= 0 && syscall(LANDLOCK_RESTRICT_SELF, program->files, 0) < 0)
		fail(start, CL_PROGRAM_FILES);
	/* Before Linux 5.9 there is no close_range(2); all of ours are close-on-exec anyway. */
	syscall(SYS_close_range, 3, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(program->path, program->arguments, environment);
	fail(start, CL_PROGRAM_EXEC);
	return 127;
}

int cl_program_start(const struct cl_program *program, int *step)
{
	/* The descriptors above 2, so that putting them on 0 to 2 overwrites none of them. */
	struct cl_program copy = *program;
	struct start start = {.program = &copy};
	sigset_t all, former;
	size_t size = 256 << 10;
	int *streams[] = {&copy.input, &copy.output, &copy.errors}, opened[3] = {-1, -1, -1};
	int pid = 0;

	for (int i = 0; i < 3; i++)
		if (*streams[i] < 3) {
			opened[i] = fcntl(*streams[i], F_DUPFD_CLOEXEC, 3);
			if (opened[i] < 0)
				pid = -errno;
			*streams[i] = opened[i];
		}
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		pid = -errno;
	if (pid == 0) {
		sigfillset(&all);
		pthread_sigmask(SIG_BLOCK, &all, &former);
		pid = result(clone(child, stack + size, CLONE_VM | CLONE_VFORK | SIGCHLD, &start));
		pthread_sigmask(SIG_SETMASK, &former, NULL);
	}
	if (stack != MAP_FAILED)
		munmap(stack, size);
	for (int i = 0; i < 3; i++)
		if (opened[i] >= 0)
			close(opened[i]);
	*step = start.step;
	if (pid > 0 && start.error) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return -start.error;
	}
	return pid;
}

int cl_program_wait(pid_t pid, int timeout_ms, int *status)
{
	int fd = cl_pidfd_open(pid), error = 1;
	if (fd >= 0) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		int64_t end = now.tv_sec * 1000LL + now.tv_nsec / 1000000 + timeout_ms, left = timeout_ms;
		do {
			struct pollfd entry = {.fd = fd, .events = POLLIN};
			error = poll(&entry, 1, (int)left);
			clock_gettime(CLOCK_MONOTONIC, &now);
			left = end - now.tv_sec * 1000LL - now.tv_nsec / 1000000;
		} while (error < 0 && errno == EINTR && left > 0);
		close(fd);
	} else {
		/* Before Linux 5.3, or without descriptors: its end is asked for now and then. */
		pid_t ended = 0;
		for (int waited = 0; (ended = waitpid(pid, status, WNOHANG)) == 0 && waited < timeout_ms; waited += 5)
			usleep(5000);
		if (ended == pid)
			return 1;
		error = ended == 0 ? 0 : 1;
	}
	if (error <= 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return error > 0;
}

static void *make_scratch(void *argument)
{
	int *fd = argument;
	*fd = unshare(CLONE_NEWNET) < 0 ? -errno : result(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
	return NULL;
}

int cl_new_network_namespace(void)
{
	pthread_t thread;
	int fd = -1, error = pthread_create(&thread, NULL, make_scratch, &fd);
	if (error)
		return -error;
	pthread_join(thread, NULL);
	return fd;
}
