#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sockets.h"
#include "stream.h"
#include "truth.h"
#include "uring.h"

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static ssize_t send_plain(int fd, const char *data, size_t size) { return send(fd, data, size, MSG_NOSIGNAL); }
static ssize_t send_to(int fd, const char *data, size_t size) { return sendto(fd, data, size, MSG_NOSIGNAL, NULL, 0); }
static ssize_t send_write(int fd, const char *data, size_t size) { return write(fd, data, size); }

/* Cuts the data into uneven thirds. */
static int slices_of(const char *data, size_t size, struct iovec slices[3]) {
  size_t first = size / 5, second = size / 2;
  slices[0] = (struct iovec){(char *)data, first};
  slices[1] = (struct iovec){(char *)data + first, second};
  slices[2] = (struct iovec){(char *)data + first + second, size - first - second};
  return 3;
}

static ssize_t send_writev(int fd, const char *data, size_t size) {
  struct iovec slices[3];
  return writev(fd, slices, slices_of(data, size, slices));
}

static ssize_t send_pwritev2(int fd, const char *data, size_t size) {
  struct iovec slices[3];
  return pwritev2(fd, slices, slices_of(data, size, slices), -1, 0);
}

static ssize_t send_msg(int fd, const char *data, size_t size) {
  struct iovec slices[3];
  struct msghdr message = {.msg_iov = slices, .msg_iovlen = slices_of(data, size, slices)};
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t send_mmsg(int fd, const char *data, size_t size) {
  struct iovec slices[3];
  struct mmsghdr messages[3] = {0};
  int count = slices_of(data, size, slices);
  for (int i = 0; i < count; i++) {
    messages[i].msg_hdr.msg_iov = &slices[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int sent = sendmmsg(fd, messages, count, MSG_NOSIGNAL);
  ssize_t total = sent < 0 ? -1 : 0;
  for (int i = 0; i < sent; i++)
    total += messages[i].msg_len;
  return total;
}

static ssize_t send_file(int fd, const char *data, size_t size) {
  static int file = -1;
  (void)data;
  if (file < 0)
    file = file_of(1 << 20);
  off_t from = 0;
  return sendfile(fd, file, &from, smaller(size, 1 << 20));
}

static int pipe_ends[2] = {-1, -1};

static void open_pipe(void) {
  if (pipe_ends[0] < 0 && pipe(pipe_ends) < 0)
    fail("pipe");
}

static ssize_t drain_pipe(int fd, size_t filled) {
  size_t moved = 0;
  while (moved < filled) {
    ssize_t n = splice(pipe_ends[0], NULL, fd, NULL, filled - moved, SPLICE_F_MOVE);
    if (n <= 0)
      fail("splice to the socket");
    moved += n;
  }
  return moved;
}

static ssize_t send_splice(int fd, const char *data, size_t size) {
  open_pipe();
  ssize_t filled = write(pipe_ends[1], data, smaller(size, 14 * 4096));
  return filled < 0 ? -1 : drain_pipe(fd, filled);
}

static ssize_t send_vmsplice(int fd, const char *data, size_t size) {
  open_pipe();
  struct iovec slice = {(char *)data, smaller(size, 30000)};
  ssize_t filled = vmsplice(pipe_ends[1], &slice, 1, 0);
  return filled < 0 ? -1 : drain_pipe(fd, filled);
}

/* Completion notices come over the error queue. Their bytes are no payload: they are read and not counted. */
static void read_error_queue(int fd) {
  char control[256], data[256];
  struct iovec slice = {data, sizeof data};
  struct msghdr notice = {.msg_iov = &slice, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct pollfd wait = {.fd = fd};
  if (poll(&wait, 1, 1000) == 1 && recvmsg(fd, &notice, MSG_ERRQUEUE) < 0 && errno != EAGAIN)
    fail("recvmsg(MSG_ERRQUEUE)");
}

static int notices_due;

static void zerocopy_prepare(int fd) { set_option(fd, SOL_SOCKET, SO_ZEROCOPY, 1); }

static ssize_t send_zerocopy(int fd, const char *data, size_t size) {
  ssize_t sent = send(fd, data, size, MSG_NOSIGNAL | MSG_ZEROCOPY);
  if (sent > 0 && ++notices_due % 4 == 0)
    read_error_queue(fd);
  return sent;
}

static void zerocopy_finish(int fd) { read_error_queue(fd); }

/* MSG_MORE and a final plain send; every other call says that more follows. */
static ssize_t send_more(int fd, const char *data, size_t size) {
  static int call;
  return send(fd, data, smaller(size, 700), MSG_NOSIGNAL | (size > 700 && ++call % 2 ? MSG_MORE : 0));
}

static void nonblocking_prepare(int fd) {
  set_option(fd, SOL_SOCKET, SO_SNDBUF, 4096);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* A buffer far larger than the socket's: partial writes, then EAGAIN, which counts nothing. */
static ssize_t send_nonblocking(int fd, const char *data, size_t size) {
  ssize_t sent = write(fd, data, size);
  if (sent < 0 && errno == EAGAIN) {
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    poll(&wait, 1, 5000);
    return 0;
  }
  return sent;
}

static void nonblocking_finish(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); }

/*
 * Data that runs into an unmapped page: TCP takes what it could copy before and says how much, or, where that was
 * nothing, fails with EFAULT and counts nothing.
 */
static ssize_t send_into_fault(int fd, const char *data, size_t size) {
  enum { readable = 25 * 4096 };
  static char *pages;
  if (!pages) {
    pages = mmap(NULL, readable + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || munmap(pages + readable, 4096) < 0)
      fail("mmap");
  }
  size_t before = smaller(size, readable);
  memcpy(pages + readable - before, data, before);
  ssize_t sent = send(fd, pages + readable - before, before + 500, MSG_NOSIGNAL);
  return sent < 0 && errno == EFAULT ? send(fd, data, smaller(size, 999), MSG_NOSIGNAL) : sent;
}

static int result_of(int completion) {
  if (completion >= 0)
    return completion;
  errno = -completion;
  return -1;
}

static ssize_t send_uring(int fd, const char *data, size_t size) {
  return result_of(uring_do((struct io_uring_sqe){.opcode = IORING_OP_SEND, .fd = fd, .addr = (uintptr_t)data, .len = size},
                            URING_INLINE));
}

static ssize_t send_uring_worker(int fd, const char *data, size_t size) {
  return result_of(uring_do((struct io_uring_sqe){.opcode = IORING_OP_SEND, .fd = fd, .addr = (uintptr_t)data, .len = size},
                            URING_WORKER));
}

static ssize_t send_uring_sqpoll(int fd, const char *data, size_t size) {
  return result_of(uring_do((struct io_uring_sqe){.opcode = IORING_OP_SEND, .fd = fd, .addr = (uintptr_t)data, .len = size},
                            URING_SQPOLL));
}

static ssize_t send_uring_zerocopy(int fd, const char *data, size_t size) {
  return result_of(uring_do((struct io_uring_sqe){.opcode = IORING_OP_SEND_ZC, .fd = fd, .addr = (uintptr_t)data, .len = size},
                            URING_INLINE));
}

static ssize_t send_uring_write(int fd, const char *data, size_t size) {
  return result_of(uring_do((struct io_uring_sqe){.opcode = IORING_OP_WRITE, .fd = fd, .off = -1, .addr = (uintptr_t)data, .len = size},
                            URING_INLINE));
}

static ssize_t send_uring_writev(int fd, const char *data, size_t size) {
  struct iovec slices[3];
  int count = slices_of(data, size, slices);
  return result_of(uring_do((struct io_uring_sqe){.opcode = IORING_OP_WRITEV, .fd = fd, .off = -1, .addr = (uintptr_t)slices, .len = count},
                            URING_INLINE));
}

static ssize_t send_uring_msg(int fd, const char *data, size_t size) {
  struct iovec slices[3];
  struct msghdr message = {.msg_iov = slices, .msg_iovlen = slices_of(data, size, slices)};
  return result_of(uring_do((struct io_uring_sqe){.opcode = IORING_OP_SENDMSG, .fd = fd, .addr = (uintptr_t)&message, .len = 1},
                            URING_INLINE));
}

static ssize_t send_uring_splice(int fd, const char *data, size_t size) {
  open_pipe();
  ssize_t filled = write(pipe_ends[1], data, smaller(size, 14 * 4096)), moved = 0;
  while (moved < filled) {
    struct io_uring_sqe request = {.opcode = IORING_OP_SPLICE, .fd = fd, .off = -1, .len = filled - moved};
    request.splice_fd_in = pipe_ends[0];
    request.splice_off_in = -1;
    int n = result_of(uring_do(request, URING_INLINE));
    if (n <= 0)
      fail("io_uring splice");
    moved += n;
  }
  return moved;
}

ssize_t aio_do(int fd, int opcode, char *data, size_t size) {
  static aio_context_t context;
  if (!context && syscall(SYS_io_setup, 1, &context) < 0)
    skip("this kernel has no native AIO (io_setup)");
  struct iocb request = {.aio_lio_opcode = opcode, .aio_fildes = fd, .aio_buf = (uintptr_t)data, .aio_nbytes = size};
  struct iocb *requests[1] = {&request};
  struct io_event event;
  if (syscall(SYS_io_submit, context, 1, requests) != 1)
    fail("io_submit");
  if (syscall(SYS_io_getevents, context, 1, 1, &event, NULL) != 1)
    fail("io_getevents");
  return result_of((int)event.res);
}

static ssize_t send_aio(int fd, const char *data, size_t size) { return aio_do(fd, IOCB_CMD_PWRITE, (char *)data, size); }

static const struct sender senders[] = {
    {"send", send_plain, NULL, NULL},
    {"sendto", send_to, NULL, NULL},
    {"write", send_write, NULL, NULL},
    {"writev", send_writev, NULL, NULL},
    {"pwritev2", send_pwritev2, NULL, NULL},
    {"sendmsg", send_msg, NULL, NULL},
    {"sendmmsg", send_mmsg, NULL, NULL},
    {"sendfile", send_file, NULL, NULL},
    {"splice", send_splice, NULL, NULL},
    {"vmsplice", send_vmsplice, NULL, NULL},
    {"zerocopy", send_zerocopy, zerocopy_prepare, zerocopy_finish},
    {"more", send_more, NULL, NULL},
    {"nonblocking", send_nonblocking, nonblocking_prepare, nonblocking_finish},
    {"fault", send_into_fault, NULL, NULL},
    {"uring-send", send_uring, NULL, NULL},
    {"uring-worker", send_uring_worker, NULL, NULL},
    {"uring-sqpoll", send_uring_sqpoll, NULL, NULL},
    {"uring-zerocopy", send_uring_zerocopy, NULL, NULL},
    {"uring-write", send_uring_write, NULL, NULL},
    {"uring-writev", send_uring_writev, NULL, NULL},
    {"uring-sendmsg", send_uring_msg, NULL, NULL},
    {"uring-splice", send_uring_splice, NULL, NULL},
    {"aio", send_aio, NULL, NULL},
};

const struct sender *sender_named(const char *name) {
  for (size_t i = 0; i < sizeof senders / sizeof senders[0]; i++)
    if (strcmp(senders[i].name, name) == 0)
      return &senders[i];
  errno = EINVAL;
  fail(name);
}

void stream_send(int fd, const struct sender *sender, size_t total, size_t chunk) {
  static char data[1 << 20];
  if (sender->prepare)
    sender->prepare(fd);
  while (total > 0) {
    ssize_t sent = count_sent(sender->send(fd, data, smaller(smaller(total, chunk), sizeof data)));
    if (sent < 0)
      fail(sender->name);
    total -= sent;
  }
  if (sender->finish)
    sender->finish(fd);
}
