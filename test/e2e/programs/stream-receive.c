#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sockets.h"
#include "stream.h"
#include "truth.h"
#include "uring.h"

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static ssize_t receive_recv(int fd, char *buffer, size_t size) { return recv(fd, buffer, size, 0); }
static ssize_t receive_read(int fd, char *buffer, size_t size) { return read(fd, buffer, size); }
static ssize_t receive_from(int fd, char *buffer, size_t size) { return recvfrom(fd, buffer, size, 0, NULL, NULL); }
static ssize_t receive_waitall(int fd, char *buffer, size_t size) { return recv(fd, buffer, size, MSG_WAITALL); }
/* Bytes a program throws away unread are bytes it took. */
static ssize_t receive_discard(int fd, char *buffer, size_t size) { return recv(fd, buffer, size, MSG_TRUNC); }
static ssize_t receive_small(int fd, char *buffer, size_t size) {
  static int call;
  return recv(fd, buffer, smaller(size, 1 + ++call % 97), 0);
}

static ssize_t receive_readv(int fd, char *buffer, size_t size) {
  struct iovec slices[2] = {{buffer, size / 3}, {buffer + size / 3, size - size / 3}};
  return readv(fd, slices, 2);
}

static ssize_t receive_preadv2(int fd, char *buffer, size_t size) {
  struct iovec slice = {buffer, size};
  return preadv2(fd, &slice, 1, -1, 0);
}

static ssize_t receive_msg(int fd, char *buffer, size_t size) {
  struct iovec slices[2] = {{buffer, size / 3}, {buffer + size / 3, size - size / 3}};
  struct msghdr message = {.msg_iov = slices, .msg_iovlen = 2};
  return recvmsg(fd, &message, 0);
}

static ssize_t receive_mmsg(int fd, char *buffer, size_t size) {
  struct iovec slices[2] = {{buffer, size / 2}, {buffer + size / 2, size / 2}};
  struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &slices[0], .msg_iovlen = 1}},
                                {.msg_hdr = {.msg_iov = &slices[1], .msg_iovlen = 1}}};
  int count = recvmmsg(fd, messages, 2, MSG_WAITFORONE, NULL);
  ssize_t total = count < 0 ? -1 : 0;
  for (int i = 0; i < count; i++)
    total += messages[i].msg_len;
  return total;
}

static ssize_t receive_splice(int fd, char *buffer, size_t size) {
  static int pipe_ends[2] = {-1, -1};
  if (pipe_ends[0] < 0 && pipe(pipe_ends) < 0)
    fail("pipe");
  ssize_t moved = splice(fd, NULL, pipe_ends[1], NULL, smaller(size, 60000), SPLICE_F_MOVE);
  for (ssize_t left = moved; left > 0;)
    left -= read(pipe_ends[0], buffer, left);
  return moved;
}

/* Peeks twice, once past the first half, then reads: only the read takes anything. */
static ssize_t receive_after_peek(int fd, char *buffer, size_t size) {
  if (recv(fd, buffer, size, MSG_PEEK) < 0 || recv(fd, buffer, size / 2, MSG_PEEK | MSG_DONTWAIT) < 0)
    fail("recv(MSG_PEEK)");
  return recv(fd, buffer, size, 0);
}

static ssize_t splice_after_peek(int fd, char *buffer, size_t size) {
  if (recv(fd, buffer, size, MSG_PEEK) < 0)
    fail("recv(MSG_PEEK)");
  return receive_splice(fd, buffer, size);
}

static void nonblocking_prepare(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static ssize_t receive_nonblocking(int fd, char *buffer, size_t size) {
  for (;;) {
    ssize_t n = read(fd, buffer, size);
    if (n >= 0 || errno != EAGAIN)
      return n;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    poll(&wait, 1, 5000);
  }
}

/*
 * TCP_ZEROCOPY_RECEIVE maps whole pages and copies the rest into a buffer that the caller gives (kernel 5.11+). It is a
 * getsockopt: what it took stands in its result, not in a return value. Where nothing is there yet, poll waits.
 */
static ssize_t receive_zerocopy(int fd, char *buffer, size_t size) {
  static char *window;
  static const size_t window_size = 1 << 18;
  if (!window) {
    window = mmap(NULL, window_size, PROT_READ, MAP_SHARED, fd, 0);
    if (window == MAP_FAILED)
      skip("this kernel maps no TCP sockets");
  }
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  poll(&wait, 1, 5000);
  struct tcp_zerocopy_receive request = {.address = (uintptr_t)window, .length = window_size};
  request.copybuf_address = (uintptr_t)buffer;
  request.copybuf_len = (int32_t)smaller(size, 1 << 16);
  socklen_t length = sizeof request;
  if (getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &request, &length) < 0)
    return errno == EIO ? 0 : -1; /* EIO: the end of the stream */
  if (request.err)
    return errno = -request.err, -1;
  ssize_t taken = (ssize_t)request.length + (request.copybuf_len > 0 ? request.copybuf_len : 0);
  if (taken > 0)
    return taken;
  /* Nothing mapped, nothing copied: recv_skip_hint says to read that much the ordinary way. */
  return recv(fd, buffer, request.recv_skip_hint ? smaller(request.recv_skip_hint, size) : size, 0);
}

static int result_of(int completion) {
  if (completion >= 0)
    return completion;
  errno = -completion;
  return -1;
}

static ssize_t receive_uring_as(int fd, char *buffer, size_t size, enum uring_how how) {
  return result_of(uring_do((struct io_uring_sqe){.opcode = IORING_OP_RECV, .fd = fd, .addr = (uintptr_t)buffer, .len = size}, how));
}
static ssize_t receive_uring(int fd, char *buffer, size_t size) { return receive_uring_as(fd, buffer, size, URING_INLINE); }
static ssize_t receive_uring_worker(int fd, char *buffer, size_t size) { return receive_uring_as(fd, buffer, size, URING_WORKER); }
static ssize_t receive_uring_sqpoll(int fd, char *buffer, size_t size) { return receive_uring_as(fd, buffer, size, URING_SQPOLL); }

static ssize_t receive_uring_read(int fd, char *buffer, size_t size) {
  struct io_uring_sqe request = {.opcode = IORING_OP_READ, .fd = fd, .off = -1, .addr = (uintptr_t)buffer, .len = size};
  return result_of(uring_do(request, URING_INLINE));
}

static ssize_t receive_uring_msg(int fd, char *buffer, size_t size) {
  struct iovec slices[2] = {{buffer, size / 3}, {buffer + size / 3, size - size / 3}};
  struct msghdr message = {.msg_iov = slices, .msg_iovlen = 2};
  struct io_uring_sqe request = {.opcode = IORING_OP_RECVMSG, .fd = fd, .addr = (uintptr_t)&message, .len = 1};
  return result_of(uring_do(request, URING_INLINE));
}

static ssize_t receive_uring_splice(int fd, char *buffer, size_t size) {
  static int pipe_ends[2] = {-1, -1};
  if (pipe_ends[0] < 0 && pipe(pipe_ends) < 0)
    fail("pipe");
  struct io_uring_sqe request = {.opcode = IORING_OP_SPLICE, .fd = pipe_ends[1], .off = -1, .len = smaller(size, 60000)};
  request.splice_fd_in = fd;
  request.splice_off_in = -1;
  int moved = result_of(uring_do(request, URING_INLINE));
  for (int left = moved; left > 0;)
    left -= read(pipe_ends[0], buffer, left);
  return moved;
}

static ssize_t receive_aio(int fd, char *buffer, size_t size) { return aio_do(fd, IOCB_CMD_PREAD, buffer, size); }

/* Each call another way: a counter that takes the stream position from two sources counts twice, or not at all. */
static ssize_t receive_in_turn(int fd, char *buffer, size_t size) {
  static ssize_t (*const ways[])(int, char *, size_t) = {receive_recv,  receive_splice,     receive_discard, receive_zerocopy,
                                                         receive_small, receive_after_peek, receive_splice,  receive_readv};
  static unsigned call;
  return ways[call++ % (sizeof ways / sizeof ways[0])](fd, buffer, smaller(size, 5000));
}

static const struct receiver receivers[] = {
    {"recv", receive_recv, NULL},
    {"read", receive_read, NULL},
    {"readv", receive_readv, NULL},
    {"preadv2", receive_preadv2, NULL},
    {"recvfrom", receive_from, NULL},
    {"recvmsg", receive_msg, NULL},
    {"recvmmsg", receive_mmsg, NULL},
    {"splice", receive_splice, NULL},
    {"peek", receive_after_peek, NULL},
    {"peek-splice", splice_after_peek, NULL},
    {"discard", receive_discard, NULL},
    {"waitall", receive_waitall, NULL},
    {"small", receive_small, NULL},
    {"nonblocking", receive_nonblocking, nonblocking_prepare},
    {"zerocopy", receive_zerocopy, NULL},
    {"uring-recv", receive_uring, NULL},
    {"uring-worker", receive_uring_worker, NULL},
    {"uring-sqpoll", receive_uring_sqpoll, NULL},
    {"uring-read", receive_uring_read, NULL},
    {"uring-recvmsg", receive_uring_msg, NULL},
    {"uring-splice", receive_uring_splice, NULL},
    {"aio", receive_aio, NULL},
    {"in-turn", receive_in_turn, NULL},
};

const struct receiver *receiver_named(const char *name) {
  for (size_t i = 0; i < sizeof receivers / sizeof receivers[0]; i++)
    if (strcmp(receivers[i].name, name) == 0)
      return &receivers[i];
  errno = EINVAL;
  fail(name);
}

void stream_receive(int fd, const struct receiver *receiver, size_t chunk) {
  static char buffer[1 << 20];
  if (receiver->prepare)
    receiver->prepare(fd);
  ssize_t taken;
  while ((taken = count_received(receiver->receive(fd, buffer, smaller(chunk, sizeof buffer)))) > 0)
    ;
  if (taken < 0)
    fail(receiver->name);
}
