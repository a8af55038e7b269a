// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many TCP connections, each of which carries 100 bytes both ways every second while the client is busy.
 *
 *   busy server PROCESSES PORT
 *   busy client PROCESSES PORT ADDRESS CONNECTIONS READY
 *
 * Worker i of the server listens on PORT + i, worker i of the client connects there. The client makes the
 * file READY when all connections are made; it starts idle, SIGUSR1 makes it busy, SIGUSR2 idle again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 100, TICKS = 20, EVENTS = 256 };

static volatile sig_atomic_t is_busy;
static pid_t *workers;
static int worker_count;

static void on_signal(int number)
{
	is_busy = number == SIGUSR1;
	for (int i = 0; i < worker_count; i++)
		kill(workers[i], number);
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		err(1, "epoll_ctl");
}

static struct sockaddr_in address_of(const char *address, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", address);
	return to;
}

static void no_delay(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Sends back what came; false where the connection is over. */
static int echo(int fd)
{
	char bytes[16 * MESSAGE];
	ssize_t length = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (length < 0)
		return errno == EAGAIN || errno == EINTR;
	return length > 0 && send(fd, bytes, length, MSG_NOSIGNAL) == length;
}

static void serve(int port)
{
	struct epoll_event events[EVENTS];
	struct sockaddr_in here = address_of("0.0.0.0", port);
	int epoll = epoll_create1(0), on = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) || listen(listener, 4096))
		err(1, "port %d", port);
	watch(epoll, listener);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			if (fd != listener) {
				if (!echo(fd))
					close(fd);
				continue;
			}
			while ((fd = accept(listener, NULL, NULL)) >= 0) {
				no_delay(fd);
				watch(epoll, fd);
			}
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				err(1, "accept");
		}
	}
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void drain(int epoll, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	char bytes[16 * MESSAGE];
	int count = epoll_wait(epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < count; i++)
		if (recv(events[i].data.fd, bytes, sizeof(bytes), MSG_DONTWAIT) == 0)
			errx(1, "the server closed a connection");
}

/* Spreads the sends evenly over each second. */
static void talk(int port, const char *address, int connections, int ready)
{
	static const char message[MESSAGE];
	struct sockaddr_in there = address_of(address, port);
	int *fds = calloc(connections, sizeof(*fds));
	int epoll = epoll_create1(0);

	for (int i = 0; i < connections; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&there, sizeof(there)))
			err(1, "connection %d to %s:%d", i, address, port);
		no_delay(fds[i]);
		watch(epoll, fds[i]);
	}
	if (write(ready, "", 1) != 1)
		err(1, "pipe");
	for (int64_t tick = 0, start = now_ms();; tick++) {
		int64_t due = start + tick * 1000 / TICKS;
		for (int64_t left; (left = due - now_ms()) > 0;)
			drain(epoll, is_busy ? left : 1000);
		if (!is_busy)
			continue;
		int first = tick % TICKS * connections / TICKS;
		int end = (tick % TICKS + 1) * connections / TICKS;
		for (int i = first; i < end; i++)
			if (send(fds[i], message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
				err(1, "send");
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct sigaction action = {.sa_handler = on_signal};
	int ready[2];
	char byte;

	if (argc < 4)
		errx(2, "usage: busy server PROCESSES PORT | busy client PROCESSES PORT ADDRESS CONNECTIONS READY");
	int is_client = !strcmp(argv[1], "client");
	int processes = atoi(argv[2]), port = atoi(argv[3]);
	if (processes < 1 || (is_client && argc != 7))
		errx(2, "wrong arguments");

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	if (pipe(ready))
		err(1, "pipe");
	workers = calloc(processes, sizeof(*workers));
	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (pid == 0) {
			worker_count = 0;
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (is_client)
				talk(port + i, argv[4], atoi(argv[5]) / processes, ready[1]);
			serve(port + i);
		}
		workers[i] = pid;
		worker_count = i + 1;
	}
	close(ready[1]);
	if (is_client) {
		for (int i = 0; i < processes; i++)
			if (read(ready[0], &byte, 1) != 1)
				errx(1, "a worker ended early");
		if (open(argv[6], O_CREAT | O_WRONLY, 0644) < 0)
			err(1, "%s", argv[6]);
	}
	/* Any worker that ends is an error: the load would be less than it says. */
	while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
		;
	errx(1, "a worker ended");
}
