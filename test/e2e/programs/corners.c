/*
 * corners serve|call|alone ADDRESS PORT --mode MODE: ways in which a socket comes to, or is used by, a process that are
 * rare. The server receives until the end; `alone` sends datagrams to sockets of its own that nobody reads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

static char data[4096];

static void wait_for_end(pid_t child) {
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
    fail("child");
}

/* Another process, but the same table of descriptors. */
static void share_descriptors(int fd) {
  send_all(fd, 1000);
  fflush(NULL);
  pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    truth_reset();
    send_all(fd, 20000);
    truth_exit("sharer");
  }
  wait_for_end(child);
  send_all(fd, 300);
}

/* Only a message holds the socket for a while: who opened it has ended, and who gets it has not received it yet. */
static void pass_in_flight(const char *address, int port) {
  int pair[2];
  char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
  struct iovec vector = {&byte, 1};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0)
    fail("socketpair");
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    int fd = stream_connect(address, port, IPPROTO_TCP);
    send_all(fd, 5000);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    if (sendmsg(pair[0], &message, 0) != 1)
      fail("sendmsg");
    truth_exit("giver");
  }
  wait_for_end(child);
  int fd = -1;
  if (recvmsg(pair[1], &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
    fail("recvmsg");
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  send_all(fd, 70000);
  close(fd);
}

static void leave_namespace(int fd) {
  send_all(fd, 1000);
  if (unshare(CLONE_NEWNET) != 0)
    fail("unshare");
  send_all(fd, 30000);
}

static void datagram(int fd, size_t size, int flags) {
  if (count_sent(send(fd, data, size, flags)) != (ssize_t)size)
    fail("send");
}

/* Where datagrams may go without anybody refusing them. */
static struct endpoint unread_socket(void) {
  struct endpoint peer = {.length = sizeof peer.address};
  if (getsockname(datagram_bind("127.0.0.1", 0), (struct sockaddr *)&peer.address, &peer.length) != 0)
    fail("getsockname");
  return peer;
}

/* Pieces that become one datagram, the last of which is never sent off. */
static void cork(int fd) {
  for (int i = 0; i < 20; i++)
    datagram(fd, 50, i % 5 == 4 ? 0 : MSG_MORE);
  set_option(fd, SOL_UDP, UDP_CORK, 1);
  for (int i = 0; i < 20; i++)
    datagram(fd, 60, 0);
  set_option(fd, SOL_UDP, UDP_CORK, 0);
  datagram(fd, 70, MSG_MORE);
}

/* Connected to one peer, to another, to none. */
static void change_peers(int fd, const struct endpoint *one) {
  struct endpoint other = unread_socket();
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  for (int i = 0; i < 4; i++) {
    if (connect(fd, address_of(&other), other.length) != 0)
      fail("connect");
    count_sent(send(fd, data, 200, 0));
    count_sent(sendto(fd, data, 30, 0, address_of(one), one->length));
    if (connect(fd, &none, sizeof none) != 0)
      fail("connect to none");
    count_sent(sendto(fd, data, 4, 0, address_of(one), one->length));
  }
}

static void expect(ssize_t result, ssize_t wanted, const char *what) {
  if (result != wanted)
    fail(what);
}

/* Calls that name a peer and move nothing, each before a receive that does not ask who sent. */
static void name_in_vain(void) {
  struct endpoint broadcast = endpoint_of("127.255.255.255", 9), other = unread_socket(), own = {.length = sizeof own.address};
  struct sockaddr_storage from;
  socklen_t length = sizeof from;
  int quiet = datagram_bind("127.0.0.1", 0), fd = datagram_bind("127.0.0.1", 0), sender = datagram_bind("127.0.0.1", 0);
  if (getsockname(fd, (struct sockaddr *)&own.address, &own.length) != 0)
    fail("getsockname");
  for (int i = 0; i < 10; i++)
    expect(sendto(sender, data, 100, 0, address_of(&own), own.length), 100, "send");
  expect(sendto(fd, data, 100, 0, address_of(&broadcast), broadcast.length), -1, "send that is refused");
  expect(recv(fd, data, sizeof data, 0), 100, "receive after a send that is refused");
  expect(sendto(fd, data, 0, 0, address_of(&other), other.length), 0, "send nothing");
  expect(recv(fd, data, sizeof data, 0), 100, "receive after a send of nothing");
  struct endpoint to_quiet = {.length = sizeof to_quiet.address};
  if (getsockname(quiet, (struct sockaddr *)&to_quiet.address, &to_quiet.length) != 0)
    fail("getsockname");
  int nobody = datagram_bind("127.0.0.1", 0);
  expect(sendto(nobody, data, 0, 0, address_of(&to_quiet), to_quiet.length), 0, "send nothing to another");
  expect(recvfrom(quiet, data, sizeof data, 0, (struct sockaddr *)&from, &length), 0, "receive nothing");
  expect(recv(fd, data, sizeof data, 0), 100, "receive after nothing");
  expect(sendto(fd, data, 100, 0, address_of(&broadcast), broadcast.length), -1, "last send that is refused");
}

int main(int count, char **arguments) {
  const char *mode = option_text(arguments, "--mode", NULL);
  if (count < 6 || !mode) {
    fprintf(stderr, "usage: corners serve|call|alone ADDRESS PORT --mode MODE\n");
    return 2;
  }
  const char *side = arguments[1], *address = arguments[2];
  int port = atoi(arguments[3]);
  if (strcmp(side, "serve") == 0) {
    int listener = stream_listen(address, port, IPPROTO_TCP);
    ready();
    receive_until_end(stream_accept(listener));
    truth_exit("server");
  }
  if (strcmp(mode, "in-flight") == 0) {
    pass_in_flight(address, port);
    truth_exit("client");
  }
  if (strcmp(side, "call") == 0) {
    int fd = stream_connect(address, port, IPPROTO_TCP);
    (strcmp(mode, "shared") == 0 ? share_descriptors : leave_namespace)(fd);
    close(fd);
    truth_exit("client");
  }
  if (strcmp(mode, "in-vain") == 0) {
    name_in_vain();
    truth_exit("client");
  }
  struct endpoint peer = unread_socket();
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || connect(fd, address_of(&peer), peer.length) != 0)
    fail("connect");
  if (strcmp(mode, "corked") == 0)
    cork(fd);
  else
    change_peers(fd, &peer);
  truth_exit("client");
}
