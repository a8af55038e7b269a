// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many apps, cheaply: this program under COUNT names in FOLDER (hard links, since an app goes by its
 * executable's name), each of which is executed once and sends one datagram.
 *
 *   apps FOLDER COUNT ADDRESS PORT
 *   NAME ADDRESS PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int send_one(const char *address, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", address);
	if (sendto(fd, "app", 3, 0, (struct sockaddr *)&to, sizeof(to)) != 3)
		err(1, "sendto");
	return 0;
}

int main(int argc, char **argv)
{
	char path[4096], self[4096];
	int status;

	if (argc == 3)
		return send_one(argv[1], atoi(argv[2]));
	if (argc != 5)
		errx(2, "usage: apps FOLDER COUNT ADDRESS PORT");
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (length < 0)
		err(1, "/proc/self/exe");
	self[length] = '\0';
	for (int i = 0; i < atoi(argv[2]); i++) {
		pid_t pid;
		snprintf(path, sizeof(path), "%s/bench-app-%05d", argv[1], i);
		if (link(self, path))
			err(1, "%s", path);
		char *arguments[] = {path, argv[3], argv[4], NULL};
		if (posix_spawn(&pid, path, NULL, NULL, arguments, NULL))
			err(1, "%s", path);
		if (waitpid(pid, &status, 0) != pid || status)
			errx(1, "%s failed", path);
	}
	return 0;
}
