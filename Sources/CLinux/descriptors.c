#define _GNU_SOURCE
#include "CLinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/unix_diag.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

/* Newer than the headers of some systems. Source: asm-generic/socket.h, linux/sockios.h. */
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

const uint32_t CL_EPOLLIN = EPOLLIN, CL_EPOLLOUT = EPOLLOUT, CL_EPOLLHUP = EPOLLHUP, CL_EPOLLERR = EPOLLERR,
               CL_EPOLLRDHUP = EPOLLRDHUP;

static int close_with(int fd, int error) {
    close(fd);
    return -error;
}

static int unix_address(const char *path, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) return -ENAMETOOLONG;
    strcpy(address->sun_path, path);
    return 0;
}

/* Changes the mode of the file itself, never of what a symbolic link that took its place leads to. */
static int change_mode(const char *path, mode_t mode) {
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -errno;
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    struct stat status;
    int error = fstat(fd, &status) < 0 ? -errno : 0;
    if (error == 0 && S_ISLNK(status.st_mode)) error = -ELOOP;
    if (error == 0 && chmod(name, mode) < 0) error = -errno;
    close(fd);
    return error;
}

int cl_make_directory(const char *path, mode_t mode) {
    if (mkdir(path, mode) < 0) return -errno;
    return change_mode(path, mode);
}

int cl_unix_listen(const char *path, mode_t mode) {
    struct sockaddr_un address;
    int error = unix_address(path, &address);
    if (error < 0) return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    /* The kernel makes the file with the socket inode's own mode, less the umask: nobody else may connect before chmod. */
    if (fchmod(fd, 0600) < 0) return close_with(fd, errno);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) return close_with(fd, errno);
    error = change_mode(path, mode);
    if (error == 0 && listen(fd, 4096) < 0) error = -errno;
    if (error < 0) {
        unlink(path);
        return close_with(fd, -error);
    }
    return fd;
}

int cl_unix_connect(const char *path) {
    struct sockaddr_un address;
    int error = unix_address(path, &address);
    if (error < 0) return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return close_with(fd, errno);
    return fd;
}

static int abstract_socket(const char *name, struct sockaddr_un *address, socklen_t *length) {
    size_t count = strlen(name);
    if (count >= sizeof address->sun_path) return -ENAMETOOLONG;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path + 1, name, count);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + count);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int cl_abstract_listen(const char *name) {
    struct sockaddr_un address;
    socklen_t length;
    int fd = abstract_socket(name, &address, &length);
    if (fd < 0) return fd;
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0) return close_with(fd, errno);
    return fd;
}

int cl_abstract_connect(const char *name) {
    struct sockaddr_un address;
    socklen_t length;
    int fd = abstract_socket(name, &address, &length);
    if (fd < 0) return fd;
    if (connect(fd, (struct sockaddr *)&address, length) < 0) return close_with(fd, errno);
    return fd;
}

int cl_tcp_listen(const char *address, uint16_t port) {
    struct sockaddr_storage storage;
    socklen_t length;
    memset(&storage, 0, sizeof storage);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        length = sizeof *v4;
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        length = sizeof *v6;
    } else {
        return -EINVAL;
    }
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int on = 1, idle = CL_KEEPALIVE_IDLE, interval = CL_KEEPALIVE_INTERVAL, count = CL_KEEPALIVE_COUNT;
    /* Accepted sockets inherit them. Without keepalive a peer whose host went away would be kept for ever. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 || bind(fd, (struct sockaddr *)&storage, length) < 0 ||
        listen(fd, 4096) < 0)
        return close_with(fd, errno);
    return fd;
}

int cl_socket_port(int fd) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0) return -errno;
    if (storage.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&storage)->sin_port);
    if (storage.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&storage)->sin6_port);
    return -EAFNOSUPPORT;
}

int cl_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return -errno;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails, as it should, on a unix socket */
    return fd;
}

int cl_stream_pair(int pair[2]) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

int cl_send_descriptor(int fd, const void *byte, int descriptor) {
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec data = {.iov_base = (void *)byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : (int)sent;
}

int cl_write_all(int fd, const void *bytes, size_t count) {
    const char *next = bytes;
    while (count > 0) {
        ssize_t written = write(fd, next, count);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = EIO;
        if (written <= 0) return -errno;
        next += written;
        count -= (size_t)written;
    }
    return 0;
}

ssize_t cl_send(int fd, const void *bytes, size_t count) {
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

ssize_t cl_receive_descriptors(int fd, void *buffer, size_t capacity, int *descriptors, int *count, bool *truncated) {
    char control[CMSG_SPACE(CL_MAX_DESCRIPTORS * sizeof(int))] __attribute__((aligned(8)));
    struct iovec data = {.iov_base = buffer, .iov_len = capacity};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    *count = 0;
    ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (received < 0) return -errno;
    *truncated = message.msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t bytes = header->cmsg_len - CMSG_LEN(0);
        for (size_t offset = 0; offset + sizeof(int) <= bytes; offset += sizeof(int)) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + offset, sizeof(int));
            if (*count < CL_MAX_DESCRIPTORS)
                descriptors[(*count)++] = descriptor;
            else
                close(descriptor);
        }
    }
    return received;
}

int cl_peer_credentials(int fd, struct cl_credentials *credentials) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
    credentials->pid = peer.pid;
    credentials->uid = peer.uid;
    credentials->gid = peer.gid;
    return 0;
}

int cl_peer_groups(int fd, gid_t *groups, int capacity) {
    socklen_t length = (socklen_t)capacity * sizeof *groups;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) return -errno;
    return (int)(length / sizeof *groups);
}

int cl_socket_namespace(int fd) {
    int space = ioctl(fd, SIOCGSKNS);
    return space < 0 ? -errno : space;
}

int cl_socket_namespace_cookie(int fd, uint64_t *cookie) {
    socklen_t length = sizeof *cookie;
    return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length) < 0 ? -errno : 0;
}

int cl_peer_address(int fd, char *text, size_t capacity) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getpeername(fd, (struct sockaddr *)&storage, &length) < 0) return -errno;
    const void *address;
    if (storage.ss_family == AF_INET) {
        address = &((struct sockaddr_in *)&storage)->sin_addr;
    } else if (storage.ss_family == AF_INET6) {
        address = &((struct sockaddr_in6 *)&storage)->sin6_addr;
    } else {
        return -EAFNOSUPPORT;
    }
    return inet_ntop(storage.ss_family, address, text, (socklen_t)capacity) ? 0 : -errno;
}

int cl_status(int fd, struct cl_file_status *status) {
    struct stat found;
    if (fstat(fd, &found) < 0) return -errno;
    status->is_socket = S_ISSOCK(found.st_mode);
    status->mode = found.st_mode & 07777;
    status->uid = found.st_uid;
    status->gid = found.st_gid;
    return 0;
}

int cl_is_namespace(int fd) {
    struct statfs found;
    if (fstatfs(fd, &found) < 0) return -errno;
    return found.f_type == NSFS_MAGIC;
}

int cl_shutdown_write(int fd) { return shutdown(fd, SHUT_WR) < 0 ? -errno : 0; }

int cl_inode(int fd, uint64_t *device, uint64_t *inode) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    *device = status.st_dev;
    *inode = status.st_ino;
    return 0;
}

int cl_open(const char *path, bool path_only) {
    int fd = open(path, O_CLOEXEC | (path_only ? O_PATH : O_RDONLY | O_NONBLOCK));
    return fd < 0 ? -errno : fd;
}

int cl_epoll_add_edge(int epoll, int fd, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = {.u64 = token}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int cl_epoll_watch_writes(int epoll, int fd, uint64_t token, bool on) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (on ? EPOLLOUT : 0), .data = {.u64 = token}};
    return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

struct socket_request {
    int namespace_fd, domain, type, protocol, result;
};

static void *socket_thread(void *context) {
    struct socket_request *request = context;
    if (setns(request->namespace_fd, CLONE_NEWNET) < 0) {
        request->result = -errno;
        return NULL;
    }
    int fd = socket(request->domain, request->type, request->protocol);
    request->result = fd < 0 ? -errno : fd;
    return NULL;
}

int cl_socket_in_namespace(int namespace_fd, int domain, int type, int protocol) {
    struct socket_request request = {namespace_fd, domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol, -EINVAL};
    pthread_t thread;
    int error = pthread_create(&thread, NULL, socket_thread, &request);
    if (error) return -error;
    pthread_join(thread, NULL);
    return request.result;
}

int cl_namespace_cookie(int namespace_fd, uint64_t *cookie) {
    int fd = cl_socket_in_namespace(namespace_fd, AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return fd;
    int result = cl_socket_namespace_cookie(fd, cookie);
    close(fd);
    return result;
}

/* Looks through one datagram of a dump: 1 found, 0 at its end, -EAGAIN there is more, -errno. */
static int find_socket(const char *buffer, size_t size, uint32_t device, uint32_t inode) {
    for (const struct nlmsghdr *header = (const struct nlmsghdr *)buffer; NLMSG_OK(header, size);
         header = NLMSG_NEXT(header, size)) {
        if (header->nlmsg_type == NLMSG_DONE) return 0;
        if (header->nlmsg_type == NLMSG_ERROR) return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
        if (header->nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg))) continue;
        const struct unix_diag_msg *message = NLMSG_DATA(header);
        const struct rtattr *attribute = (const struct rtattr *)(message + 1);
        int left = header->nlmsg_len - NLMSG_LENGTH(sizeof *message);
        for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
            if (attribute->rta_type != UNIX_DIAG_VFS || RTA_PAYLOAD(attribute) < sizeof(struct unix_diag_vfs)) continue;
            const struct unix_diag_vfs *file = RTA_DATA(attribute);
            if (file->udiag_vfs_dev == device && file->udiag_vfs_ino == inode) return 1;
        }
    }
    return -EAGAIN;
}

int cl_unix_listens_here(int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    /* As the kernel numbers devices inside: MKDEV, linux/kdev_t.h. */
    uint32_t device = major(status.st_dev) << 20 | minor(status.st_dev);
    int diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (diag < 0) return -errno;
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } message = {
        .header = {.nlmsg_len = sizeof message, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_UNIX, .udiag_states = 1 << 10 /* TCP_LISTEN */, .udiag_show = UDIAG_SHOW_VFS}};
    if (send(diag, &message, sizeof message, 0) < 0) return close_with(diag, errno);
    char buffer[32768] __attribute__((aligned(8)));
    int result = -EAGAIN;
    while (result == -EAGAIN) {
        ssize_t size = recv(diag, buffer, sizeof buffer, 0);
        result = size < 0 ? -errno : find_socket(buffer, (size_t)size, device, (uint32_t)status.st_ino);
    }
    close(diag);
    return result;
}
