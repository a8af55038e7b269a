// SPDX-License-Identifier: GPL-2.0-only
/*
 * A path with a delay, for kernels without netem: takes every frame that one interface receives, and sends it from the
 * other one so much later. `delay INTERFACE INTERFACE MICROSECONDS`
 */
#define _GNU_SOURCE
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <time.h>
#include <arpa/inet.h>

#define FRAMES 32768
#define FRAME_BYTES 2048

struct frame {
	uint64_t due_ns;
	uint32_t bytes;
	char data[FRAME_BYTES];
};
struct way {
	int from, to;
	struct frame *frames;
	uint32_t head, tail;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static int open_interface(const char *name)
{
	int one = 1, large = 32 << 20;
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(name)};
	if (fd < 0 || bind(fd, (void *)&at, sizeof(at))) {
		perror(name);
		exit(1);
	}
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
	return fd;
}

static void take(struct way *way, uint64_t delay_ns)
{
	uint64_t due = now_ns() + delay_ns;
	for (int i = 0; i < 256 && way->head - way->tail < FRAMES; i++) {
		struct frame *frame = &way->frames[way->head % FRAMES];
		ssize_t bytes = recv(way->from, frame->data, FRAME_BYTES, MSG_DONTWAIT);
		if (bytes <= 0)
			return;
		frame->bytes = bytes;
		frame->due_ns = due;
		way->head++;
	}
}

static uint64_t give(struct way *way)
{
	uint64_t now = now_ns();
	while (way->head != way->tail) {
		struct frame *frame = &way->frames[way->tail % FRAMES];
		if (frame->due_ns > now)
			return frame->due_ns - now;
		send(way->to, frame->data, frame->bytes, 0);
		way->tail++;
	}
	return 1000000000;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	prctl(PR_SET_TIMERSLACK, 1000);
	int a = open_interface(argv[1]), b = open_interface(argv[2]);
	uint64_t delay_ns = strtoull(argv[3], NULL, 10) * 1000;
	struct way ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
	struct pollfd polled[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
	for (int i = 0; i < 2; i++)
		ways[i].frames = calloc(FRAMES, sizeof(struct frame));
	for (;;) {
		uint64_t wait = 1000000000;
		for (int i = 0; i < 2; i++) {
			take(&ways[i], delay_ns);
			uint64_t next = give(&ways[i]);
			wait = next < wait ? next : wait;
		}
		struct timespec timeout = {.tv_nsec = wait > 999999999 ? 999999999 : wait};
		ppoll(polled, 2, &timeout, NULL);
	}
}
