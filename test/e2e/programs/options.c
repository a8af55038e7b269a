// SPDX-License-Identifier: GPL-2.0-only
/*
 * A connection that asks for a pace, a window and a congestion control of its own, sends without end, and says every
 * 100 ms which it has: options ADDRESS PORT PACE WINDOW
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"

static char buffer[65536];

int main(int argc, char **argv)
{
	struct sockaddr_storage to;
	if (argc != 5)
		return 2;
	socklen_t length = address(&to, argv[1], atoi(argv[2]));
	int fd = socket(to.ss_family, SOCK_STREAM, 0), window = atoi(argv[4]), received = 1 << 20;
	unsigned int pace = strtoul(argv[3], NULL, 10);
	if (connect(fd, (void *)&to, length) || setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof(pace)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &received, sizeof(received)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window, sizeof(window)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5)) {
		perror("options");
		return 1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		char congestion[16] = "";
		socklen_t sizes[] = {sizeof(pace), sizeof(window), sizeof(congestion)};
		for (int i = 0; i < 100; i++) {
			send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL);
			usleep(1000);
		}
		getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &pace, &sizes[0]);
		getsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window, &sizes[1]);
		getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &sizes[2]);
		printf("%u %d %s\n", pace, window, congestion);
	}
}
