/*
 * The outside party of scripts/bench: makes its namespaces, and times a running agent as the kernel sees it: when a change
 * of its files has come about, and when things that were broken under it are repaired. Plain netlink, no library.
 *
 *   probe setup N | teardown N        namespaces host0, p0 … p<N-1> under /run/netns
 *   probe added POD FROM TO A B       renames the file FROM to TO, and tells how long it took until the kernel told of the
 *                                     address A in host0 and of B in the pod; milliseconds, as JSON
 *   probe drift N WHAT REPS           deletes the address, route or link of one pod after the other; prints JSON
 *
 * Pods are those of the workload: h<i> in host0, eth0 in p<i>, 10.a.b.1/30 and .2/30, fd00:a:b::2/64, route 10.200.x.y/32.
 * "seen" counts from sending the deletion to the kernel's event of it, "repaired" from that event to the event of the same
 * object coming back, "whole" (links only) until the host route through the link is back, too. Microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

static int self_ns;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void ns_path(char *path, size_t size, int pod)
{
	if (pod < 0)
		snprintf(path, size, "/run/netns/host0");
	else
		snprintf(path, size, "/run/netns/p%d", pod);
}

/* A netlink socket in a pod (or host0: -1), listening to the groups. */
static int socket_in(int pod, unsigned groups)
{
	char path[64];
	ns_path(path, sizeof path, pod);
	int ns = open(path, O_RDONLY | O_CLOEXEC), big = 8 << 20;
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		die(path);
	close(ns);
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || bind(fd, (void *)&a, sizeof a) < 0)
		die("netlink socket");
	if (groups)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
	if (setns(self_ns, CLONE_NEWNET) < 0)
		die("setns back");
	return fd;
}

/* ---- messages ---- */

struct message {
	char data[1024];
	size_t length;
	struct nlmsghdr *last;
};

static void begin(struct message *m, int type, int flags, const void *body, size_t size)
{
	m->last = (void *)(m->data + m->length);
	*m->last = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(size), .nlmsg_type = type,
				     .nlmsg_flags = NLM_F_REQUEST | flags};
	memcpy(NLMSG_DATA(m->last), body, size);
	m->length += NLMSG_ALIGN(m->last->nlmsg_len);
}

static void attribute(struct message *m, int type, const void *value, size_t size)
{
	struct rtattr *a = (void *)(m->data + m->length);
	a->rta_type = type;
	a->rta_len = RTA_LENGTH(size);
	memcpy(RTA_DATA(a), value, size);
	m->length += RTA_ALIGN(a->rta_len);
	m->last->nlmsg_len = m->data + m->length - (char *)m->last;
}

static int send_and_wait(int fd, struct message *m)
{
	char buffer[16384];
	m->last->nlmsg_flags |= NLM_F_ACK;
	if (send(fd, m->data, m->length, 0) < 0)
		die("send");
	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof buffer, 0);
		if (n < 0)
			die("recv");
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			/* Errors come unasked; the acknowledgement only of the last message. */
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
		}
	}
}

static int index_of(int fd, const char *name)
{
	struct ifreq r = {0};
	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	return ioctl(fd, SIOCGIFINDEX, &r) < 0 ? 0 : r.ifr_ifindex;
}

static uint32_t pod_ip(int i) { return htonl(0x0a000002u + 4u * i); }
static uint32_t routed_ip(int i) { return htonl(0x0ac80000u + i); }

/* ---- namespaces ---- */

static void make(int pod)
{
	char path[64];
	ns_path(path, sizeof path, pod);
	int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (fd < 0)
		die(path);
	close(fd);
	if (unshare(CLONE_NEWNET) < 0 || mount("/proc/self/ns/net", path, "none", MS_BIND, NULL) < 0)
		die("new namespace");
}

static void drop(int pod)
{
	char path[64];
	ns_path(path, sizeof path, pod);
	umount2(path, MNT_DETACH);
	unlink(path);
}

/* ---- added ---- */

/* Whether the kernel told of this new address; reads all that waits. */
static int told(int fd, uint32_t ip)
{
	char buffer[65536];
	int found = 0;
	ssize_t n;
	while ((n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			const struct ifaddrmsg *m = NLMSG_DATA(h);
			int left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
			if (h->nlmsg_type != RTM_NEWADDR || m->ifa_family != AF_INET)
				continue;
			for (const struct rtattr *a = IFA_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left))
				found |= a->rta_type == IFA_LOCAL && *(uint32_t *)RTA_DATA(a) == ip;
		}
	return found;
}

static void added(char **argv)
{
	uint32_t ip[2];
	int fd[2] = {socket_in(-1, RTMGRP_IPV4_IFADDR), socket_in(atoi(argv[2]), RTMGRP_IPV4_IFADDR)}, seen[2] = {0, 0};
	if (inet_pton(AF_INET, argv[5], &ip[0]) != 1 || inet_pton(AF_INET, argv[6], &ip[1]) != 1)
		die("address");
	double start = now_us(), late = start + 60e6;
	if (rename(argv[3], argv[4]) < 0)
		die(argv[3]);
	while (!seen[0] || !seen[1]) {
		struct pollfd p[2] = {{fd[0], POLLIN, 0}, {fd[1], POLLIN, 0}};
		if (poll(p, 2, 1000) < 0 || now_us() > late) {
			fprintf(stderr, "no such address within a minute\n");
			exit(1);
		}
		for (int i = 0; i < 2; i++)
			seen[i] |= told(fd[i], ip[i]);
	}
	printf("{\"op\":\"added\",\"ms\":%.2f}\n", (now_us() - start) / 1e3);
	exit(0);
}

/* ---- drift ---- */

enum what { ADDRESS, ROUTE, LINK };

/* What an event says about the object of pod i: 'd' deleted, 'n' there again, 'r' (links) its host route there again. */
static char judge(const struct nlmsghdr *h, enum what what, int i, const char *name)
{
	int type = h->nlmsg_type;
	const struct rtattr *a;
	int left;
	if (what == ADDRESS && (type == RTM_NEWADDR || type == RTM_DELADDR)) {
		const struct ifaddrmsg *m = NLMSG_DATA(h);
		left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
		for (a = IFA_RTA(m); m->ifa_family == AF_INET && RTA_OK(a, left); a = RTA_NEXT(a, left))
			if (a->rta_type == IFA_LOCAL && *(uint32_t *)RTA_DATA(a) == pod_ip(i))
				return type == RTM_NEWADDR ? 'n' : 'd';
	}
	if (what != ADDRESS && (type == RTM_NEWROUTE || type == RTM_DELROUTE)) {
		const struct rtmsg *m = NLMSG_DATA(h);
		left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
		for (a = RTM_RTA(m); m->rtm_family == AF_INET && m->rtm_dst_len == 32 && RTA_OK(a, left); a = RTA_NEXT(a, left))
			if (a->rta_type == RTA_DST && *(uint32_t *)RTA_DATA(a) == routed_ip(i)) {
				if (what == LINK)
					return type == RTM_NEWROUTE ? 'r' : 0;
				return type == RTM_NEWROUTE ? 'n' : 'd';
			}
	}
	if (what == LINK && (type == RTM_NEWLINK || type == RTM_DELLINK)) {
		const struct ifinfomsg *m = NLMSG_DATA(h);
		left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
		for (a = IFLA_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left))
			if (a->rta_type == IFLA_IFNAME && !strcmp(RTA_DATA(a), name))
				return type == RTM_NEWLINK ? 'n' : 'd';
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(double *)a, y = *(double *)b;
	return x < y ? -1 : x > y;
}

static void print_sorted(const char *name, double *v, int n)
{
	qsort(v, n, sizeof *v, by_value);
	printf(",\"%s\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name, v[n / 2], v[n * 9 / 10], v[n * 99 / 100],
	       v[n - 1]);
}

struct deletion {
	int fd, error;
	struct message message;
	double sent;
};

/* On a thread of its own, as the deletion of a link returns only long after its event. */
static void *delete_it(void *argument)
{
	struct deletion *d = argument;
	d->sent = now_us();
	d->error = send_and_wait(d->fd, &d->message);
	return NULL;
}

static void drift(int n, enum what what, int reps)
{
	static const unsigned groups[] = {RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_ROUTE};
	double *seen = calloc(reps, 8), *fixed = calloc(reps, 8), *whole = calloc(reps, 8);
	int done = 0, lost = 0;
	char buffer[65536];
	for (int r = 0; r < reps; r++) {
		/* One pod after the other, so that no object is broken often: that would look like a fight. */
		int i = r % n, in = what == ADDRESS ? i : -1;
		char name[IFNAMSIZ];
		snprintf(name, sizeof name, what == ADDRESS ? "eth0" : "h%d", i);
		int events = socket_in(in, groups[what]);
		struct deletion d = {.fd = socket_in(in, 0)};
		int index = index_of(d.fd, name), late = 0;
		uint32_t ip;
		if (what == ADDRESS) {
			struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 30, .ifa_index = index};
			begin(&d.message, RTM_DELADDR, 0, &body, sizeof body);
			ip = pod_ip(i);
			attribute(&d.message, IFA_LOCAL, &ip, 4);
		} else if (what == ROUTE) {
			struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_table = RT_TABLE_MAIN,
					     .rtm_scope = RT_SCOPE_NOWHERE};
			begin(&d.message, RTM_DELROUTE, 0, &body, sizeof body);
			ip = routed_ip(i);
			attribute(&d.message, RTA_DST, &ip, 4);
		} else {
			struct ifinfomsg body = {.ifi_index = index};
			begin(&d.message, RTM_DELLINK, 0, &body, sizeof body);
		}
		double t_seen = 0, t_fixed = 0, t_whole = what == LINK ? 0 : 1;
		pthread_t deleter;
		pthread_create(&deleter, NULL, delete_it, &d);
		while (!late && (!t_fixed || !t_whole)) {
			struct pollfd p = {.fd = events, .events = POLLIN};
			if (poll(&p, 1, 10000) <= 0) {
				late = 1;
				break;
			}
			ssize_t size = recv(events, buffer, sizeof buffer, 0);
			double t = now_us();
			for (struct nlmsghdr *h = (void *)buffer; size > 0 && NLMSG_OK(h, size); h = NLMSG_NEXT(h, size)) {
				char c = judge(h, what, i, name);
				if (c == 'd' && !t_seen)
					t_seen = t;
				if (c == 'n' && t_seen && !t_fixed)
					t_fixed = t;
				if (c == 'r' && t_seen && !t_whole)
					t_whole = t;
			}
		}
		pthread_join(deleter, NULL);
		if (d.error || late) {
			fprintf(stderr, "pod %d: %s\n", i, d.error ? strerror(-d.error) : "not repaired within 10 s");
			lost++;
		} else {
			seen[done] = t_seen - d.sent;
			fixed[done] = t_fixed - t_seen;
			whole[done++] = t_whole - t_seen;
		}
		close(events);
		close(d.fd);
		usleep(3000 + rand() % 3000);
	}
	static const char *names[] = {"address", "route", "link"};
	printf("{\"op\":\"drift\",\"what\":\"%s\",\"n\":%d,\"reps\":%d,\"lost\":%d", names[what], n, done, lost);
	if (done) {
		print_sorted("seen_us", seen, done);
		print_sorted("repaired_us", fixed, done);
		if (what == LINK)
			print_sorted("whole_us", whole, done);
	}
	printf("}\n");
	exit(lost != 0);
}

int main(int argc, char **argv)
{
	struct rlimit files = {1 << 17, 1 << 17};
	setrlimit(RLIMIT_NOFILE, &files);
	self_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int n = argc > 2 ? atoi(argv[2]) : 0;
	if (n > 0 && !strcmp(argv[1], "setup"))
		for (int i = -1; i < n; i++)
			make(i);
	else if (n > 0 && !strcmp(argv[1], "teardown"))
		for (int i = -1; i < n; i++)
			drop(i);
	else if (argc == 7 && !strcmp(argv[1], "added"))
		added(argv);
	else if (n > 0 && argc == 5 && !strcmp(argv[1], "drift"))
		drift(n, argv[3][0] == 'a' ? ADDRESS : argv[3][0] == 'r' ? ROUTE : LINK, atoi(argv[4]));
	else {
		fprintf(stderr, "usage: see the comment at the top of the source\n");
		return 64;
	}
	return 0;
}
