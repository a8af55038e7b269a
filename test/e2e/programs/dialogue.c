// SPDX-License-Identifier: GPL-2.0-only
/*
 * Somebody who answers, and somebody who asks and says what came of it.
 *
 *   dialogue answer PORT                             echoes TCP and UDP; at SIGUSR1 also on the port after the last
 *   dialogue share PORT                              echoes TCP on a port that others may listen on, too
 *   dialogue ask tcp|fastopen|mptcp|udp|connected|raw|header ADDRESS PORT [COUNT]
 *                                                    one word a question: ok, timeout, or the error's name; of raw
 *                                                    sockets (header: they write the IP header) ok where it was sent
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"

#define MAX_SOCKETS 64
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
static struct pollfd polled[MAX_SOCKETS];
static char kinds[MAX_SOCKETS]; /* l: listener, u: datagrams, c: connection */
static int count;
static volatile sig_atomic_t move_on;

static void note_move(int signal)
{
	(void)signal;
	move_on = 1;
}

static void add(int fd, char kind)
{
	polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
	kinds[count++] = kind;
}

static void open_port(int port, int shared)
{
	struct sockaddr_storage at;
	socklen_t length = address(&at, "::", port);
	int one = 1, stream = socket(AF_INET6, SOCK_STREAM, 0), datagrams = socket(AF_INET6, SOCK_DGRAM, 0);
	setsockopt(stream, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(stream, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof(shared));
	setsockopt(stream, IPPROTO_TCP, TCP_FASTOPEN, &(int){16}, sizeof(int));
	if (bind(stream, (void *)&at, length) || listen(stream, 16) || (!shared && bind(datagrams, (void *)&at, length))) {
		perror("answer");
		exit(1);
	}
	add(stream, 'l');
	if (!shared)
		add(datagrams, 'u');
}

static void answer(int port, int shared)
{
	char buffer[2048];
	struct sigaction action = {.sa_handler = note_move};
	sigaction(SIGUSR1, &action, NULL);
	open_port(port, shared);
	for (;;) {
		poll(polled, count, 1000);
		if (move_on) {
			move_on = 0;
			open_port(++port, shared);
		}
		for (int i = 0; i < count; i++) {
			struct sockaddr_storage from;
			socklen_t length = sizeof(from);
			if (!(polled[i].revents & (POLLIN | POLLHUP | POLLERR)))
				continue;
			if (kinds[i] == 'l') {
				int fd = accept(polled[i].fd, NULL, NULL);
				if (fd >= 0 && count < MAX_SOCKETS)
					add(fd, 'c');
				continue;
			}
			ssize_t n = recvfrom(polled[i].fd, buffer, sizeof(buffer), MSG_DONTWAIT, (void *)&from, &length);
			if (kinds[i] == 'u' && n >= 0)
				sendto(polled[i].fd, buffer, n, 0, (void *)&from, length);
			else if (n > 0)
				send(polled[i].fd, buffer, n, MSG_NOSIGNAL);
			else if (kinds[i] == 'c' && errno != EAGAIN) {
				close(polled[i].fd);
				polled[i].fd = -1;
			}
		}
	}
}

static int say(const char *word)
{
	puts(word);
	fflush(stdout);
	return 0;
}

static int say_error(void)
{
	if (errno == EAGAIN || errno == EINPROGRESS || errno == ETIMEDOUT)
		return say("timeout");
	return say(errno == EPERM ? "EPERM" : errno == ECONNREFUSED ? "ECONNREFUSED" : errno == ECONNRESET ? "ECONNRESET" :
		   errno == ECONNABORTED ? "ECONNABORTED" : strerror(errno));
}

static int ask(const char *how, const char *host, int port, int questions)
{
	struct sockaddr_storage to;
	socklen_t length = address(&to, host, port);
	struct timeval patience = {.tv_usec = 450000};
	char buffer[16] = "question";
	int is_datagram = how[0] == 'u' || how[0] == 'c';
	int fd = socket(to.ss_family, is_datagram ? SOCK_DGRAM : SOCK_STREAM, how[0] == 'm' ? IPPROTO_MPTCP : 0);
	if (fd < 0)
		return say_error();
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	int unconnected = how[0] == 'u' || how[0] == 'f';
	if (!unconnected && connect(fd, (void *)&to, length))
		return say_error();
	for (int i = 0; i < questions; i++) {
		ssize_t n = unconnected && (i == 0 || how[0] == 'u')
				    ? sendto(fd, buffer, 8, how[0] == 'f' ? MSG_FASTOPEN : 0, (void *)&to, length)
				    : send(fd, buffer, 8, MSG_NOSIGNAL);
		if (n == 8)
			n = recv(fd, buffer, 8, 0);
		if (n == 8)
			say("ok");
		else if (n == 0)
			say("closed");
		else
			say_error();
		if (n <= 0 && !is_datagram)
			return 0;
		if (i + 1 < questions)
			usleep(200000);
	}
	return 0;
}

/* Four bytes of the IP protocol for experiments. */
static int send_raw(const char *host, int writes_header)
{
	struct sockaddr_storage to;
	socklen_t length = address(&to, host, 0);
	unsigned char packet[24] = {0x45, [3] = 24, [8] = 64, [9] = 253};
	int fd = socket(to.ss_family, SOCK_RAW, writes_header ? IPPROTO_RAW : 253);
	if (fd < 0)
		return say_error();
	memcpy(packet + 16, &((struct sockaddr_in *)&to)->sin_addr, 4);
	ssize_t n = sendto(fd, writes_header ? packet : packet + 20, writes_header ? 24 : 4, 0, (void *)&to, length);
	return n < 0 ? say_error() : say("ok");
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "answer"))
		answer(atoi(argv[2]), 0);
	if (argc == 3 && !strcmp(argv[1], "share"))
		answer(atoi(argv[2]), 1);
	if (argc >= 5 && !strcmp(argv[1], "ask") && (!strcmp(argv[2], "raw") || !strcmp(argv[2], "header")))
		return send_raw(argv[3], argv[2][0] == 'h');
	if (argc >= 5 && !strcmp(argv[1], "ask"))
		return ask(argv[2], argv[3], atoi(argv[4]), argc > 5 ? atoi(argv[5]) : 1);
	return 2;
}
