/* The ways to send and receive datagrams. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "sockets.h"

/* `send` sends `count` datagrams (at most `at_once`) of `size` bytes; `to` is NULL on a connected socket. */
struct datagram_sender {
  const char *name;
  int at_once;
  ssize_t (*send)(int fd, const struct endpoint *to, const char *data, size_t size, int count);
  void (*prepare)(int fd, size_t size);
  void (*finish)(int fd);
};

/* `receive` answers what its system calls returned, and sets `ended` once the last datagram was among it. */
struct datagram_receiver {
  const char *name;
  ssize_t (*receive)(int fd, char *buffer, size_t size, bool *ended);
  void (*prepare)(int fd);
};

const struct datagram_sender *datagram_sender_named(const char *name);
const struct datagram_receiver *datagram_receiver_named(const char *name);
bool is_last(const char *data, ssize_t size);
