#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "datagram.h"
#include "truth.h"
#include "uring.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static ssize_t noting_end(const char *buffer, ssize_t received, bool *ended) {
  *ended = is_last(buffer, received);
  return received;
}

static ssize_t by_recvfrom(int fd, char *buffer, size_t size, bool *ended) {
  struct endpoint from = {.length = sizeof from.address};
  return noting_end(buffer, recvfrom(fd, buffer, size, 0, (struct sockaddr *)&from.address, &from.length), ended);
}

static ssize_t by_recv(int fd, char *buffer, size_t size, bool *ended) { return noting_end(buffer, recv(fd, buffer, size, 0), ended); }
static ssize_t by_read(int fd, char *buffer, size_t size, bool *ended) { return noting_end(buffer, read(fd, buffer, size), ended); }

static ssize_t by_readv(int fd, char *buffer, size_t size, bool *ended) {
  struct iovec slices[2] = {{buffer, 400}, {buffer + 400, size - 400}};
  return noting_end(buffer, readv(fd, slices, 2), ended);
}

static ssize_t by_recvmsg(int fd, char *buffer, size_t size, bool *ended) {
  struct iovec slices[2] = {{buffer, 400}, {buffer + 400, size - 400}};
  struct msghdr message = {.msg_iov = slices, .msg_iovlen = 2};
  return noting_end(buffer, recvmsg(fd, &message, 0), ended);
}

static ssize_t by_recvmmsg(int fd, char *buffer, size_t size, bool *ended) {
  enum { most = 8 };
  struct iovec slices[most];
  struct mmsghdr messages[most] = {0};
  for (int i = 0; i < most; i++) {
    slices[i] = (struct iovec){buffer + i * (size / most), size / most};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &slices[i], .msg_iovlen = 1};
  }
  int count = recvmmsg(fd, messages, most, MSG_WAITFORONE, NULL);
  ssize_t total = count < 0 ? -1 : 0;
  for (int i = 0; i < count; i++) {
    total += messages[i].msg_len;
    *ended = *ended || is_last(slices[i].iov_base, messages[i].msg_len);
  }
  return total;
}

/* A buffer shorter than the datagram: the rest is lost, the call returns what it copied. */
static ssize_t by_short(int fd, char *buffer, size_t size, bool *ended) {
  (void)size;
  return noting_end(buffer, recv(fd, buffer, 100, 0), ended);
}

/* The same with MSG_TRUNC: the call returns the datagram's own length. */
static ssize_t by_trunc(int fd, char *buffer, size_t size, bool *ended) {
  (void)size;
  return noting_end(buffer, recv(fd, buffer, 100, MSG_TRUNC), ended);
}

static ssize_t by_peek(int fd, char *buffer, size_t size, bool *ended) {
  if (recv(fd, buffer, size, MSG_PEEK) < 0 || recv(fd, buffer, 10, MSG_PEEK | MSG_TRUNC) < 0)
    fail("recv(MSG_PEEK)");
  return by_recv(fd, buffer, size, ended);
}

static void gro_prepare(int fd) {
  if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &(int){1}, sizeof(int)) < 0)
    skip("this kernel has no UDP_GRO");
}

/* One call may return several datagrams of one sender; the mark is shorter than the others, so it comes last. */
static ssize_t by_gro(int fd, char *buffer, size_t size, bool *ended) {
  ssize_t received = recv(fd, buffer, size, 0);
  *ended = received >= 4 && is_last(buffer + received - 4, 4);
  return received;
}

static int pipe_ends[2] = {-1, -1};

static ssize_t drain_pipe(char *buffer, ssize_t moved, bool *ended) {
  for (ssize_t done = 0; done < moved;)
    done += read(pipe_ends[0], buffer + done, moved - done);
  return noting_end(buffer, moved, ended);
}

static ssize_t by_splice(int fd, char *buffer, size_t size, bool *ended) {
  (void)size;
  if (pipe_ends[0] < 0 && pipe(pipe_ends) < 0)
    fail("pipe");
  return drain_pipe(buffer, splice(fd, NULL, pipe_ends[1], NULL, 60000, 0), ended);
}

static void nonblocking_prepare(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static ssize_t by_nonblocking(int fd, char *buffer, size_t size, bool *ended) {
  ssize_t received = recv(fd, buffer, size, 0);
  if (received < 0 && errno == EAGAIN) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, 5000) == 1 ? 0 : -1;
  }
  return noting_end(buffer, received, ended);
}

static ssize_t result_of(int completion) {
  if (completion >= 0)
    return completion;
  errno = -completion;
  return -1;
}

static ssize_t by_uring_recv(int fd, char *buffer, size_t size, bool *ended) {
  struct io_uring_sqe request = {.opcode = IORING_OP_RECV, .fd = fd, .addr = (uintptr_t)buffer, .len = size};
  return noting_end(buffer, result_of(uring_do(request, URING_INLINE)), ended);
}

static ssize_t by_uring_recvmsg(int fd, char *buffer, size_t size, bool *ended) {
  struct iovec slice = {buffer, size};
  struct endpoint from;
  struct msghdr message = {.msg_iov = &slice, .msg_iovlen = 1, .msg_name = &from.address, .msg_namelen = sizeof from.address};
  struct io_uring_sqe request = {.opcode = IORING_OP_RECVMSG, .fd = fd, .addr = (uintptr_t)&message, .len = 1};
  return noting_end(buffer, result_of(uring_do(request, URING_INLINE)), ended);
}

static const struct datagram_receiver receivers[] = {
    {"recvfrom", by_recvfrom, NULL},
    {"recv", by_recv, NULL},
    {"read", by_read, NULL},
    {"readv", by_readv, NULL},
    {"recvmsg", by_recvmsg, NULL},
    {"recvmmsg", by_recvmmsg, NULL},
    {"short", by_short, NULL},
    {"trunc", by_trunc, NULL},
    {"peek", by_peek, NULL},
    {"gro", by_gro, gro_prepare},
    {"splice", by_splice, NULL},
    {"nonblocking", by_nonblocking, nonblocking_prepare},
    {"uring-recv", by_uring_recv, NULL},
    {"uring-recvmsg", by_uring_recvmsg, NULL},
};

const struct datagram_receiver *datagram_receiver_named(const char *name) {
  for (size_t i = 0; i < sizeof receivers / sizeof receivers[0]; i++)
    if (strcmp(receivers[i].name, name) == 0)
      return &receivers[i];
  errno = EINVAL;
  fail(name);
}
