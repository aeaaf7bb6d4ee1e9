/*
 * The outside party of the mesh's measurements in scripts/bench: says when connections are there, how long pings stay away,
 * and what the kernel alone takes for a connection. Plain netlink, no library. Prints JSON.
 *
 *   meshprobe connect NAMESPACE LOG FROM TO COUNT [TARGET]
 *       Renames the file FROM to TO, by which an agent gets COUNT more clients, and waits until all are connected. LOG is the
 *       agent's log. Milliseconds since the agent has read the file: "addressed" until the kernel told the last address,
 *       "connected" until the agent said so of the last client, "answered" until TARGET answered a ping. "read" is the time
 *       from the renaming to the reading.
 *   meshprobe outage NAMESPACE TARGET
 *       Pings every 5 ms until a line comes on its input, and tells the longest time between two answers, and between which
 *       moments of CLOCK_MONOTONIC that was, in seconds.
 *   meshprobe floor CLIENT SERVER COUNT REPS
 *       Makes COUNT veth pairs between two namespaces, each end up and with an address, and removes them, REPS times.
 *       Milliseconds for all COUNT, median: "each" by a request and its acknowledgement at a time, "batch" by one call for
 *       each namespace. With COUNT 1 also "answered", from the first request to the first answered ping, median and largest.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/icmp.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int space(const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "/run/netns/%s", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

/* For all that comes: the process stays in the namespace. */
static void enter(const char *name)
{
	int fd = space(name);
	if (setns(fd, CLONE_NEWNET) < 0)
		die(name);
	close(fd);
}

static int netlink(unsigned groups)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), big = 16 << 20;
	if (fd < 0 || bind(fd, (void *)&a, sizeof a) < 0)
		die("netlink socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
	return fd;
}

/* ---- echoes ---- */

static int echo_socket(void)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
	if (fd < 0)
		die("raw socket");
	return fd;
}

static void ask(int fd, const struct sockaddr_in *to, uint16_t sequence)
{
	struct icmphdr h = {.type = ICMP_ECHO, .un.echo = {.id = htons(getpid() & 0xffff), .sequence = htons(sequence)}};
	uint32_t sum = 0;
	for (size_t i = 0; i < sizeof h / 2; i++)
		sum += ((uint16_t *)&h)[i];
	h.checksum = ~((sum & 0xffff) + (sum >> 16));
	/* Without a route yet it fails, and is tried again. */
	(void)!sendto(fd, &h, sizeof h, 0, (const void *)to, sizeof *to);
}

static int answered(int fd, const struct sockaddr_in *from)
{
	unsigned char buffer[512];
	struct sockaddr_in source;
	socklen_t size = sizeof source;
	int found = 0;
	ssize_t n;
	while ((n = recvfrom(fd, buffer, sizeof buffer, 0, (void *)&source, &size)) > 0) {
		const struct icmphdr *h = (void *)(buffer + (buffer[0] & 15) * 4);
		if (n >= 28 && h->type == ICMP_ECHOREPLY && h->un.echo.id == htons(getpid() & 0xffff) &&
		    source.sin_addr.s_addr == from->sin_addr.s_addr)
			found = 1;
	}
	return found;
}

static struct sockaddr_in target(const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
		die(text);
	return a;
}

/* ---- connect ---- */

/* New IPv4 addresses that the kernel told; how many were waiting. */
static int addresses(int fd)
{
	char buffer[65536];
	int found = 0;
	ssize_t n;
	while ((n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
			found += h->nlmsg_type == RTM_NEWADDR && ((struct ifaddrmsg *)NLMSG_DATA(h))->ifa_family == AF_INET;
	return found;
}

struct log {
	int fd;
	char line[65536];
	size_t size;
	int connected;
	double read;
};

static void read_log(struct log *l)
{
	ssize_t n;
	while ((n = read(l->fd, l->line + l->size, sizeof l->line - 1 - l->size)) > 0) {
		double t = now_ms();
		l->size += n;
		l->line[l->size] = 0;
		char *start = l->line, *end;
		for (; (end = strchr(start, '\n')); start = end + 1) {
			*end = 0;
			l->connected += strstr(start, " info  connected ") != NULL;
			if (!l->read && strstr(start, " info  configuration read "))
				l->read = t;
		}
		l->size -= start - l->line;
		memmove(l->line, start, l->size);
	}
}

static void connect_clients(char **argv, int argc)
{
	int count = atoi(argv[6]), sequence = 0, there = 0;
	static struct log log;
	log.fd = open(argv[3], O_RDONLY | O_CLOEXEC);
	int changes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (log.fd < 0 || lseek(log.fd, 0, SEEK_END) < 0 || inotify_add_watch(changes, argv[3], IN_MODIFY) < 0)
		die(argv[3]);
	enter(argv[2]);
	int events = netlink(RTMGRP_IPV4_IFADDR), echoes = echo_socket();
	struct sockaddr_in to = {0};
	if (argc > 7)
		to = target(argv[7]);
	double start = now_ms(), end = start + 300000, addressed = 0, connected = 0, reply = argc > 7 ? 0 : 1;
	if (rename(argv[4], argv[5]) < 0)
		die(argv[4]);
	while (!addressed || !connected || !reply) {
		struct pollfd p[] = {{events, POLLIN, 0}, {changes, POLLIN, 0}, {echoes, POLLIN, 0}};
		char drain[4096];
		/* A ping before the other end is up would be repeated only after a second. */
		int asks = addressed && connected && !reply;
		int n = poll(p, 3, asks ? 1 : 1000);
		double t = now_ms();
		if (t > end) {
			fprintf(stderr, "%d of %d addresses, %d connected, %s answer\n", there, count, log.connected,
				reply ? "an" : "no");
			exit(1);
		}
		if (n <= 0 && !asks)
			continue;
		if (p[1].revents) {
			while (read(changes, drain, sizeof drain) > 0)
				;
			read_log(&log);
			if (!connected && log.connected >= count)
				connected = now_ms();
		}
		if (p[0].revents && (there += addresses(events)) >= count && !addressed)
			addressed = t;
		if (p[2].revents && !reply && answered(echoes, &to))
			reply = t;
		if (addressed && connected && !reply)
			ask(echoes, &to, sequence++);
	}
	printf("{\"read\":%.3f,\"addressed\":%.3f,\"connected\":%.3f", log.read - start, addressed - log.read,
	       connected - log.read);
	if (argc > 7)
		printf(",\"answered\":%.3f", reply - log.read);
	printf("}\n");
}

/* ---- outage ---- */

static void outage(char **argv)
{
	enter(argv[2]);
	struct sockaddr_in to = target(argv[3]);
	int fd = echo_socket(), sequence = 0;
	double last = 0, from = 0, until = 0, next = now_ms();
	for (;;) {
		struct pollfd p[] = {{0, POLLIN, 0}, {fd, POLLIN, 0}};
		double t = now_ms();
		if (t >= next) {
			ask(fd, &to, sequence++);
			next = t + 5;
		}
		poll(p, 2, 2);
		t = now_ms();
		if (p[1].revents && answered(fd, &to)) {
			if (last && t - last > until - from) {
				from = last;
				until = t;
			}
			if (!last) {
				printf("first\n");
				fflush(stdout);
			}
			last = t;
		}
		if (p[0].revents)
			break;
	}
	printf("{\"gap_ms\":%.2f,\"from_s\":%.6f,\"until_s\":%.6f,\"last_s\":%.6f}\n", until - from, from / 1e3, until / 1e3,
	       last / 1e3);
}

/* ---- floor ---- */

struct message {
	char data[256 << 10];
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

static struct rtattr *attribute(struct message *m, int type, const void *value, size_t size)
{
	struct rtattr *a = (void *)(m->data + m->length);
	a->rta_type = type;
	a->rta_len = RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(a), value, size);
	m->length += RTA_ALIGN(a->rta_len);
	m->last->nlmsg_len = m->data + m->length - (char *)m->last;
	return a;
}

static void close_nest(struct message *m, struct rtattr *a) { a->rta_len = m->data + m->length - (char *)a; }

/* Sends, and waits for the acknowledgement of the last message; errors of others come unasked. */
static void carry_out(int fd, struct message *m)
{
	char buffer[65536];
	m->last->nlmsg_flags |= NLM_F_ACK;
	m->last->nlmsg_seq = 1;
	if (send(fd, m->data, m->length, 0) < 0)
		die("send");
	m->length = 0;
	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof buffer, 0);
		if (n < 0)
			die("recv");
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (errno)
				die("the kernel refused");
			if (h->nlmsg_seq == 1)
				return;
		}
	}
}

/* Both indexes are chosen, so that nothing has to be read. */
static void pair(struct message *m, int i, int server)
{
	struct ifinfomsg body = {.ifi_index = 100000 + i, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct ifinfomsg peer = {.ifi_index = 100000 + i};
	char name[IFNAMSIZ];
	begin(m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
	snprintf(name, sizeof name, "floor%d", i);
	attribute(m, IFLA_IFNAME, name, strlen(name) + 1);
	uint32_t group = 77;
	attribute(m, IFLA_GROUP, &group, 4);
	struct rtattr *info = attribute(m, IFLA_LINKINFO, NULL, 0);
	attribute(m, IFLA_INFO_KIND, "veth", 5);
	struct rtattr *data = attribute(m, IFLA_INFO_DATA, NULL, 0);
	struct rtattr *other = attribute(m, VETH_INFO_PEER, &peer, sizeof peer);
	attribute(m, IFLA_IFNAME, name, strlen(name) + 1);
	attribute(m, IFLA_NET_NS_FD, &server, 4);
	close_nest(m, other);
	close_nest(m, data);
	close_nest(m, info);
}

static void up(struct message *m, int i)
{
	struct ifinfomsg body = {.ifi_index = 100000 + i, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	begin(m, RTM_NEWLINK, 0, &body, sizeof body);
}

static void address(struct message *m, int i, int last)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 30, .ifa_index = 100000 + i};
	uint32_t ip = htonl(0x0a800000u + 4u * i + last);
	begin(m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
	attribute(m, IFA_LOCAL, &ip, 4);
	attribute(m, IFA_ADDRESS, &ip, 4);
}

static int by_value(const void *a, const void *b)
{
	double x = *(double *)a, y = *(double *)b;
	return x < y ? -1 : x > y;
}

static double make(int client, int server, int server_space, int count, int batch)
{
	static struct message m;
	double start = now_ms();
	for (int i = 0; i < count; i++) {
		pair(&m, i, server_space);
		if (!batch || m.length > sizeof m.data / 2)
			carry_out(client, &m);
		address(&m, i, 2);
		if (!batch)
			carry_out(client, &m);
	}
	if (m.length)
		carry_out(client, &m);
	for (int i = 0; i < count; i++) {
		up(&m, i);
		if (!batch || m.length > sizeof m.data / 2)
			carry_out(server, &m);
		address(&m, i, 1);
		if (!batch)
			carry_out(server, &m);
	}
	if (m.length)
		carry_out(server, &m);
	return now_ms() - start;
}

static void drop(int client)
{
	static struct message m;
	struct ifinfomsg body = {0};
	uint32_t group = 77;
	begin(&m, RTM_DELLINK, 0, &body, sizeof body);
	attribute(&m, IFLA_GROUP, &group, 4);
	carry_out(client, &m);
}

/* Pings the server's end of the first pair until it answers; when that was. */
static double ping_first(int echoes)
{
	struct sockaddr_in to = target("10.128.0.1");
	for (int sequence = 0; sequence < 10000; sequence++) {
		struct pollfd p = {echoes, POLLIN, 0};
		ask(echoes, &to, sequence);
		if (poll(&p, 1, 1) > 0 && answered(echoes, &to))
			return now_ms();
	}
	die("no answer");
	return 0;
}

static void floor_of(char **argv)
{
	int count = atoi(argv[4]), reps = atoi(argv[5]), server_space = space(argv[3]);
	double *each = calloc(reps, sizeof *each), *batch = calloc(reps, sizeof *batch);
	enter(argv[3]);
	int server = netlink(0);
	enter(argv[2]);
	int client = netlink(0), echoes = echo_socket();
	double *reply = calloc(reps, sizeof *reply);
	for (int r = 0; r < reps; r++) {
		double start = now_ms();
		each[r] = make(client, server, server_space, count, 0);
		if (count == 1)
			reply[r] = ping_first(echoes) - start;
		drop(client);
		batch[r] = make(client, server, server_space, count, 1);
		drop(client);
	}
	qsort(each, reps, sizeof *each, by_value);
	qsort(batch, reps, sizeof *batch, by_value);
	qsort(reply, reps, sizeof *reply, by_value);
	printf("{\"each\":%.4f,\"batch\":%.4f,\"answered\":%.4f,\"answered_max\":%.4f}\n", each[reps / 2], batch[reps / 2],
	       reply[reps / 2], reply[reps - 1]);
}

int main(int argc, char **argv)
{
	if (argc >= 7 && !strcmp(argv[1], "connect"))
		connect_clients(argv, argc);
	else if (argc == 4 && !strcmp(argv[1], "outage"))
		outage(argv);
	else if (argc == 6 && !strcmp(argv[1], "floor"))
		floor_of(argv);
	else {
		fprintf(stderr, "usage: see the comment at the top of the source\n");
		return 64;
	}
	return 0;
}
