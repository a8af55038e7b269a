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

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static void *name_of(const struct endpoint *to) { return to ? (void *)&to->address : NULL; }
static socklen_t name_length(const struct endpoint *to) { return to ? to->length : 0; }

static ssize_t by_sendto(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)count;
  return sendto(fd, data, size, 0, name_of(to), name_length(to));
}

static ssize_t by_write(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)to, (void)count;
  return write(fd, data, size);
}

static ssize_t by_writev(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)to, (void)count;
  struct iovec slices[2] = {{(char *)data, size / 3}, {(char *)data + size / 3, size - size / 3}};
  return writev(fd, slices, 2);
}

static ssize_t by_sendmsg(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)count;
  struct iovec slices[2] = {{(char *)data, size / 3}, {(char *)data + size / 3, size - size / 3}};
  struct msghdr message = {.msg_name = name_of(to), .msg_namelen = name_length(to), .msg_iov = slices, .msg_iovlen = 2};
  return sendmsg(fd, &message, 0);
}

static ssize_t by_sendmmsg(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  struct iovec slice = {(char *)data, size};
  struct mmsghdr messages[16] = {0};
  for (int i = 0; i < count; i++)
    messages[i].msg_hdr = (struct msghdr){.msg_name = name_of(to), .msg_namelen = name_length(to), .msg_iov = &slice, .msg_iovlen = 1};
  int sent = sendmmsg(fd, messages, count, 0);
  ssize_t total = sent < 0 ? -1 : 0;
  for (int i = 0; i < sent; i++)
    total += messages[i].msg_len;
  return total;
}

static size_t gso_size;

static void remember_size(int fd, size_t size) {
  (void)fd;
  gso_size = size;
}

static void gso_prepare(int fd, size_t size) {
  if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &(int){size}, sizeof(int)) < 0)
    skip("this kernel has no UDP_SEGMENT");
}

static void gso_finish(int fd) { set_option(fd, IPPROTO_UDP, UDP_SEGMENT, 0); }

/* One call, one buffer, `count` datagrams: the kernel cuts it at the size that the socket option says. */
static ssize_t by_gso(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  return sendto(fd, data, size * count, 0, name_of(to), name_length(to));
}

static ssize_t by_gso_message(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  struct iovec slice = {(char *)data, size * count};
  union {
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
    struct cmsghdr aligned;
  } control = {0};
  struct msghdr message = {.msg_name = name_of(to), .msg_namelen = name_length(to), .msg_iov = &slice, .msg_iovlen = 1,
                           .msg_control = &control, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *segment = CMSG_FIRSTHDR(&message);
  segment->cmsg_level = IPPROTO_UDP;
  segment->cmsg_type = UDP_SEGMENT;
  segment->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  memcpy(CMSG_DATA(segment), &(uint16_t){gso_size}, sizeof(uint16_t));
  return sendmsg(fd, &message, 0);
}

/* Three calls make one datagram; each returns what it added. */
static ssize_t by_more(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)count;
  size_t third = size / 3;
  ssize_t a = sendto(fd, data, third, MSG_MORE, name_of(to), name_length(to));
  ssize_t b = sendto(fd, data, third, MSG_MORE, name_of(to), name_length(to));
  ssize_t c = sendto(fd, data, size - 2 * third, 0, name_of(to), name_length(to));
  return a < 0 || b < 0 || c < 0 ? -1 : a + b + c;
}

static ssize_t by_splice(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)to, (void)count;
  static int pipe_ends[2] = {-1, -1};
  if (pipe_ends[0] < 0 && pipe(pipe_ends) < 0)
    fail("pipe");
  if (write(pipe_ends[1], data, size) < 0)
    fail("write to the pipe");
  return splice(pipe_ends[0], NULL, fd, NULL, size, 0);
}

static void zerocopy_prepare(int fd, size_t size) {
  (void)size;
  set_option(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
}

static ssize_t by_zerocopy(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)count;
  return sendto(fd, data, size, MSG_ZEROCOPY, name_of(to), name_length(to));
}

/* The notices are no payload: read, not counted. */
static void zerocopy_finish(int fd) {
  char control[256];
  struct msghdr notice = {.msg_control = control, .msg_controllen = sizeof control};
  struct pollfd wait = {.fd = fd};
  if (poll(&wait, 1, 1000) == 1 && recvmsg(fd, &notice, MSG_ERRQUEUE) < 0 && errno != EAGAIN)
    fail("recvmsg(MSG_ERRQUEUE)");
}

static ssize_t result_of(int completion) {
  if (completion >= 0)
    return completion;
  errno = -completion;
  return -1;
}

static ssize_t by_uring_sendmsg(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)count;
  struct iovec slice = {(char *)data, size};
  struct msghdr message = {.msg_name = name_of(to), .msg_namelen = name_length(to), .msg_iov = &slice, .msg_iovlen = 1};
  struct io_uring_sqe request = {.opcode = IORING_OP_SENDMSG, .fd = fd, .addr = (uintptr_t)&message, .len = 1};
  return result_of(uring_do(request, URING_INLINE));
}

static ssize_t by_uring_send(int fd, const struct endpoint *to, const char *data, size_t size, int count) {
  (void)to, (void)count;
  struct io_uring_sqe request = {.opcode = IORING_OP_SEND, .fd = fd, .addr = (uintptr_t)data, .len = size};
  return result_of(uring_do(request, URING_INLINE));
}

static const struct datagram_sender senders[] = {
    {"sendto", 1, by_sendto, NULL, NULL},
    {"write", 1, by_write, NULL, NULL},
    {"writev", 1, by_writev, NULL, NULL},
    {"sendmsg", 1, by_sendmsg, NULL, NULL},
    {"sendmmsg", 16, by_sendmmsg, NULL, NULL},
    {"gso", 16, by_gso, gso_prepare, gso_finish},
    {"gso-message", 16, by_gso_message, remember_size, NULL},
    {"more", 1, by_more, NULL, NULL},
    {"splice", 1, by_splice, NULL, NULL},
    {"zerocopy", 1, by_zerocopy, zerocopy_prepare, zerocopy_finish},
    {"uring-send", 1, by_uring_send, NULL, NULL},
    {"uring-sendmsg", 1, by_uring_sendmsg, NULL, NULL},
};

const struct datagram_sender *datagram_sender_named(const char *name) {
  for (size_t i = 0; i < sizeof senders / sizeof senders[0]; i++)
    if (strcmp(senders[i].name, name) == 0)
      return &senders[i];
  errno = EINVAL;
  fail(name);
}
