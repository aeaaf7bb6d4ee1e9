#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
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
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

const uint16_t CL_NLA_F_NESTED = NLA_F_NESTED, CL_NLA_TYPE_MASK = (uint16_t)NLA_TYPE_MASK;
const int CL_NLMSG_HDRLEN = NLMSG_HDRLEN;
const uint32_t CL_IFF_UP = IFF_UP, CL_IFF_RUNNING = IFF_RUNNING, CL_IFF_LOWER_UP = IFF_LOWER_UP,
	       CL_IFF_LOOPBACK = IFF_LOOPBACK;
const uint32_t CL_ETHTOOL_GRXCSUM = ETHTOOL_GRXCSUM, CL_ETHTOOL_SRXCSUM = ETHTOOL_SRXCSUM,
	       CL_ETHTOOL_GTXCSUM = ETHTOOL_GTXCSUM, CL_ETHTOOL_STXCSUM = ETHTOOL_STXCSUM;
const int CL_CAP_NET_ADMIN = CAP_NET_ADMIN, CL_CAP_SYS_ADMIN = CAP_SYS_ADMIN;
const uint32_t CL_IN_NAMESPACE_DIRECTORY = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
const uint32_t CL_IN_CONFIG_DIRECTORY =
	IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF;
const uint32_t CL_IN_ITSELF = IN_DELETE_SELF | IN_MOVE_SELF;

static int result(long value) { return value < 0 ? -errno : (int)value; }

int cl_setns_net(int fd) { return result(setns(fd, CLONE_NEWNET)); }
int cl_unshare_net(void) { return result(unshare(CLONE_NEWNET)); }
int cl_unshare_mount(void) { return result(unshare(CLONE_NEWNS)); }
int cl_bind_mount(const char *source, const char *target) { return result(mount(source, target, "none", MS_BIND, NULL)); }
int cl_make_private_recursive(const char *path) { return result(mount("", path, "none", MS_PRIVATE | MS_REC, NULL)); }
int cl_mount_tmpfs(const char *path) { return result(mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755")); }
int cl_unmount_detach(const char *path) { return result(umount2(path, MNT_DETACH)); }

static const char mark_name[] = "trusted.nsm-agent";

/* Without a right to marks, or a file system that keeps them, the file has none. */
static void mark_file(int fd, const char *mark)
{
	flock(fd, LOCK_EX | LOCK_NB);
	fsetxattr(fd, mark_name, mark, strlen(mark), 0);
}

int cl_create_marked(const char *directory, const char *path, const char *mark)
{
	char self[32];
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);
	if (fd >= 0) {
		mark_file(fd, mark);
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
			return fd;
		int error = -errno;
		close(fd);
		if (error == -EEXIST)
			return error;
	}
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return -errno;
	mark_file(fd, mark);
	return fd;
}

int cl_unmark(int fd) { return result(fremovexattr(fd, mark_name)); }

int cl_mark_beneath(const char *directory, const char *name, const char *mark)
{
	struct stat s;
	/* A copy of the mount without those on it. */
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, directory, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC), fd;
	if (tree < 0)
		return -errno;
	fd = result(openat(tree, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
	close(tree);
	if (fd < 0)
		return fd;
	if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode) || s.st_size != 0) {
		close(fd);
		return -ENOENT;
	}
	mark_file(fd, mark);
	return fd;
}

int cl_remove_marked(const char *path, const char *mark, bool dry)
{
	char found[256];
	struct stat s;
	ssize_t length = lgetxattr(path, mark_name, found, sizeof(found));
	if (length < 0 || (size_t)length != strlen(mark) || memcmp(found, mark, (size_t)length) != 0)
		return -ENOENT;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), outcome = 0;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode) || s.st_size != 0)
		outcome = -ENOENT;
	else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		outcome = -EBUSY;
	else if (!dry && unlink(path) < 0)
		outcome = -errno;
	close(fd);
	return outcome;
}

/* As ip-netns(8) does: a shared mount point, so that namespaces made here show up in other mount namespaces. */
int cl_make_shared(const char *path)
{
	if (mount("", path, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	if (mount(path, path, "none", MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	return result(mount("", path, "none", MS_SHARED | MS_REC, NULL));
}

int cl_is_namespace_file(const char *path)
{
	struct statfs s;
	if (statfs(path, &s) < 0)
		return -errno;
	return s.f_type == NSFS_MAGIC || s.f_type == PROC_SUPER_MAGIC;
}

int cl_epoll_create(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

int cl_epoll_add(int epoll, int fd, uint64_t token)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = token};
	return result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e));
}

int cl_epoll_add_priority(int epoll, int fd, uint64_t token)
{
	struct epoll_event e = {.events = EPOLLPRI, .data.u64 = token};
	return result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e));
}

int cl_epoll_remove(int epoll, int fd) { return result(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL)); }

int cl_epoll_wait(int epoll, struct cl_event *events, int capacity, int timeout_ms)
{
	struct epoll_event raw[256];
	if (capacity > 256)
		capacity = 256;
	int n = epoll_wait(epoll, raw, capacity, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		events[i] = (struct cl_event){raw[i].data.u64, raw[i].events};
	return n;
}

int cl_mount_watch(int *mounts)
{
	struct epoll_event e = {.events = EPOLLPRI | EPOLLET};
	int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), watch = -1;
	if (fd < 0)
		return -errno;
	watch = epoll_create1(EPOLL_CLOEXEC);
	if (watch < 0 || epoll_ctl(watch, EPOLL_CTL_ADD, fd, &e) < 0) {
		int error = -errno;
		close(fd);
		if (watch >= 0)
			close(watch);
		return error;
	}
	*mounts = fd;
	return watch;
}

void cl_mount_watch_reset(int watch)
{
	struct epoll_event e;
	while (epoll_wait(watch, &e, 1, 0) > 0)
		;
}

int cl_timerfd(void) { return result(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)); }

int cl_timerfd_set(int fd, int64_t ms)
{
	struct itimerspec t = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}};
	return result(timerfd_settime(fd, 0, &t, NULL));
}

int cl_signal_descriptor(const int *signals, int count)
{
	sigset_t set;
	sigemptyset(&set);
	for (int i = 0; i < count; i++)
		sigaddset(&set, signals[i]);
	int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
	return error ? -error : result(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int cl_eventfd(void) { return result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
int cl_inotify_create(void) { return result(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)); }
int cl_inotify_add(int fd, const char *path, uint32_t mask) { return result(inotify_add_watch(fd, path, mask)); }
int cl_rename_new(const char *from, const char *to)
{
	int done = result(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE));
	/* Some file systems can't. */
	if (done != -EINVAL && done != -ENOSYS)
		return done;
	done = result(link(from, to));
	if (done == 0)
		unlink(from);
	return done;
}

int cl_memfd(const char *name) { return result(memfd_create(name, MFD_CLOEXEC)); }
int cl_pidfd_open(pid_t pid) { return result(syscall(SYS_pidfd_open, pid, 0)); }

int cl_set_receive_buffer(int fd, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0)
		return 0;
	return result(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes));
}

int cl_set_send_buffer(int fd, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) == 0)
		return 0;
	return result(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
}

int cl_tap_create(const char *name, bool tun, bool multi_queue, bool vnet_header, int64_t owner, int64_t group)
{
	struct ifreq request = {0};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), error = 0;
	if (fd < 0)
		return -errno;
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	request.ifr_flags = (tun ? IFF_TUN : IFF_TAP) | IFF_NO_PI | IFF_TUN_EXCL | (multi_queue ? IFF_MULTI_QUEUE : 0) |
			    (vnet_header ? IFF_VNET_HDR : 0);
	if (ioctl(fd, TUNSETIFF, &request) < 0 || (owner >= 0 && ioctl(fd, TUNSETOWNER, (unsigned long)owner) < 0) ||
	    (group >= 0 && ioctl(fd, TUNSETGROUP, (unsigned long)group) < 0))
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}

int cl_tap_persist(int fd, bool persistent) { return result(ioctl(fd, TUNSETPERSIST, (unsigned long)persistent)); }

static int ethtool(int socket, const char *name, struct ethtool_value *value)
{
	struct ifreq request = {0};
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	request.ifr_data = (void *)value;
	return result(ioctl(socket, SIOCETHTOOL, &request));
}

int cl_ethtool_get(int socket, const char *name, uint32_t command)
{
	struct ethtool_value value = {.cmd = command};
	int error = ethtool(socket, name, &value);
	return error < 0 ? error : value.data != 0;
}

int cl_ethtool_driver(int socket, const char *name, char driver[32], char bus[32])
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {0};
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	request.ifr_data = (void *)&info;
	int error = result(ioctl(socket, SIOCETHTOOL, &request));
	if (error < 0)
		return error;
	memcpy(driver, info.driver, 31);
	memcpy(bus, info.bus_info, 31);
	driver[31] = bus[31] = 0;
	return 0;
}

int cl_ethtool_set(int socket, const char *name, uint32_t command, bool on)
{
	struct ethtool_value value = {.cmd = command, .data = on};
	return ethtool(socket, name, &value);
}

uint64_t cl_raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

int cl_has_capability(int capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	return data[capability / 32].effective >> capability % 32 & 1;
}

int cl_notify(const char *message, int wait_seconds)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (!path || !*path)
		return 0;
	size_t length = strlen(path);
	if (length >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length);
	if (address.sun_path[0] == '@')
		address.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	struct timeval limit = {.tv_sec = wait_seconds};
	if (wait_seconds > 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	int flags = MSG_NOSIGNAL | (wait_seconds > 0 ? 0 : MSG_DONTWAIT);
	ssize_t sent = sendto(fd, message, strlen(message), flags, (struct sockaddr *)&address,
			      offsetof(struct sockaddr_un, sun_path) + length);
	int error = sent < 0 ? -errno : 0;
	close(fd);
	return error;
}

int cl_gettid(void) { return (int)syscall(SYS_gettid); }
bool cl_is_terminal(int fd) { return isatty(fd) == 1; }

uint64_t cl_cpu_time(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t cl_peak_rss(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_maxrss * 1024;
}

uint64_t cl_heap_in_use(void)
{
	struct mallinfo2 info = mallinfo2();
	return (uint64_t)info.uordblks + info.hblkhd;
}

uint64_t cl_file_limit(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (uint64_t)limit.rlim_cur : 0;
}

int cl_is_network_namespace(int fd)
{
	int type = ioctl(fd, NS_GET_NSTYPE);
	if (type < 0)
		return errno == ENOTTY || errno == EINVAL ? 0 : -errno;
	return type == CLONE_NEWNET;
}

int cl_share_mount_point(const char *path)
{
	if (mount("", path, "none", MS_SHARED, NULL) == 0)
		return 0;
	return cl_make_shared(path);
}

int cl_namespace_of_socket(int fd) { return result(ioctl(fd, SIOCGSKNS)); }

ssize_t cl_netlink_receive(int fd, void *buffer, size_t capacity)
{
	for (;;) {
		struct sockaddr_nl sender = {0};
		struct iovec part = {buffer, capacity};
		struct msghdr message = {
			.msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &part, .msg_iovlen = 1};
		ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (message.msg_namelen != sizeof sender || sender.nl_pid != 0)
			continue;
		return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : count;
	}
}

int cl_wait_readable(int fd, int timeout_ms)
{
	struct pollfd entry = {.fd = fd, .events = POLLIN};
	int count = poll(&entry, 1, timeout_ms);
	return count < 0 ? (errno == EINTR ? 0 : -errno) : count > 0;
}

const char *cl_error_symbol(int code) { return strerrorname_np(code); }
const char *cl_error_text(int code) { return strerrordesc_np(code); }

void cl_share_heap(void) { mallopt(M_ARENA_MAX, 1); }

void cl_trim_heap(void) { malloc_trim(0); }

/* The program itself comes first; what it never writes has no pages of its own. */
static int release_program(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
		uintptr_t start = (info->dlpi_addr + part->p_vaddr + page - 1) & ~(page - 1);
		uintptr_t end = (info->dlpi_addr + part->p_vaddr + part->p_filesz) & ~(page - 1);
		if (part->p_type == PT_LOAD && !(part->p_flags & PF_W) && end > start)
			madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 1;
}

void cl_release_program(void) { dl_iterate_phdr(release_program, NULL); }
