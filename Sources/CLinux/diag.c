#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* TCP_ESTABLISHED of netinet/tcp.h. */
enum { ESTABLISHED = 1 };

/* An address as the request wants it. One that stands for IPv4 becomes IPv4, as the other end's socket may be one. */
static int put(const struct sockaddr_storage *storage, uint8_t *family, uint16_t *port, uint32_t address[4]) {
    memset(address, 0, 16);
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)storage;
        *family = AF_INET;
        *port = v4->sin_port;
        address[0] = v4->sin_addr.s_addr;
        return 0;
    }
    if (storage->ss_family != AF_INET6) return -EAFNOSUPPORT;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)storage;
    *port = v6->sin6_port;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        *family = AF_INET;
        memcpy(address, v6->sin6_addr.s6_addr + 12, 4);
    } else {
        *family = AF_INET6;
        memcpy(address, v6->sin6_addr.s6_addr, 16);
    }
    return 0;
}

int cl_peer_user(int fd, uint32_t *user) {
    struct sockaddr_storage peer, own;
    socklen_t peer_length = sizeof peer, own_length = sizeof own;
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_length) < 0) return -errno;
    if (getsockname(fd, (struct sockaddr *)&own, &own_length) < 0) return -errno;
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
    } request;
    memset(&request, 0, sizeof request);
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    request.body.sdiag_protocol = IPPROTO_TCP;
    request.body.idiag_states = 1 << ESTABLISHED;
    request.body.id.idiag_cookie[0] = request.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    /* The other end, as it sees itself. */
    uint8_t family;
    uint16_t port;
    uint32_t address[4];
    int result = put(&peer, &request.body.sdiag_family, &port, address);
    if (result < 0) return result;
    request.body.id.idiag_sport = port;
    memcpy(request.body.id.idiag_src, address, sizeof address);
    if ((result = put(&own, &family, &port, address)) < 0) return result;
    request.body.id.idiag_dport = port;
    memcpy(request.body.id.idiag_dst, address, sizeof address);

    int diag = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (diag < 0) return -errno;
    union {
        struct nlmsghdr header;
        char bytes[4096];
    } answer;
    ssize_t length = -1;
    if (send(diag, &request, sizeof request, 0) == (ssize_t)sizeof request) {
        do {
            length = recv(diag, &answer, sizeof answer, 0);
        } while (length < 0 && errno == EINTR);
    }
    result = length < 0 ? -errno : -ENOENT;
    if (length >= (ssize_t)(NLMSG_HDRLEN + sizeof(struct inet_diag_msg)) &&
        answer.header.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
        const struct inet_diag_msg *found = NLMSG_DATA(&answer.header);
        /* A socket that listens is found as well, and is not the one; nor is what is left of a closed one, which has no user
         * any more and is said to be root's. */
        if (found->idiag_state == ESTABLISHED && found->idiag_inode != 0 && found->id.idiag_sport == request.body.id.idiag_sport && found->id.idiag_dport == port) {
            *user = found->idiag_uid;
            result = 0;
        }
    }
    close(diag);
    return result;
}
