#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/icmpv6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int cl_interface_index(int socket, const char *name) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    if (strlen(name) >= sizeof request.ifr_name) return -ENODEV;
    strcpy(request.ifr_name, name);
    return ioctl(socket, SIOCGIFINDEX, &request) < 0 ? -errno : request.ifr_ifindex;
}

int cl_send_echo(int socket, int family, const void *source, const void *destination, int index, uint16_t sequence) {
    /* Checksum and identifier are the kernel's. */
    uint8_t echo[8] = {family == AF_INET ? ICMP_ECHO : ICMPV6_ECHO_REQUEST, 0, 0, 0, 0, 0, sequence >> 8, sequence & 0xff};
    struct iovec part = {echo, sizeof echo};
    struct sockaddr_in to4 = {.sin_family = AF_INET};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
    if (family == AF_INET) {
        struct in_pktinfo info = {.ipi_ifindex = index};
        memcpy(&info.ipi_spec_dst, source, 4);
        memcpy(&to4.sin_addr, destination, 4);
        message.msg_name = &to4;
        message.msg_namelen = sizeof to4;
        message.msg_controllen = CMSG_SPACE(sizeof info);
        control.header = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(&control.header), &info, sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = index};
        memcpy(&info.ipi6_addr, source, 16);
        memcpy(&to6.sin6_addr, destination, 16);
        message.msg_name = &to6;
        message.msg_namelen = sizeof to6;
        message.msg_controllen = CMSG_SPACE(sizeof info);
        control.header = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO};
        memcpy(CMSG_DATA(&control.header), &info, sizeof info);
    }
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int cl_receive_echo(int socket, uint16_t *sequence, uint8_t from[16]) {
    uint8_t echo[64];
    struct sockaddr_storage sender;
    socklen_t length = sizeof sender;
    ssize_t count = recvfrom(socket, echo, sizeof echo, MSG_DONTWAIT, (struct sockaddr *)&sender, &length);
    if (count < 0) return errno == EAGAIN ? 0 : -errno;
    memset(from, 0, 16);
    if (sender.ss_family == AF_INET) memcpy(from, &((struct sockaddr_in *)&sender)->sin_addr, 4);
    if (sender.ss_family == AF_INET6) memcpy(from, &((struct sockaddr_in6 *)&sender)->sin6_addr, 16);
    *sequence = count < 8 ? 0 : (uint16_t)(echo[6] << 8 | echo[7]);
    return 1;
}
