/*
 * handlers MODE ADDRESS PORT CONNECTIONS: servers whose listener, accepted socket and handler belong to different
 * processes. Each handler receives to the end, answers 20,000 bytes, and prints its own truth.
 *   prefork      the master listens, each of CONNECTIONS workers accepts one
 *   inetd        the master accepts, a forked child handles
 *   inetd-exec   the same, and the child executes another program with the connection as its standard input
 *   pass         the acceptor passes the connection to another process over a Unix socket (SCM_RIGHTS)
 *   reuseport    two processes listen on one port with SO_REUSEPORT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

static const char *address, *program;
static int port, connections;

static void handle(int fd) {
  receive_until_end(fd);
  send_all(fd, 20000);
  close(fd);
}

static pid_t split(void) {
  pid_t child = fork();
  if (child < 0)
    fail("fork");
  if (child == 0)
    truth_reset();
  return child;
}

static void reap_all(void) {
  int status;
  while (wait(&status) > 0)
    if (status != 0)
      fail("a worker failed");
}

static void prefork(int listener) {
  for (int i = 0; i < connections; i++)
    if (split() == 0) {
      handle(stream_accept(listener));
      truth_exit("worker");
    }
  ready();
  reap_all();
}

static void inetd(int listener) {
  ready();
  for (int i = 0; i < connections; i++) {
    int fd = stream_accept(listener);
    if (split() == 0) {
      close(listener);
      handle(fd);
      truth_exit("worker");
    }
    close(fd);
  }
  reap_all();
}

static void inetd_exec(int listener) {
  char path[4096];
  snprintf(path, sizeof path, "%.*s/after-inetd", (int)(strrchr(program, '/') - program), program);
  ready();
  for (int i = 0; i < connections; i++) {
    int fd = stream_accept(listener);
    if (split() == 0) {
      dup2(fd, STDIN_FILENO);
      close(fd);
      execl(path, path, "standard-input", address, "0", "0", NULL);
      fail(path);
    }
    close(fd);
  }
  reap_all();
}

static union {
  char bytes[CMSG_SPACE(sizeof(int))];
  struct cmsghdr aligned;
} control;

static struct msghdr message_with_file(void) {
  static char byte;
  static struct iovec slice = {&byte, 1};
  return (struct msghdr){.msg_iov = &slice, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
}

/* The Unix socket's own byte is no network traffic: it is not counted. */
static void pass_file(int channel, int fd) {
  struct msghdr message = message_with_file();
  struct cmsghdr *file = CMSG_FIRSTHDR(&message);
  *file = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
  memcpy(CMSG_DATA(file), &fd, sizeof fd);
  if (sendmsg(channel, &message, 0) != 1)
    fail("sendmsg(SCM_RIGHTS)");
  close(fd);
}

static int passed_file(int channel) {
  struct msghdr message = message_with_file();
  int fd;
  if (recvmsg(channel, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
    fail("recvmsg(SCM_RIGHTS)");
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

static void pass(int listener) {
  int channel[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, channel) < 0)
    fail("socketpair");
  if (split() == 0) {
    close(listener);
    for (int i = 0; i < connections; i++)
      handle(passed_file(channel[1]));
    truth_exit("worker");
  }
  ready();
  for (int i = 0; i < connections; i++)
    pass_file(channel[0], stream_accept(listener));
  reap_all();
}

/* The kernel spreads the connections; both processes stop when together they had them all. */
static void reuseport(int first) {
  atomic_int *served = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (served == MAP_FAILED)
    fail("mmap");
  pid_t other = split();
  int listener = other == 0 ? stream_listen(address, port, IPPROTO_TCP) : first;
  if (other == 0) {
    close(first);
    atomic_fetch_add(served, 1000);
  } else {
    while (atomic_load(served) < 1000)
      usleep(1000);
    ready();
  }
  while (atomic_load(served) < 1000 + connections) {
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    if (poll(&wait, 1, 20) == 1) {
      handle(stream_accept(listener));
      atomic_fetch_add(served, 1);
    }
  }
  if (other == 0)
    truth_exit("worker");
  reap_all();
}

static const struct {
  const char *name;
  void (*run)(int listener);
} modes[] = {{"prefork", prefork}, {"inetd", inetd}, {"inetd-exec", inetd_exec}, {"pass", pass}, {"reuseport", reuseport}};

int main(int count, char **arguments) {
  if (count < 5) {
    fprintf(stderr, "usage: handlers MODE ADDRESS PORT CONNECTIONS\n");
    return 2;
  }
  program = arguments[0], address = arguments[2], port = atoi(arguments[3]), connections = atoi(arguments[4]);
  if (strcmp(arguments[1], "standard-input") == 0) {
    handle(STDIN_FILENO);
    truth_exit("worker");
  }
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
    if (strcmp(modes[i].name, arguments[1]) == 0) {
      modes[i].run(stream_listen(address, port, IPPROTO_TCP));
      truth_exit("server");
    }
  errno = EINVAL;
  fail(arguments[1]);
}
