#define _GNU_SOURCE
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "truth.h"

struct endpoint endpoint_of(const char *address, int port) {
  struct endpoint endpoint = {0};
  struct sockaddr_in *four = (void *)&endpoint.address;
  struct sockaddr_in6 *six = (void *)&endpoint.address;
  if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    endpoint.length = sizeof *four;
  } else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    endpoint.length = sizeof *six;
  } else {
    errno = EINVAL;
    fail(address);
  }
  return endpoint;
}

const struct sockaddr *address_of(const struct endpoint *endpoint) { return (const struct sockaddr *)&endpoint->address; }

void set_option(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) < 0)
    fail("setsockopt");
}

/* A port of the kernel's choice is nobody else's: those that may be shared it gives to several. */
static int open_bound(const struct endpoint *at, int type, int protocol) {
  bool is_chosen = ((const struct sockaddr_in *)&at->address)->sin_port == 0; /* in sockaddr_in6 it lies there, too */
  int fd = socket(at->address.ss_family, type, protocol);
  if (fd < 0) {
    if (protocol == IPPROTO_MPTCP)
      skip("this kernel opens no MPTCP sockets");
    fail("socket");
  }
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, !is_chosen);
  set_option(fd, SOL_SOCKET, SO_REUSEPORT, !is_chosen);
  if (at->address.ss_family == AF_INET6)
    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(fd, address_of(at), at->length) < 0)
    fail("bind");
  return fd;
}

int stream_listen(const char *address, int port, int protocol) {
  struct endpoint at = endpoint_of(address, port);
  int fd = open_bound(&at, SOCK_STREAM, protocol);
  if (listen(fd, 4096) < 0)
    fail("listen");
  return fd;
}

int stream_accept(int listener) {
  int fd = accept(listener, NULL, NULL);
  if (fd < 0)
    fail("accept");
  return fd;
}

int stream_connect(const char *address, int port, int protocol) {
  struct endpoint to = endpoint_of(address, port);
  int fd = socket(to.address.ss_family, SOCK_STREAM, protocol);
  if (fd < 0) {
    if (protocol == IPPROTO_MPTCP)
      skip("this kernel opens no MPTCP sockets");
    fail("socket");
  }
  if (connect(fd, address_of(&to), to.length) < 0)
    fail("connect");
  return fd;
}

int datagram_bind(const char *address, int port) {
  struct endpoint at = endpoint_of(address, port);
  int fd = open_bound(&at, SOCK_DGRAM, IPPROTO_UDP);
  set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20);
  set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20);
  struct timeval timeout = {.tv_sec = 30};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0)
    fail("SO_RCVTIMEO");
  return fd;
}

void send_all(int fd, size_t size) {
  static char data[16384];
  while (size > 0) {
    ssize_t n = count_sent(send(fd, data, size < sizeof data ? size : sizeof data, MSG_NOSIGNAL));
    if (n < 0)
      fail("send");
    size -= n;
  }
}

void receive_exactly(int fd, size_t size) {
  char buffer[16384];
  while (size > 0) {
    ssize_t n = count_received(recv(fd, buffer, size < sizeof buffer ? size : sizeof buffer, 0));
    if (n <= 0)
      fail("recv");
    size -= n;
  }
}

void receive_until_end(int fd) {
  char buffer[16384];
  ssize_t n;
  while ((n = count_received(recv(fd, buffer, sizeof buffer, 0))) > 0)
    ;
  if (n < 0)
    fail("recv");
}

int file_of(size_t size) {
  int fd = memfd_create("data", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, size) < 0)
    fail("memfd_create");
  char *bytes = mmap(NULL, size, PROT_WRITE, MAP_SHARED, fd, 0);
  if (bytes == MAP_FAILED)
    fail("mmap");
  memset(bytes, 'f', size);
  munmap(bytes, size);
  return fd;
}

const char *option_text(char **arguments, const char *name, const char *otherwise) {
  for (; *arguments; arguments++)
    if (strcmp(*arguments, name) == 0 && arguments[1])
      return arguments[1];
  return otherwise;
}

long option_number(char **arguments, const char *name, long otherwise) {
  const char *text = option_text(arguments, name, NULL);
  return text ? atol(text) : otherwise;
}

bool option_flag(char **arguments, const char *name) {
  for (; *arguments; arguments++)
    if (strcmp(*arguments, name) == 0)
      return true;
  return false;
}
