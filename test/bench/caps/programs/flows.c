// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flows that send as fast as they may, or a sink that reads them, with live counters in a file that is mapped by
 * whoever wants to know: per flow four 64-bit numbers, bytes, segments sent, segments retransmitted, smoothed RTT in us.
 *
 *   flows sink COUNTERS PORT tcp|udp
 *   flows send COUNTERS ADDRESS PORT tcp|udp FLOWS CONGESTION [BYTES_EACH [PING_PORT [PACE]]]
 *   flows serve COUNTERS PORT CONGESTION     accepts, and sends on each connection
 *   flows fetch COUNTERS ADDRESS PORT FLOWS  connects, and reads
 *   flows ping ADDRESS PORT COUNT            round trips of 64 bytes over one connection, in us, one a line
 *   flows echo PORT
 * With a PING_PORT other than 0 a thread of the same process takes round trips there. With BYTES_EACH other than 0 a
 * connection ends after so many bytes and another takes its place. With a PACE each connection asks by
 * SO_MAX_PACING_RATE for so many bytes a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../../e2e/programs/address.h"

#define MAX_FLOWS 4096
struct counters {
	volatile uint64_t bytes, segments, retransmitted, srtt_us;
};
static struct counters *counters;
static char buffer[256 * 1024];
static char question[64];
static int sockets[MAX_FLOWS];
static uint64_t left[MAX_FLOWS];
static uint64_t aborted;
static int reconnecting; /* without waiting for it */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void map_counters(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct counters) * (MAX_FLOWS + 1)))
		die(path);
	counters = mmap(NULL, sizeof(struct counters) * (MAX_FLOWS + 1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counters == MAP_FAILED)
		die("mmap");
}

static int connect_to(const char *host, int port, int type, const char *congestion)
{
	struct sockaddr_storage to;
	socklen_t length = address(&to, host, port);
	int fd = socket(to.ss_family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	if (type == SOCK_STREAM && congestion && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, strlen(congestion)))
		die(congestion);
	if (reconnecting)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (void *)&to, length) && errno != EINPROGRESS)
		die("connect");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static int listen_on(int port, int type)
{
	struct sockaddr_storage at;
	socklen_t length = address(&at, "::", port);
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	int large = 4 << 20;
	if (type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
	if (bind(fd, (void *)&at, length) || (type == SOCK_STREAM && listen(fd, 4096)))
		die("listen");
	return fd;
}

static void note_info(int i)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);
	if (getsockopt(sockets[i], IPPROTO_TCP, TCP_INFO, &info, &length))
		return;
	counters[i].segments = info.tcpi_segs_out;
	counters[i].retransmitted = info.tcpi_total_retrans;
	counters[i].srtt_us = info.tcpi_rtt;
}

static void watch(int poll, int fd, int i, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.u32 = i};
	epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e);
}

/* Reads and sends on every connection until it is killed. `listener` takes further ones. */
static void run(int poll, int listener, int count, int sends, const char *congestion, const char *host, int port,
		uint64_t each)
{
	struct epoll_event events[256];
	uint64_t noted = 0;

	for (;;) {
		int n = epoll_wait(poll, events, 256, 50);
		for (int k = 0; k < n; k++) {
			int i = events[k].data.u32;
			if (i == MAX_FLOWS) {
				int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
				if (fd < 0)
					continue;
				if (sends && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, strlen(congestion)))
					die(congestion);
				int at = count < MAX_FLOWS - 1 ? count++ : MAX_FLOWS - 1;
				sockets[at] = fd;
				watch(poll, fd, at, sends ? EPOLLOUT : EPOLLIN);
				continue;
			}
			uint64_t room = sizeof(buffer);
			if (each && left[i] < room)
				room = left[i];
			if (each && !left[i]) { /* all is sent: the other side closes when it has read it all */
				if (recv(sockets[i], buffer, 1, 0) < 0 && errno == EAGAIN)
					continue;
				note_info(i);
				close(sockets[i]);
				sockets[i] = connect_to(host, port, SOCK_STREAM, congestion);
				left[i] = each;
				watch(poll, sockets[i], i, EPOLLOUT);
				continue;
			}
			ssize_t done = sends ? send(sockets[i], buffer, room, MSG_NOSIGNAL) : recv(sockets[i], buffer, room, MSG_TRUNC);
			if (done > 0) {
				counters[i].bytes += done;
				if (!each || (left[i] -= done))
					continue;
				shutdown(sockets[i], SHUT_WR);
				epoll_ctl(poll, EPOLL_CTL_DEL, sockets[i], NULL);
				watch(poll, sockets[i], i, EPOLLIN);
			} else if (done == 0 || (errno != EAGAIN && errno != EINTR && errno != EPERM && errno != ENOBUFS)) {
				if (done < 0 && errno != ECONNREFUSED)
					counters[MAX_FLOWS].bytes = ++aborted;
				close(sockets[i]);
				sockets[i] = -1;
			}
		}
		if (sends && now_ns() - noted > 200000000) {
			noted = now_ns();
			for (int i = 0; i < count; i++)
				if (sockets[i] >= 0)
					note_info(i);
		}
	}
}

/* Datagrams of 1,200 bytes at a rate that no cap of the bench reaches. */
static void send_datagrams(const char *host, int port, int count, uint64_t bytes_per_second)
{
	for (int i = 0; i < count; i++)
		sockets[i] = connect_to(host, port, SOCK_DGRAM, NULL);
	uint64_t began = now_ns(), sent = 0;
	for (;;) {
		uint64_t due = (now_ns() - began) / 1000 * bytes_per_second / 1000000;
		while (sent < due) {
			int i = sent / 1200 % count;
			ssize_t done = send(sockets[i], buffer, 1200, 0);
			counters[i].bytes += done > 0 ? done : 0;
			if (done < 0)
				counters[i].retransmitted++;
			sent += 1200;
		}
		usleep(1000);
	}
}

static void sink_datagrams(int fd)
{
	for (;;) {
		ssize_t done = recv(fd, buffer, sizeof(buffer), 0);
		if (done > 0)
			counters[0].bytes += done;
	}
}

static void ping(const char *host, int port, int count)
{
	int fd = connect_to(host, port, SOCK_STREAM, NULL), one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, 0);
	for (int i = 0; i < count; i++) {
		uint64_t began = now_ns();
		if (send(fd, question, 64, 0) != 64 || recv(fd, question, 64, MSG_WAITALL) != 64)
			die("ping");
		printf("%.1f\n", (now_ns() - began) / 1000.0);
		usleep(5000);
	}
}

static const char *ping_host;

static void *ping_on(void *port)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;)
		ping(ping_host, atoi(port), 1000000);
	return NULL;
}

static void echo(int port)
{
	int listener = listen_on(port, SOCK_STREAM);
	for (;;) {
		int fd = accept(listener, NULL, NULL), one = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (fork() == 0) {
			ssize_t n;
			while ((n = recv(fd, buffer, 64, 0)) > 0)
				send(fd, buffer, n, 0);
			exit(0);
		}
		close(fd);
	}
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	if (!strcmp(mode, "ping"))
		return ping(argv[2], atoi(argv[3]), atoi(argv[4])), 0;
	if (!strcmp(mode, "echo"))
		return echo(atoi(argv[2])), 0;
	map_counters(argv[2]);
	int poll = epoll_create1(EPOLL_CLOEXEC);
	if (!strcmp(mode, "sink") || !strcmp(mode, "serve")) {
		int sends = mode[1] == 'e';
		int is_udp = !sends && !strcmp(argv[4], "udp");
		int fd = listen_on(atoi(argv[3]), is_udp ? SOCK_DGRAM : SOCK_STREAM);
		if (is_udp)
			sink_datagrams(fd);
		watch(poll, fd, MAX_FLOWS, EPOLLIN);
		run(poll, fd, 0, sends, argv[4], NULL, 0, 0);
	}
	int sends = !strcmp(mode, "send");
	int port = atoi(argv[4]), count = atoi(argv[sends ? 6 : 5]);
	if (sends && !strcmp(argv[5], "udp"))
		send_datagrams(argv[3], port, count, strtoull(argv[7], NULL, 10));
	uint64_t each = sends && argc > 8 ? strtoull(argv[8], NULL, 10) : 0;
	if (sends && argc > 9 && atoi(argv[9])) {
		pthread_t thread;
		ping_host = argv[3];
		pthread_create(&thread, NULL, ping_on, argv[9]);
	}
	for (int i = 0; i < count; i++) {
		sockets[i] = connect_to(argv[3], port, SOCK_STREAM, sends ? argv[7] : NULL);
		left[i] = each;
		uint32_t pace = sends && argc > 10 ? strtoul(argv[10], NULL, 10) : 0;
		if (pace && setsockopt(sockets[i], SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof(pace)))
			die("SO_MAX_PACING_RATE");
		watch(poll, sockets[i], i, sends ? EPOLLOUT : EPOLLIN);
	}
	reconnecting = 1;
	run(poll, -1, count, sends, sends ? argv[7] : NULL, argv[3], port, each);
}
