/* The ways to send to and receive from a connected stream socket. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

/* One way to send: `send` moves up to `size` bytes and returns what its system calls said went into the socket. */
struct sender {
  const char *name;
  ssize_t (*send)(int fd, const char *data, size_t size);
  void (*prepare)(int fd);
  void (*finish)(int fd);
};

/* One way to receive: what its system calls took out of the socket; 0 at the end of the stream. */
struct receiver {
  const char *name;
  ssize_t (*receive)(int fd, char *buffer, size_t size);
  void (*prepare)(int fd);
};

const struct sender *sender_named(const char *name);
const struct receiver *receiver_named(const char *name);

/* Sends `total` bytes, receives to the end of the stream; both count as this process's truth. */
void stream_send(int fd, const struct sender *sender, size_t total, size_t chunk);
void stream_receive(int fd, const struct receiver *receiver, size_t chunk);

/* Linux native AIO (io_submit), one request; the result of its completion. */
ssize_t aio_do(int fd, int opcode, char *data, size_t size);
