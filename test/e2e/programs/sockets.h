/* Addresses and sockets, with every failure ending the program. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

struct endpoint {
  struct sockaddr_storage address;
  socklen_t length;
};

/* "198.51.100.2", "2001:db8::2", "::ffff:198.51.100.2" (an IPv6 socket that speaks IPv4), "::" (dual stack). */
struct endpoint endpoint_of(const char *address, int port);
const struct sockaddr *address_of(const struct endpoint *endpoint);

/* SO_REUSEADDR and SO_REUSEPORT are set unless `port` is 0, IPV6_V6ONLY is not; `protocol` is IPPROTO_TCP or IPPROTO_MPTCP. */
int stream_listen(const char *address, int port, int protocol);
int stream_accept(int listener);
int stream_connect(const char *address, int port, int protocol);
/* A bound (port may be 0) UDP socket with room for everything a test sends, and a receive timeout of 30 s. */
int datagram_bind(const char *address, int port);

void set_option(int fd, int level, int option, int value);
/* Plain send and recv until `size` bytes went through, counted as this process's truth. */
void send_all(int fd, size_t size);
void receive_exactly(int fd, size_t size);
void receive_until_end(int fd);

/* A file with `size` bytes to send from, without a name. */
int file_of(size_t size);
/* The value after `--name`, else `otherwise`. */
const char *option_text(char **arguments, const char *name, const char *otherwise);
long option_number(char **arguments, const char *name, long otherwise);
bool option_flag(char **arguments, const char *name);
