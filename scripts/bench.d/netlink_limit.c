/*
 * The floor of scripts/bench: the requests of the workload, sent raw. What the kernel takes for them, no program that makes the
 * same network can take less. Prints JSON.
 *
 *   netlink_limit apply N            makes the workload: the pairs in calls of 128 requests, then what is in host0, then one
 *                                    call for each pod
 *   netlink_limit dump N             reads everything back: links, addresses, routes and neighbours of each namespace
 *   netlink_limit readdress N A B    in each pod the address fd00:…::A/64 goes and fd00:…::B/64 comes, in one call
 *   netlink_limit readdress N A B heard
 *                                    the same beside a socket in each pod that hears of it, as a daemon has: for every
 *                                    notification the kernel looks at all sockets of the machine that hear of anything
 *   netlink_limit pair REPS          one more pair with an address at each end, between host0 and p0, and its end: REPS times
 *   netlink_limit delete N           all pairs, by their link group
 *   netlink_limit fdb N              forwarding entries in host0: half of them at the bridge port d0, half in the VXLAN vx0
 *   netlink_limit fdb-read N         reads them back
 *   netlink_limit fdb-delete N       and removes them
 *
 * Namespaces are those that `probe setup N` makes, names and addresses those of workload.py. Figures are those of the requests
 * alone: "open_us" tells what it took to open a socket in each namespace before that, which a daemon does once in its life.
 *
 * How it is done, and why nothing is faster: a socket for each namespace that stays open; many requests in a call, with an
 * acknowledgement asked for the last only (errors come unasked); the peer is made in its namespace, as a move waits 20 ms for
 * RCU; the host's end comes up as it is made. The peer can't: the kernel would bring it up before the two are joined.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#define GROUP 77
#define MTU 1450
#define REQUESTS_IN_A_CALL 128

struct sock {
	int fd;
	uint32_t sequence;
};

static int self_ns, *pod_ns, errors, first_error;
static struct sock host, *pods;
/* What the kernel chose, told by the echo of the request. */
static uint32_t *host_index, *pod_index;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static double clock_us(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double now_us(void) { return clock_us(CLOCK_MONOTONIC); }
static double cpu_us(void) { return clock_us(CLOCK_PROCESS_CPUTIME_ID); }

/* ---- sockets ---- */

static int space(const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/run/netns/%s", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

static int socket_in(int ns)
{
	int on = 1, big = 32 << 20;
	struct sockaddr_nl a = {.nl_family = AF_NETLINK};
	if (setns(ns, CLONE_NEWNET) < 0)
		die("setns");
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || bind(fd, (void *)&a, sizeof a) < 0)
		die("netlink socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big);
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
	if (setns(self_ns, CLONE_NEWNET) < 0)
		die("setns back");
	return fd;
}

/* A socket in each of n pods that hears of links, addresses, routes, neighbours and rules. */
static void listen_all(int n)
{
	int big = 1 << 20;
	struct sockaddr_nl a = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE |
			     RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE | 1 << (RTNLGRP_IPV6_RULE - 1)};
	for (int i = 0; i < n; i++) {
		if (setns(pod_ns[i], CLONE_NEWNET) < 0)
			die("setns");
		int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
		if (fd < 0 || bind(fd, (void *)&a, sizeof a) < 0)
			die("listening socket");
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
	}
	if (setns(self_ns, CLONE_NEWNET) < 0)
		die("setns back");
}

/* A socket in host0 and in each of n pods; microseconds. */
static double open_all(int n)
{
	double start = now_us();
	host.fd = socket_in(space("host0"));
	pods = calloc(n, sizeof *pods);
	pod_ns = calloc(n, sizeof *pod_ns);
	host_index = calloc(n, sizeof *host_index);
	pod_index = calloc(n, sizeof *pod_index);
	for (int i = 0; i < n; i++) {
		char name[16];
		snprintf(name, sizeof name, "p%d", i);
		pod_ns[i] = space(name);
		pods[i].fd = socket_in(pod_ns[i]);
	}
	return now_us() - start;
}

/* ---- requests ---- */

struct batch {
	char bytes[REQUESTS_IN_A_CALL * 320];
	size_t length;
	int count;
	struct nlmsghdr *last;
};

static struct nlmsghdr *begin(struct batch *b, struct sock *s, int type, int flags, const void *body, size_t size)
{
	b->last = mnl_nlmsg_put_header(b->bytes + b->length);
	b->last->nlmsg_type = type;
	b->last->nlmsg_flags = NLM_F_REQUEST | flags;
	b->last->nlmsg_seq = ++s->sequence;
	memcpy(mnl_nlmsg_put_extra_header(b->last, size), body, size);
	return b->last;
}

static void end(struct batch *b)
{
	b->length += MNL_ALIGN(b->last->nlmsg_len);
	b->count++;
}

static void put_mac(struct nlmsghdr *h, int attribute, int side, int i)
{
	uint8_t mac[6] = {2, side, 0, 0, i >> 8, i};
	mnl_attr_put(h, attribute, sizeof mac, mac);
}

/* The pair of pod i, or, named, one without MAC addresses that is in no group. */
static void put_pair(struct batch *b, int i, const char *name)
{
	char own[IFNAMSIZ];
	struct ifinfomsg body = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, peer_body = {0};
	struct nlmsghdr *h = begin(b, &host, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, &body, sizeof body);
	snprintf(own, sizeof own, "h%d", i);
	mnl_attr_put_strz(h, IFLA_IFNAME, name ? name : own);
	mnl_attr_put_u32(h, IFLA_MTU, MTU);
	if (!name) {
		mnl_attr_put_u32(h, IFLA_GROUP, GROUP);
		put_mac(h, IFLA_ADDRESS, 0, i);
	}
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_str(h, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	memcpy(mnl_nlmsg_put_extra_header(h, sizeof peer_body), &peer_body, sizeof peer_body);
	mnl_attr_put_strz(h, IFLA_IFNAME, name ? name : "eth0");
	mnl_attr_put_u32(h, IFLA_MTU, MTU);
	if (!name)
		put_mac(h, IFLA_ADDRESS, 1, i);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, pod_ns[i]);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	end(b);
}

static void put_up(struct batch *b, struct sock *s, uint32_t index)
{
	struct ifinfomsg body = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP, .ifi_index = index};
	begin(b, s, RTM_NEWLINK, 0, &body, sizeof body);
	end(b);
}

static uint32_t host_ip(int i) { return htonl(0x0a000001u + 4u * i); }
static uint32_t pod_ip(int i) { return htonl(0x0a000002u + 4u * i); }
static uint32_t routed_ip(int i) { return htonl(0x0ac80000u + i); }

static void put_v4(struct batch *b, struct sock *s, uint32_t index, uint32_t ip)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 30, .ifa_index = index};
	struct nlmsghdr *h = begin(b, s, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
	mnl_attr_put_u32(h, IFA_LOCAL, ip);
	mnl_attr_put_u32(h, IFA_ADDRESS, ip);
	end(b);
}

static void put_v6(struct batch *b, int type, int i, int last)
{
	struct ifaddrmsg body = {.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = pod_index[i]};
	uint8_t ip[16] = {0xfd, 0, 0, 0, i >> 8, i, [15] = last};
	int flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0;
	struct nlmsghdr *h = begin(b, &pods[i], type, flags, &body, sizeof body);
	mnl_attr_put(h, IFA_LOCAL, sizeof ip, ip);
	mnl_attr_put(h, IFA_ADDRESS, sizeof ip, ip);
	mnl_attr_put_u32(h, IFA_FLAGS, IFA_F_NODAD);
	end(b);
}

static void put_route(struct batch *b, struct sock *s, uint32_t index, uint32_t destination, int bits, uint32_t gateway)
{
	struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = bits, .rtm_table = RT_TABLE_MAIN,
			     .rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST};
	struct nlmsghdr *h = begin(b, s, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
	if (bits)
		mnl_attr_put_u32(h, RTA_DST, destination);
	mnl_attr_put_u32(h, RTA_GATEWAY, gateway);
	mnl_attr_put_u32(h, RTA_OIF, index);
	end(b);
}

static void put_neighbour(struct batch *b, int i)
{
	struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = host_index[i], .ndm_state = NUD_PERMANENT};
	struct nlmsghdr *h = begin(b, &host, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
	mnl_attr_put_u32(h, NDA_DST, pod_ip(i));
	put_mac(h, NDA_LLADDR, 1, i);
	end(b);
}

/* ---- answers ---- */

/* Both indexes of a pair, from the echo of the request that made it: IFLA_LINK of one end is the other. */
static void learn(const struct nlmsghdr *h, int i)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	host_index[i] = body->ifi_index;
	mnl_attr_for_each(a, h, sizeof *body)
		if (mnl_attr_get_type(a) == IFLA_LINK)
			pod_index[i] = mnl_attr_get_u32(a);
}

/* Sends, and reads answers until the last one's. Pairs in it are those of pods from `first`. */
static void carry_out(struct batch *b, struct sock *s, int first)
{
	char buffer[32768];
	if (!b->count)
		return;
	b->last->nlmsg_flags |= NLM_F_ACK;
	if (send(s->fd, b->bytes, b->length, 0) != (ssize_t)b->length)
		die("send");
	b->length = b->count = 0;
	for (;;) {
		int n = recv(s->fd, buffer, sizeof buffer, 0);
		if (n < 0)
			die("recv");
		for (struct nlmsghdr *h = (void *)buffer; mnl_nlmsg_ok(h, n); h = mnl_nlmsg_next(h, &n)) {
			if (h->nlmsg_type == RTM_NEWLINK)
				learn(h, first++);
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			int error = ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
			errors += error != 0;
			first_error = first_error ? first_error : error;
			if (h->nlmsg_seq == s->sequence)
				return;
		}
	}
}

/* ---- what is measured ---- */

static struct batch batch;

static void apply(int n)
{
	for (int i = 0, first = 0; i < n; i++) {
		put_pair(&batch, i, NULL);
		if (batch.count == REQUESTS_IN_A_CALL || i == n - 1) {
			carry_out(&batch, &host, first);
			first = i + 1;
		}
	}
	for (int i = 0; i < n; i++) {
		put_v4(&batch, &host, host_index[i], host_ip(i));
		put_route(&batch, &host, host_index[i], routed_ip(i), 32, pod_ip(i));
		put_neighbour(&batch, i);
		if (batch.count > REQUESTS_IN_A_CALL - 3 || i == n - 1)
			carry_out(&batch, &host, 0);
	}
	for (int i = 0; i < n; i++) {
		put_up(&batch, &pods[i], pod_index[i]);
		put_v4(&batch, &pods[i], pod_index[i], pod_ip(i));
		put_v6(&batch, RTM_NEWADDR, i, 2);
		put_route(&batch, &pods[i], pod_index[i], 0, 0, host_ip(i));
		carry_out(&batch, &pods[i], 0);
	}
}

static void delete(void)
{
	struct ifinfomsg body = {0};
	mnl_attr_put_u32(begin(&batch, &host, RTM_DELLINK, 0, &body, sizeof body), IFLA_GROUP, GROUP);
	end(&batch);
	carry_out(&batch, &host, 0);
}

/* One dump; how many objects came. */
static int dump(struct sock *s, int type, size_t size)
{
	char buffer[32768], body[64] = {0};
	int objects = 0;
	struct nlmsghdr *h = begin(&batch, s, type, NLM_F_DUMP, body, size);
	if (type == RTM_GETLINK)
		mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	end(&batch);
	if (send(s->fd, batch.bytes, batch.length, 0) < 0)
		die("send");
	batch.length = batch.count = 0;
	for (;;) {
		int n = recv(s->fd, buffer, sizeof buffer, 0);
		if (n < 0)
			die("recv");
		for (h = (void *)buffer; mnl_nlmsg_ok(h, n); h = mnl_nlmsg_next(h, &n)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return objects;
			if (h->nlmsg_type == NLMSG_ERROR)
				die("dump");
			objects++;
		}
	}
}

static int dump_all(int n)
{
	int objects = 0;
	for (int i = -1; i < n; i++) {
		struct sock *s = i < 0 ? &host : &pods[i];
		objects += dump(s, RTM_GETLINK, sizeof(struct ifinfomsg)) + dump(s, RTM_GETADDR, sizeof(struct ifaddrmsg)) +
			   dump(s, RTM_GETROUTE, sizeof(struct rtmsg)) + dump(s, RTM_GETNEIGH, sizeof(struct ndmsg));
	}
	return objects;
}

/* The index of eth0 in each pod, which no request of ours has told. */
static void find_pods(int n)
{
	for (int i = 0; i < n; i++) {
		if (setns(pod_ns[i], CLONE_NEWNET) < 0)
			die("setns");
		if (!(pod_index[i] = if_nametoindex("eth0")))
			die("eth0");
	}
	if (setns(self_ns, CLONE_NEWNET) < 0)
		die("setns back");
}

static void readdress(int n, int from, int to)
{
	for (int i = 0; i < n; i++) {
		put_v6(&batch, RTM_DELADDR, i, from);
		put_v6(&batch, RTM_NEWADDR, i, to);
		carry_out(&batch, &pods[i], 0);
	}
}

static void add_pair(void)
{
	put_pair(&batch, 0, "x0");
	carry_out(&batch, &host, 0);
	put_v4(&batch, &host, host_index[0], htonl(0x0ac90001));
	carry_out(&batch, &host, 0);
	put_up(&batch, &pods[0], pod_index[0]);
	put_v4(&batch, &pods[0], pod_index[0], htonl(0x0ac90002));
	carry_out(&batch, &pods[0], 0);
}

static void remove_pair(void)
{
	struct ifinfomsg body = {.ifi_index = host_index[0]};
	begin(&batch, &host, RTM_DELLINK, 0, &body, sizeof body);
	end(&batch);
	carry_out(&batch, &host, 0);
}

/* ---- forwarding entries ---- */

/* Entry i, as bridge(8) would have it: `static sticky` at the port, with a destination in the VXLAN. */
static void put_entry(int type, int i, int n, uint32_t port, uint32_t vxlan)
{
	int tunnelled = i >= n / 2;
	struct ndmsg body = {
		.ndm_family = PF_BRIDGE,
		.ndm_ifindex = tunnelled ? vxlan : port,
		.ndm_state = tunnelled ? NUD_PERMANENT : NUD_NOARP,
		.ndm_flags = (tunnelled ? NTF_SELF : NTF_MASTER) | NTF_STICKY};
	int flags = type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_EXCL : 0;
	struct nlmsghdr *h = begin(&batch, &host, type, flags, &body, sizeof body);
	put_mac(h, NDA_LLADDR, 4, i);
	if (tunnelled)
		mnl_attr_put_u32(h, NDA_DST, htonl(0x0ac80000u + i % 250));
	end(&batch);
}

static void entries(int type, int n)
{
	uint32_t port, vxlan;
	if (setns(space("host0"), CLONE_NEWNET) < 0 || !(port = if_nametoindex("d0")) || !(vxlan = if_nametoindex("vx0")))
		die("d0 and vx0");
	for (int i = 0; i < n; i++) {
		put_entry(type, i, n, port, vxlan);
		if (batch.count == REQUESTS_IN_A_CALL || i == n - 1)
			carry_out(&batch, &host, 0);
	}
}

static int read_entries(void)
{
	char buffer[32768];
	struct ndmsg body = {.ndm_family = PF_BRIDGE};
	int objects = 0;
	begin(&batch, &host, RTM_GETNEIGH, NLM_F_DUMP, &body, sizeof body);
	end(&batch);
	if (send(host.fd, batch.bytes, batch.length, 0) < 0)
		die("send");
	for (;;) {
		int n = recv(host.fd, buffer, sizeof buffer, 0);
		if (n < 0)
			die("recv");
		for (struct nlmsghdr *h = (void *)buffer; mnl_nlmsg_ok(h, n); h = mnl_nlmsg_next(h, &n)) {
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
				return objects;
			objects++;
		}
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(double *)a, y = *(double *)b;
	return x < y ? -1 : x > y;
}

/* Medians of adding one pair and of removing it. */
static void pair(int reps)
{
	double *wall = calloc(reps, 8), *cpu = calloc(reps, 8), *removal = calloc(reps, 8);
	for (int r = 0; r < reps; r++) {
		double start = now_us(), used = cpu_us();
		add_pair();
		wall[r] = now_us() - start;
		cpu[r] = cpu_us() - used;
		used = cpu_us();
		remove_pair();
		removal[r] = cpu_us() - used;
	}
	qsort(wall, reps, 8, by_value);
	qsort(cpu, reps, 8, by_value);
	qsort(removal, reps, 8, by_value);
	printf("{\"op\":\"pair\",\"reps\":%d,\"errors\":%d,\"first_error\":%d,\"wall_us\":%.1f,\"cpu_us\":%.1f,\"removal_cpu_us\":%.1f}\n",
	       reps, errors, first_error, wall[reps / 2], cpu[reps / 2], removal[reps / 2]);
}

int main(int argc, char **argv)
{
	struct rlimit files = {1 << 17, 1 << 17};
	setrlimit(RLIMIT_NOFILE, &files);
	self_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	const char *what = argc > 2 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 0, objects = 0;
	int heard = argc == 6 && !strcmp(argv[5], "heard"), readdresses = !strcmp(what, "readdress") && (argc == 5 || heard);
	int entry = !strncmp(what, "fdb", 3);
	if (n < 1 || !(readdresses || (argc == 3 && strchr("adpf", what[0])))) {
		fprintf(stderr, "usage: see the comment at the top of the source\n");
		return 64;
	}
	double opened = open_all(entry || !strcmp(what, "pair") ? 1 : n);
	if (!strcmp(what, "pair")) {
		pair(n);
		return errors != 0;
	}
	if (readdresses)
		find_pods(n);
	if (heard)
		listen_all(n);
	double start = now_us(), used = cpu_us();
	if (readdresses)
		readdress(n, atoi(argv[3]), atoi(argv[4]));
	else if (!strcmp(what, "apply"))
		apply(n);
	else if (!strcmp(what, "dump"))
		objects = dump_all(n);
	else if (!strcmp(what, "delete"))
		delete();
	else if (!strcmp(what, "fdb-read"))
		objects = read_entries();
	else if (entry)
		entries(strcmp(what, "fdb") ? RTM_DELNEIGH : RTM_NEWNEIGH, n);
	double wall = now_us() - start, cpu = cpu_us() - used;
	printf("{\"op\":\"%s\",\"n\":%d,\"errors\":%d,\"first_error\":%d,\"objects\":%d,\"open_us\":%.0f,\"wall_us\":%.0f,\"cpu_us\":%.0f}\n",
	       what, n, errors, first_error, objects, opened, wall, cpu);
	return errors != 0;
}
