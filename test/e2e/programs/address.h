/* An address and a port, IPv4 or IPv6, as socket calls take it. */
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static inline socklen_t address(struct sockaddr_storage *out, const char *host, int port)
{
	struct sockaddr_in *a = (void *)out;
	struct sockaddr_in6 *b = (void *)out;
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &a->sin_addr) == 1) {
		a->sin_family = AF_INET;
		a->sin_port = htons(port);
		return sizeof(*a);
	}
	inet_pton(AF_INET6, host, &b->sin6_addr);
	b->sin6_family = AF_INET6;
	b->sin6_port = htons(port);
	return sizeof(*b);
}
