/*
 * endings serve|call|alone ADDRESS PORT --mode MODE: calls that fail, end early or take nothing, beside calls that do.
 * Where there are two sides, the server's part stands before the caller's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

struct ending {
  const char *name;
  void (*serve)(int fd);
  void (*call)(int fd);
};

static char data[1 << 17];

static void expect_error(ssize_t result, int expected, const char *what) {
  if (count_sent(result) >= 0) {
    errno = 0;
    fail(what);
  }
  if (errno != expected)
    fail(what);
}

static void wait_for(int fd, short events) {
  struct pollfd wait = {.fd = fd, .events = events};
  if (poll(&wait, 1, 5000) != 1)
    fail("poll");
}

static void wait_until_queued(int fd, int bytes) {
  for (int i = 0, queued = 0; i < 500; i++, usleep(10000))
    if (ioctl(fd, FIONREAD, &queued) == 0 && queued >= bytes)
      return;
  errno = ETIMEDOUT;
  fail("FIONREAD");
}

static void *unmapped(void) {
  void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    fail("mmap");
  return page;
}

static void reset_on_close(int fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* The peer resets: the first send after it says so, the next one finds a broken pipe. */
static void broken_pipe_serve(int fd) {
  receive_exactly(fd, 5000);
  reset_on_close(fd);
}
static void broken_pipe_call(int fd) {
  send_all(fd, 5000);
  wait_for(fd, POLLIN);
  expect_error(send(fd, data, 700, MSG_NOSIGNAL), ECONNRESET, "send after the reset");
  expect_error(send(fd, data, 700, MSG_NOSIGNAL), EPIPE, "send to a broken pipe");
}

/* Data that nobody reads is received by nobody. */
static void unread_serve(int fd) {
  receive_exactly(fd, 1000);
  wait_until_queued(fd, 49000);
}
static void unread_call(int fd) {
  send_all(fd, 50000);
  wait_for(fd, POLLIN);
  if (count_received(recv(fd, data, sizeof data, 0)) > 0)
    fail("recv: unexpected data");
}

static void server_closes_first_serve(int fd) {
  send_all(fd, 30000);
  shutdown(fd, SHUT_WR);
  receive_until_end(fd);
}
static void server_closes_first_call(int fd) {
  receive_until_end(fd);
  if (count_received(recv(fd, data, sizeof data, 0)) != 0)
    fail("recv after the end");
  send_all(fd, 70000);
}

static void shutdown_read_serve(int fd) {
  send_all(fd, 4000);
  receive_until_end(fd);
}
static void shutdown_read_call(int fd) {
  wait_until_queued(fd, 4000);
  shutdown(fd, SHUT_RD);
  receive_until_end(fd);
  send_all(fd, 100);
}

/* One urgent byte, which recv(MSG_OOB) takes out of the stream. */
static void urgent_serve(int fd) {
  wait_for(fd, POLLPRI);
  wait_until_queued(fd, 1000);
  char byte;
  if (count_received(recv(fd, &byte, 1, MSG_OOB)) != 1)
    fail("recv(MSG_OOB)");
  receive_until_end(fd);
}
static void urgent_inline_serve(int fd) {
  set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
  receive_until_end(fd);
}
static void urgent_skipped_serve(int fd) {
  wait_for(fd, POLLPRI);
  receive_until_end(fd);
}
static void urgent_call(int fd) {
  send_all(fd, 1000);
  if (count_sent(send(fd, data, 1, MSG_OOB)) != 1)
    fail("send(MSG_OOB)");
  usleep(50000);
  send_all(fd, 1500);
}

/* Each urgent byte comes when the one before it is the next to be read: the kernel then passes over that one. */
static void urgent_often_serve(int fd) {
  for (int i = 0; i < 5; i++) {
    wait_for(fd, POLLPRI);
    wait_until_queued(fd, 102); /* up to this round's urgent byte, not the last one's */
    receive_exactly(fd, 102);
    send_all(fd, 1);
  }
  receive_until_end(fd);
}
static void urgent_often_call(int fd) {
  for (int i = 0; i < 5; i++) {
    send_all(fd, 102);
    if (count_sent(send(fd, data, 1, MSG_OOB)) != 1)
      fail("send(MSG_OOB)");
    receive_exactly(fd, 1);
  }
}

static void receive_patiently(int fd, int flags, size_t size, ssize_t expected) {
  struct timeval timeout = {.tv_usec = 100000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  if (count_received(recv(fd, data, size, flags)) != expected)
    fail("recv with a timeout");
}

/* MSG_WAITALL that runs out of time returns what there was; a timeout without data returns nothing. */
static void timeout_serve(int fd) {
  wait_until_queued(fd, 2500);
  receive_patiently(fd, MSG_WAITALL, 9000, 2500);
  receive_patiently(fd, 0, 9000, -1);
  send_all(fd, 1);
}
static void timeout_call(int fd) {
  send_all(fd, 2500);
  receive_exactly(fd, 1);
}

/* A receive into memory that is not there fails and takes nothing; the next one gets all of it. */
static void fault_receive_serve(int fd) {
  wait_until_queued(fd, 6000);
  expect_error(recv(fd, unmapped(), 4096, 0), EFAULT, "recv into a fault");
  receive_until_end(fd);
}
static void send_6000(int fd) { send_all(fd, 6000); }

static void peek_only_serve(int fd) {
  wait_until_queued(fd, 6000);
  if (recv(fd, data, sizeof data, MSG_PEEK) != 6000 || recv(fd, NULL, 5000, MSG_PEEK | MSG_TRUNC) != 5000)
    fail("recv(MSG_PEEK)");
}

/* SO_PEEK_OFF moves through the queue without taking from it. */
static void peek_offset_serve(int fd) {
  set_option(fd, SOL_SOCKET, SO_PEEK_OFF, 0);
  wait_until_queued(fd, 6000);
  for (int i = 0; i < 3; i++)
    if (recv(fd, data, 2000, MSG_PEEK) != 2000)
      fail("recv(MSG_PEEK)");
  receive_until_end(fd);
}

/* Sent is what the call took, though the reset throws it away. */
static void aborted_serve(int fd) {
  wait_for(fd, POLLHUP);
  if (count_received(recv(fd, data, sizeof data, 0)) > 0)
    receive_patiently(fd, 0, sizeof data, -1);
}
static void aborted_call(int fd) {
  send_all(fd, 6000);
  reset_on_close(fd);
}

static void nothing(int fd) { (void)fd; }
static void end_without_data_serve(int fd) { receive_until_end(fd); }

static const struct ending endings[] = {
    {"broken-pipe", broken_pipe_serve, broken_pipe_call},
    {"unread", unread_serve, unread_call},
    {"server-closes-first", server_closes_first_serve, server_closes_first_call},
    {"shutdown-read", shutdown_read_serve, shutdown_read_call},
    {"urgent", urgent_serve, urgent_call},
    {"urgent-inline", urgent_inline_serve, urgent_call},
    {"urgent-skipped", urgent_skipped_serve, urgent_call},
    {"urgent-often", urgent_often_serve, urgent_often_call},
    {"timeout", timeout_serve, timeout_call},
    {"fault-receive", fault_receive_serve, send_6000},
    {"peek-only", peek_only_serve, send_6000},
    {"peek-offset", peek_offset_serve, send_6000},
    {"aborted", aborted_serve, aborted_call},
    {"no-data", end_without_data_serve, nothing},
};

/* The first bytes travel in the SYN; the kernel does so without a cookie where net.ipv4.tcp_fastopen says 0x607. */
static void fast_open_call(const char *address, int port) {
  struct endpoint to = endpoint_of(address, port);
  int fd = socket(to.address.ss_family, SOCK_STREAM, 0);
  if (count_sent(sendto(fd, data, 900, MSG_FASTOPEN, address_of(&to), to.length)) < 0)
    fail("sendto(MSG_FASTOPEN)");
  send_all(fd, 5000);
  shutdown(fd, SHUT_WR);
  receive_until_end(fd);
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && !(info.tcpi_options & TCPI_OPT_SYN_DATA))
    skip("this kernel sent no data in the SYN (net.ipv4.tcp_fastopen)");
}

static void refused(const char *address, int port) {
  struct endpoint to = endpoint_of(address, port);
  int fd = socket(to.address.ss_family, SOCK_STREAM, 0);
  if (connect(fd, address_of(&to), to.length) == 0 || errno != ECONNREFUSED)
    fail("connect to a closed port");
  expect_error(send(fd, data, 100, MSG_NOSIGNAL), EPIPE, "send without a connection");
}

static int connected_datagram(const char *address, int port) {
  struct endpoint to = endpoint_of(address, port);
  int fd = datagram_bind(to.address.ss_family == AF_INET ? "0.0.0.0" : "::", 0);
  if (connect(fd, address_of(&to), to.length) < 0)
    fail("connect");
  return fd;
}

/* Datagrams to a closed port: every other send learns that the one before it was refused, and sends nothing. */
static void udp_refused(const char *address, int port) {
  int fd = connected_datagram(address, port);
  for (int i = 0; i < 3; i++) {
    if (count_sent(send(fd, data, 300, 0)) != 300)
      fail("send");
    wait_for(fd, POLLIN);
    expect_error(send(fd, data, 300, 0), ECONNREFUSED, "send after a refusal");
  }
}

/* The error queue hands back the datagram that was refused: bytes of an error, not received payload. */
static void udp_error_queue(const char *address, int port) {
  int fd = connected_datagram(address, port);
  set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
  if (count_sent(send(fd, data, 300, 0)) != 300)
    fail("send");
  wait_for(fd, POLLERR);
  char control[512];
  struct iovec slice = {data, sizeof data};
  struct msghdr error = {.msg_iov = &slice, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (recvmsg(fd, &error, MSG_ERRQUEUE) != 300)
    fail("recvmsg(MSG_ERRQUEUE)");
}

static void udp_too_large(const char *address, int port) {
  int fd = connected_datagram(address, port);
  expect_error(send(fd, data, 70000, 0), EMSGSIZE, "send of 70,000 bytes");
  expect_error(send(fd, unmapped(), 100, 0), EFAULT, "send from a fault");
  if (count_sent(send(fd, data, 0, 0)) != 0)
    fail("send of nothing");
}

/* A datagram received into memory that is not there is gone, and nobody got it. */
static void udp_self(const char *address, int port) {
  int fd = datagram_bind(address, port);
  struct endpoint self = endpoint_of(address, port);
  if (connect(fd, address_of(&self), self.length) < 0)
    fail("connect");
  send_all(fd, 1200);
  expect_error(recv(fd, unmapped(), 1200, 0), EFAULT, "recv into a fault");
  send_all(fd, 1300);
  receive_exactly(fd, 1300);
}

/* A TCP socket connected to itself: what it sends, it receives. */
static void tcp_self(const char *address, int port) {
  struct endpoint self = endpoint_of(address, port);
  int fd = socket(self.address.ss_family, SOCK_STREAM, 0);
  if (bind(fd, address_of(&self), self.length) < 0 || connect(fd, address_of(&self), self.length) < 0)
    fail("connect to itself");
  send_all(fd, 20000);
  shutdown(fd, SHUT_WR);
  receive_until_end(fd);
}

/* One socket that is connected, disconnected, and listens then: what it read belongs to no connection it accepts. */
static void listen_again(const char *address, int port) {
  struct endpoint here = endpoint_of(address, port), there = endpoint_of(address, 0);
  int listener = stream_listen(address, port, IPPROTO_TCP);
  int fd = socket(here.address.ss_family, SOCK_STREAM, 0);
  if (connect(fd, address_of(&here), here.length) < 0)
    fail("connect");
  int other = stream_accept(listener);
  send_all(other, 5000);
  receive_exactly(fd, 5000);
  close(other);
  struct sockaddr nobody = {.sa_family = AF_UNSPEC};
  if (connect(fd, &nobody, sizeof nobody) < 0)
    fail("disconnect");
  if (bind(fd, address_of(&there), there.length) < 0 || listen(fd, 1) < 0)
    fail("listen");
  if (getsockname(fd, (struct sockaddr *)&there.address, &there.length) < 0)
    fail("getsockname");
  int caller = socket(there.address.ss_family, SOCK_STREAM, 0);
  if (connect(caller, address_of(&there), there.length) < 0)
    fail("connect to what listens again");
  int accepted = stream_accept(fd);
  send_all(caller, 7000);
  receive_exactly(accepted, 7000);
}

/* What a host sends to a group it is in comes back to it, past the device. */
static void multicast_loop(const char *address, int port) {
  int fd = datagram_bind("0.0.0.0", port);
  struct endpoint own = endpoint_of(address, 0), group = endpoint_of("224.0.0.1", port);
  if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &((struct sockaddr_in *)&own.address)->sin_addr, 4) < 0)
    fail("IP_MULTICAST_IF");
  for (int i = 0; i < 10; i++) {
    if (count_sent(sendto(fd, data, 500, 0, address_of(&group), group.length)) != 500)
      fail("sendto a group");
    receive_exactly(fd, 500);
  }
}

/* Unix sockets and netlink are no network traffic: nothing of this counts. */
static void not_network(const char *address, int port) {
  (void)address, (void)port;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
    fail("socketpair");
  if (send(ends[0], data, 5000, 0) != 5000 || recv(ends[1], data, 5000, 0) != 5000)
    fail("Unix socket");
  int netlink = socket(AF_NETLINK, SOCK_RAW, 0);
  struct {
    unsigned length;
    unsigned short type, flags;
    unsigned sequence, port;
    unsigned char family, padding[15];
  } request = {.length = sizeof request, .type = 18 /* RTM_GETLINK */, .flags = 0x301};
  if (send(netlink, &request, sizeof request, 0) < 0 || recv(netlink, data, sizeof data, 0) <= 0)
    fail("netlink");
}

static const struct {
  const char *name;
  void (*run)(const char *address, int port);
} alone[] = {{"refused", refused}, {"udp-refused", udp_refused}, {"udp-error-queue", udp_error_queue}, {"udp-too-large", udp_too_large},
             {"udp-self", udp_self}, {"tcp-self", tcp_self}, {"listen-again", listen_again}, {"multicast-loop", multicast_loop},
             {"not-network", not_network}, {"fast-open", fast_open_call}};

static void run_alone(const char *mode, const char *address, int port) {
  for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++)
    if (strcmp(alone[i].name, mode) == 0)
      return alone[i].run(address, port);
  errno = EINVAL;
  fail(mode);
}

int main(int count, char **arguments) {
  const char *mode = option_text(arguments, "--mode", NULL);
  if (count < 6 || !mode) {
    fprintf(stderr, "usage: endings serve|call|alone ADDRESS PORT --mode MODE\n");
    return 2;
  }
  const char *side = arguments[1], *address = arguments[2];
  int port = atoi(arguments[3]), serves = strcmp(side, "serve") == 0;
  if (strcmp(side, "alone") == 0) {
    run_alone(mode, address, port);
    truth_exit("client");
  }
  for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
    if (strcmp(endings[i].name, mode) != 0)
      continue;
    int fd = -1;
    if (serves) {
      int listener = stream_listen(address, port, IPPROTO_TCP);
      ready();
      fd = stream_accept(listener);
    } else {
      fd = stream_connect(address, port, IPPROTO_TCP);
    }
    (serves ? endings[i].serve : endings[i].call)(fd);
    close(fd);
    truth_exit(serves ? "server" : "client");
  }
  errno = EINVAL;
  fail(mode);
}
