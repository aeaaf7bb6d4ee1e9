/*
 * What Swift can't import: system calls that need _GNU_SOURCE, function-like macros, computed constants, and headers
 * that the Glibc module leaves out. Every function returns -errno on failure.
 */
#ifndef NSM_AGENT_CLINUX_H
#define NSM_AGENT_CLINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_link.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/fib_rules.h>
#include <linux/veth.h>
#include <linux/if_tun.h>
#include <linux/net_namespace.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>

/* Moves the calling thread, and only it, into the network namespace behind `fd`. */
int cl_setns_net(int fd);
/* Gives the calling thread a new network namespace. */
int cl_unshare_net(void);
/* Gives the calling thread's process a mount namespace of its own. */
int cl_unshare_mount(void);
/* Bind-mounts, or changes propagation; the flags are those of mount(2). */
int cl_bind_mount(const char *source, const char *target);
int cl_make_shared(const char *path);
int cl_make_private_recursive(const char *path);
int cl_mount_tmpfs(const char *path);
int cl_unmount_detach(const char *path);
/*
 * Makes an empty file with mode 0400 that carries `mark` as an extended attribute before it has its name, where the file system
 * knows such. Locked (flock(2)) as long as the descriptor is open that is returned; -EEXIST when the name is taken.
 */
int cl_create_marked(const char *directory, const char *path, const char *mark);
/* Takes the mark away. */
int cl_unmark(int fd);
/*
 * Marks the empty file beneath what is mounted on a name in a directory. Locked as long as the descriptor is open that is
 * returned. -ENOSYS before Linux 5.2.
 */
int cl_mark_beneath(const char *directory, const char *name, const char *mark);
/*
 * Removes an empty file that carries this mark, unless it is locked: 0, or -EBUSY; -ENOENT when there is none such. `dry` only
 * looks.
 */
int cl_remove_marked(const char *path, const char *mark, bool dry);
/* Is `path` a file of the nsfs file system, so a namespace? 1 yes, 0 no. */
int cl_is_namespace_file(const char *path);

/* epoll, eventfd, inotify, pidfd */
int cl_epoll_create(void);
int cl_epoll_add(int epoll, int fd, uint64_t token);
int cl_epoll_add_priority(int epoll, int fd, uint64_t token); /* only for EPOLLPRI */
int cl_epoll_remove(int epoll, int fd);
struct cl_event { uint64_t token; uint32_t events; };
/* Waits for at most `timeout_ms` (-1: for ever); number of events, 0 on a time-out. */
int cl_epoll_wait(int epoll, struct cl_event *events, int capacity, int timeout_ms);
/* A descriptor that becomes readable when a mount appears or goes in this mount namespace; cl_mount_watch_reset()
 * makes it wait for the next one. */
int cl_mount_watch(int *mounts);
void cl_mount_watch_reset(int watch);
/* A timer as a descriptor; it becomes readable once, after `ms` milliseconds. 0 disarms it. */
int cl_timerfd(void);
int cl_timerfd_set(int fd, int64_t ms);
int cl_eventfd(void);
/* Blocks these signals in the calling thread; the descriptor becomes readable when one comes. */
int cl_signal_descriptor(const int *signals, int count);
int cl_inotify_create(void);
int cl_inotify_add(int fd, const char *path, uint32_t mask);
int cl_pidfd_open(pid_t pid);
int cl_memfd(const char *name); /* a file in memory, closed on exec */
extern const uint32_t CL_IN_NAMESPACE_DIRECTORY; /* create, delete, move in a directory */
extern const uint32_t CL_IN_CONFIG_DIRECTORY;    /* the same, and files written */
extern const uint32_t CL_IN_ITSELF;              /* only the directory deleted or moved */

/* netlink socket options that libmnl does not name */
int cl_set_receive_buffer(int fd, int bytes);
int cl_set_send_buffer(int fd, int bytes);

/*
 * TUN/TAP: makes a device in the calling thread's namespace and returns its descriptor. The device goes when the
 * descriptor is closed, unless it was made persistent. owner/group -1: none.
 */
int cl_tap_create(const char *name, bool tun, bool multi_queue, bool vnet_header, int64_t owner, int64_t group);
int cl_tap_persist(int fd, bool persistent);

/* ethtool offload flags: 1 on, 0 off, -errno. The socket decides the namespace. */
int cl_ethtool_get(int socket, const char *name, uint32_t command);
int cl_ethtool_set(int socket, const char *name, uint32_t command, bool on);
/* Which driver a device has, and on which bus address it is, as texts that end with a zero; 0 or -errno. */
int cl_ethtool_driver(int socket, const char *name, char driver[32], char bus[32]);
extern const uint32_t CL_ETHTOOL_GRXCSUM, CL_ETHTOOL_SRXCSUM, CL_ETHTOOL_GTXCSUM, CL_ETHTOOL_STXCSUM;

/* Writes all bytes, however few the kernel takes at a time; 0, or -errno, which is in errno too, when it took only some. */
int cl_write_all(int fd, const void *bytes, size_t count);
/* Gives a file a name that no other has; 0, or -errno, -EEXIST where one has it. */
int cl_rename_new(const char *from, const char *to);
/* Raises the soft limit of open files to the hard one; the new limit. */
uint64_t cl_raise_file_limit(void);
/* The soft limit of open files. */
uint64_t cl_file_limit(void);
/* The capability sets of the process: 1 if effective holds `capability`. */
int cl_has_capability(int capability);
extern const int CL_CAP_NET_ADMIN, CL_CAP_SYS_ADMIN;
/* Sends `message` to the service manager named by NOTIFY_SOCKET, and waits so long for one that does not read; 0 also when there
   is none. */
int cl_notify(const char *message, int wait_seconds);
int cl_gettid(void);
/* The standard error and output streams as descriptors are 2 and 1; whether one is a terminal. */
bool cl_is_terminal(int fd);
/* CPU time of the process in nanoseconds, and its peak resident set in bytes. */
uint64_t cl_cpu_time(void);
uint64_t cl_peak_rss(void);
/* Bytes of the heap that are handed out. */
uint64_t cl_heap_in_use(void);

/* Is `fd` a network namespace? 1 yes, 0 no. */
int cl_is_network_namespace(int fd);
/* Makes `path` a shared mount point without touching the mounts below it, so that the cost does not grow with them. */
int cl_share_mount_point(const char *path);
/* A new descriptor of the network namespace that a socket is in, close-on-exec. Takes CAP_NET_ADMIN there. */
int cl_namespace_of_socket(int fd);
/*
 * One datagram of the kernel from a netlink socket; those of other processes are dropped. -EMSGSIZE when it was longer
 * than the buffer.
 */
ssize_t cl_netlink_receive(int fd, void *buffer, size_t capacity);
/* Waits until `fd` is readable: 1 yes, 0 after `timeout_ms`. */
int cl_wait_readable(int fd, int timeout_ms);
/* The symbol of an errno value, such as "EEXIST", and its English text; NULL when unknown. */
const char *cl_error_symbol(int code);
const char *cl_error_text(int code);

extern const uint16_t CL_NLA_F_NESTED, CL_NLA_TYPE_MASK;
extern const int CL_NLMSG_HDRLEN;
extern const uint32_t CL_IFF_UP, CL_IFF_RUNNING, CL_IFF_LOWER_UP, CL_IFF_LOOPBACK;

/*
 * Unix sockets that carry descriptors. All sockets are non-blocking and close-on-exec.
 */
/* Makes a directory with a mode that the umask does not change; 0, or -EEXIST when it is there. */
int cl_make_directory(const char *path, mode_t mode);
/* Binds and listens; the file has `mode` before anybody can connect, whatever the umask. */
int cl_unix_listen(const char *path, mode_t mode);
/* Connects; -EAGAIN when the listener's queue is full. */
int cl_unix_connect(const char *path);
/*
 * The same for an abstract name in the calling thread's network namespace, which disappears with its socket:
 * -EADDRINUSE when another socket has it. cl_peer_credentials() returns the owner's credentials.
 */
int cl_abstract_listen(const char *name);
int cl_abstract_connect(const char *name);
/* Listens on a numeric address; port 0: any. cl_socket_port() tells which. */
/* Seconds without traffic before a TCP peer is asked, seconds between the questions, and how many may stay unanswered. */
#define CL_KEEPALIVE_IDLE 30
#define CL_KEEPALIVE_INTERVAL 10
#define CL_KEEPALIVE_COUNT 3
int cl_tcp_listen(const char *address, uint16_t port);
int cl_socket_port(int fd);
/* The next connection of a listener; -EAGAIN when there is none. */
int cl_accept(int listener);
int cl_stream_pair(int pair[2]);
/* Sends one byte and a descriptor with it; 1, or -errno. */
int cl_send_descriptor(int fd, const void *byte, int descriptor);
ssize_t cl_send(int fd, const void *bytes, size_t count);
/*
 * Receives bytes and up to CL_MAX_DESCRIPTORS descriptors, close-on-exec. `truncated` tells that the kernel had to drop
 * some.
 */
#define CL_MAX_DESCRIPTORS 64
ssize_t cl_receive_descriptors(int fd, void *buffer, size_t capacity, int *descriptors, int *count, bool *truncated);
struct cl_credentials { pid_t pid; uid_t uid; gid_t gid; };
int cl_peer_credentials(int fd, struct cl_credentials *credentials);
/* The supplementary groups of the process that connected: how many; -ERANGE when there is no room. */
int cl_peer_groups(int fd, gid_t *groups, int capacity);
/*
 * Of an accepted Unix socket both tell of the network namespace in which its *client* was made: a descriptor, which needs
 * CAP_NET_ADMIN over it, and a number that the kernel gives no other namespace until the next boot (since Linux 5.14).
 */
int cl_socket_namespace(int fd);
int cl_socket_namespace_cookie(int fd, uint64_t *cookie);
/* The numeric address of a TCP peer. */
int cl_peer_address(int fd, char *text, size_t capacity);
/* The user of the socket at the other end of a TCP connection, if that is in this network namespace: 0 or -errno. */
int cl_peer_user(int fd, uint32_t *user);
/* What a descriptor stands for: whether it is a socket, and whose. */
struct cl_file_status { bool is_socket; mode_t mode; uid_t uid; gid_t gid; };
int cl_status(int fd, struct cl_file_status *status);
/*
 * Whether the Unix socket whose file a descriptor stands for listens in the network namespace of this process: 1 yes, 0 no;
 * -errno when the kernel does not tell (unix_diag). On overlayfs the kernel may know the file by another number: 0.
 */
int cl_unix_listens_here(int fd);
/* Whether a descriptor, opened in whatever way, is a namespace: 1 yes, 0 no. */
int cl_is_namespace(int fd);
int cl_shutdown_write(int fd);
/* Device and inode of what a descriptor stands for. */
int cl_inode(int fd, uint64_t *device, uint64_t *inode);
/* open(2) for reading, or with O_PATH; close-on-exec. */
int cl_open(const char *path, bool path_only);
/* Adds `fd`, edge-triggered for reading; the second one also watches it for room to write, or no more. */
int cl_epoll_add_edge(int epoll, int fd, uint64_t token);
int cl_epoll_watch_writes(int epoll, int fd, uint64_t token, bool on);
extern const uint32_t CL_EPOLLIN, CL_EPOLLOUT, CL_EPOLLHUP, CL_EPOLLERR, CL_EPOLLRDHUP;

/*
 * A socket in the network namespace behind `namespace_fd`, made on a thread that lives only for it.
 */
int cl_socket_in_namespace(int namespace_fd, int domain, int type, int protocol);
/* cl_socket_namespace_cookie() of the namespace behind a descriptor. */
int cl_namespace_cookie(int namespace_fd, uint64_t *cookie);

/*
 * ICMP echoes by datagram sockets, icmp(7). `family` is AF_INET or AF_INET6, addresses are 4 or 16 bytes in network order.
 *
 * cl_interface_index: the index of an interface in the socket's namespace, or -errno.
 * cl_send_echo: asks `destination` from `source`; through the interface with `index` unless that is 0. 0 or -errno.
 * cl_receive_echo: the next answer: its sequence number and who answers. 1; 0 when there is none; -errno.
 */
int cl_interface_index(int socket, const char *name);
int cl_send_echo(int socket, int family, const void *source, const void *destination, int index, uint16_t sequence);
int cl_receive_echo(int socket, uint16_t *sequence, uint8_t from[16]);

/*
 * Programs that speak netlink for us.
 */
/* A path that a program may read, with all that is below; `executable` for programs, libraries and the loader. */
struct cl_path { const char *path; bool executable; };
/*
 * A descriptor of Landlock rules that allow reading these paths and nothing else; paths that aren't there are passed over.
 * -ENOSYS or -EOPNOTSUPP: this kernel has no Landlock, or it is switched off.
 */
int cl_files_allowed(const struct cl_path *paths, size_t count);
struct cl_program {
	const char *path;
	char *const *arguments;
	int network;                   /* the network namespace; -1: the caller's */
	int input, output, errors;     /* files for descriptors 0, 1 and 2 */
	uint64_t most_output;          /* bytes that each of them may grow to; SIGXFSZ ends the program at that */
	int files;                     /* of cl_files_allowed(); -1: a mount namespace of its own with `paths` alone */
	const struct cl_path *paths;
	size_t path_count;
};
/* Where a start failed. */
enum cl_program_step {
	CL_PROGRAM_NAMESPACE = 1, CL_PROGRAM_STREAMS, CL_PROGRAM_LIMITS, CL_PROGRAM_FILES, CL_PROGRAM_RIGHTS, CL_PROGRAM_EXEC
};
/*
 * Starts a program without descriptors but these, signal handlers or environment of ours, with no right but CAP_NET_ADMIN,
 * and with no file but the allowed ones. Its pid; -errno with where it failed in `step`.
 */
int cl_program_start(const struct cl_program *program, int *step);
/* Waits for its end; its status as of waitpid(2). 1; 0 when the time was over and it was killed. */
int cl_program_wait(pid_t pid, int timeout_ms, int *status);
/* A network namespace without a name that lasts as long as the descriptor. The caller's thread never moves. */
int cl_new_network_namespace(void);

/* Has all threads take memory from one heap, so that what one gives back serves the others. */
void cl_share_heap(void);
/* Returns unused memory to the kernel. */
void cl_trim_heap(void);
/* Releases the program's resident pages. Pages that are needed again come from the page cache; pages that only the
 * start or other rare work needed stay out. */
void cl_release_program(void);

/* Runs Swift tasks that prefer no executor on threads of our own from now on. To be called before the first such task. */
void cl_use_own_workers(void);
/* Runs a job of Swift's there. */
void cl_run_task(void *job);
/* The same in so many nanoseconds, or so many more at most. */
void cl_run_task_later(void *job, int64_t delay, int64_t tolerance);

#endif
