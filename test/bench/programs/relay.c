// SPDX-License-Identifier: GPL-2.0-only
/*
 * A relay with FLOWS flows on the loopback that is never idle: a source sends messages of SIZE bytes on connections
 * picked at random, the relay passes each on to a connection of its own, and a sink takes them. Each is a process. The
 * sink tells the source through a pipe to go on, so that no message waits for another on the same connection.
 *
 *   relay FLOWS SIZE READY
 *
 * Makes the file READY when all connections are made; ends when it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64, BATCH = 16, MAX_SIZE = 65536 };

static char bytes[MAX_SIZE];

static struct sockaddr_in loopback(int host, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host);
	return address;
}

static int listen_on(int *port)
{
	struct sockaddr_in here = loopback(0, 0);
	socklen_t length = sizeof(here);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&here, length) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)&here, &length))
		err(1, "listen");
	*port = ntohs(here.sin_port);
	return fd;
}

static int no_delay(int fd)
{
	int on = 1;
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		err(1, "a connection");
	return fd;
}

/* Each from an address of its own: to the ledger they are as many hosts. */
static int connect_to(int port, int host)
{
	struct sockaddr_in here = loopback(host, 0), there = loopback(0, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) || connect(fd, (struct sockaddr *)&there, sizeof(there)))
		err(1, "connect");
	return no_delay(fd);
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		err(1, "epoll_ctl");
}

static void relay(int listener, int port, int pairs, int ready)
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(0);
	int *other = calloc(2 * pairs + 64, sizeof(*other));

	for (int i = 0; i < pairs; i++) {
		int from = no_delay(accept(listener, NULL, NULL));
		int to = connect_to(port, 20000 + i);
		if (from >= 2 * pairs + 64 || to >= 2 * pairs + 64)
			errx(1, "more files are open than were expected");
		other[from] = to;
		watch(epoll, from);
	}
	if (write(ready, "r", 1) != 1)
		err(1, "ready");
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			ssize_t length = recv(fd, bytes, sizeof(bytes), 0);
			if (length <= 0 || send(other[fd], bytes, length, MSG_NOSIGNAL) != length)
				exit(1);
		}
	}
}

static void sink(const int *connections, int pairs, int batch, int size, int go_on)
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(0);
	long taken = 0;

	for (int i = 0; i < pairs; i++)
		watch(epoll, connections[i]);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			ssize_t length = recv(events[i].data.fd, bytes, sizeof(bytes), 0);
			if (length <= 0)
				exit(1);
			taken += length;
		}
		if (taken >= (long)batch * size) {
			taken -= (long)batch * size;
			if (write(go_on, "g", 1) != 1)
				exit(1);
		}
	}
}

static pid_t child(void)
{
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

int main(int argc, char **argv)
{
	int to_relay, to_sink, ready[2], go_on[2];
	struct rlimit files = {65536, 65536};

	if (argc != 4)
		errx(2, "usage: relay FLOWS SIZE READY");
	int pairs = atoi(argv[1]) / 2, size = atoi(argv[2]);
	int batch = pairs < BATCH ? pairs : BATCH;
	if (pairs < 1 || size < 1 || size > MAX_SIZE)
		errx(2, "FLOWS from 2, SIZE from 1 to %d", MAX_SIZE);
	setrlimit(RLIMIT_NOFILE, &files);
	int relay_listener = listen_on(&to_relay), sink_listener = listen_on(&to_sink);
	if (pipe(ready) || pipe(go_on))
		err(1, "pipe");
	if (child() == 0)
		relay(relay_listener, to_sink, pairs, ready[1]);

	int *out = calloc(pairs, sizeof(*out)), *in = calloc(pairs, sizeof(*in));
	for (int i = 0; i < pairs; i++) {
		out[i] = connect_to(to_relay, 40000 + i);
		in[i] = no_delay(accept(sink_listener, NULL, NULL));
	}
	if (read(ready[0], bytes, 1) != 1)
		errx(1, "the relay has ended");
	if (child() == 0)
		sink(in, pairs, batch, size, go_on[1]);
	close(open(argv[3], O_WRONLY | O_CREAT, 0644));
	for (unsigned int random = 1;;) {
		for (int i = 0; i < batch; i++) {
			random = random * 1103515245 + 12345;
			int which = (random >> 8) % (pairs / batch) * batch + i;
			if (send(out[which], bytes, size, MSG_NOSIGNAL) != size)
				errx(1, "the relay has ended");
		}
		if (read(go_on[0], bytes, 1) != 1)
			errx(1, "the sink has ended");
	}
}
