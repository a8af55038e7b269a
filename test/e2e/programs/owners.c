/*
 * owners MODE ADDRESS PORT: who moves the bytes is not always who opened the socket. The caller's side, against
 * `stream serve`; each process that moves bytes prints its own truth. Modes stand in the table at the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

static const char *address, *program;
static int port;

static int connected(void) { return stream_connect(address, port, IPPROTO_TCP); }

static void finish(int fd) {
  shutdown(fd, SHUT_WR);
  receive_until_end(fd);
}

/* Forks; the child counts from nothing. */
static pid_t split(void) {
  pid_t child = fork();
  if (child < 0)
    fail("fork");
  if (child == 0)
    truth_reset();
  return child;
}

static void reap(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) < 0 || status != 0)
    fail("a child failed");
}

static void fork_shared(void) {
  int fd = connected(), parent_sent[2];
  char token = 0;
  if (pipe(parent_sent) < 0)
    fail("pipe");
  send_all(fd, 10000);
  pid_t child = split();
  if (child == 0) {
    send_all(fd, 7000);
    if (read(parent_sent[0], &token, 1) != 1)
      fail("read from the pipe");
    shutdown(fd, SHUT_WR);
    receive_exactly(fd, 8000);
    truth_exit("child");
  }
  send_all(fd, 3000);
  if (write(parent_sent[1], &token, 1) != 1)
    fail("write to the pipe");
  reap(child);
  receive_until_end(fd);
}

static void opened_by_parent(void) {
  int fd = connected();
  pid_t child = split();
  if (child == 0) {
    send_all(fd, 9000);
    finish(fd);
    truth_exit("child");
  }
  reap(child);
}

/* Two forks and a parent that is gone before anything is sent: the way a daemon detaches. */
static void daemon_after_connect(void) {
  int fd = connected();
  pid_t child = split();
  if (child == 0) {
    setsid();
    if (split() > 0)
      _exit(0);
    for (pid_t first = getppid(); getppid() == first && first != 1;)
      usleep(1000);
    usleep(20000);
    send_all(fd, 6000);
    finish(fd);
    truth_exit("daemon");
  }
  reap(child);
}

static void exec_with_socket(void) {
  int fd = connected();
  send_all(fd, 3000);
  char path[4096], number[16], sent[24];
  snprintf(path, sizeof path, "%.*s/after-exec", (int)(strrchr(program, '/') - program), program);
  snprintf(number, sizeof number, "%d", fd);
  snprintf(sent, sizeof sent, "%lld", truth_sent());
  execl(path, path, "continue", address, number, sent, NULL);
  fail(path);
}

static void continue_after_exec(int fd, const char *sent) {
  truth_resume(atoll(sent), 0);
  send_all(fd, 4000);
  finish(fd);
}

static void set_user(void) {
  int fd = connected();
  send_all(fd, 3000);
  if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
    fail("setresuid");
  send_all(fd, 4000);
  finish(fd);
}

static void *thread_work(void *number) {
  char name[16];
  snprintf(name, sizeof name, "thread-%d", (int)(intptr_t)number);
  pthread_setname_np(pthread_self(), name);
  int fd = connected();
  send_all(fd, 10000 + (int)(intptr_t)number);
  finish(fd);
  close(fd);
  return NULL;
}

static void threads(void) {
  pthread_t each[4];
  for (intptr_t i = 0; i < 4; i++)
    if (pthread_create(&each[i], NULL, thread_work, (void *)i) != 0)
      fail("pthread_create");
  for (int i = 0; i < 4; i++)
    pthread_join(each[i], NULL);
}

static void *surviving_thread(void *socket) {
  pthread_setname_np(pthread_self(), "survivor");
  usleep(50000);
  send_all((int)(intptr_t)socket, 5000);
  finish((int)(intptr_t)socket);
  truth_exit("client");
}

static void leader_exits(void) {
  int fd = connected();
  send_all(fd, 1000);
  pthread_t survivor;
  if (pthread_create(&survivor, NULL, surviving_thread, (void *)(intptr_t)fd) != 0)
    fail("pthread_create");
  pthread_exit(NULL);
}

/* Pid 1 and 2 in there; the agent and /proc of this mount know them by the host's numbers. */
static void pid_namespace(void) {
  if (unshare(CLONE_NEWPID) < 0)
    fail("unshare(CLONE_NEWPID)");
  pid_t first = split();
  if (first == 0) {
    pid_t second = split();
    int fd = connected();
    send_all(fd, second ? 4000 : 5000);
    finish(fd);
    if (second)
      reap(second);
    truth_exit(second ? "child" : "grandchild");
  }
  reap(first);
}

static void named_connection(const char *name, size_t size) {
  truth_reset();
  prctl(PR_SET_NAME, name);
  int fd = connected();
  send_all(fd, size);
  finish(fd);
  truth_exit(name);
}

/* clone3 with set_tid gives the second child the number that the first one had. */
static void pid_reuse(void) {
  pid_t first = split();
  if (first == 0)
    named_connection("reuse-first", 3000);
  reap(first);
  struct clone_args request = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&first, .set_tid_size = 1};
  pid_t second = syscall(SYS_clone3, &request, sizeof request);
  if (second < 0)
    skip("this kernel gives no chosen pid (clone3 set_tid)");
  if (second == 0)
    named_connection("reuse-second", 5000);
  reap(second);
}

enum { CROWD = 12, THREAD_PLACES = 16384 /* RL_MAX_THREADS */ };

/* Makes processes with these numbers, all or none. Each waits for a byte through the pipe, or ends with it. */
static int crowd_of(const pid_t *numbers, int gate[2], pid_t *made) {
  for (int i = 0; i < CROWD; i++) {
    struct clone_args request = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&numbers[i], .set_tid_size = 1};
    made[i] = syscall(SYS_clone3, &request, sizeof request);
    if (made[i] < 0 && errno != EEXIST)
      skip("this kernel gives no chosen pid (clone3 set_tid)");
    if (made[i] < 0) {
      close(gate[1]);
      while (i-- > 0)
        reap(made[i]);
      return 0;
    }
    if (made[i] == 0) {
      char token;
      close(gate[1]);
      if (read(gate[0], &token, 1) != 1)
        _exit(0);
      truth_reset();
      int fd = connected();
      for (int j = 0; j < 50; j++) {
        send_all(fd, 100 + i);
        usleep(1000);
      }
      finish(fd);
      truth_exit("crowd");
    }
  }
  return 1;
}

/* Two for each of six numbers' places, where a thread's record may be in four: nine places for twelve. */
static void crowded(void) {
  for (pid_t base = 6000; base < 16000; base += 97) {
    pid_t numbers[CROWD], made[CROWD];
    int gate[2];
    for (int i = 0; i < CROWD; i++)
      numbers[i] = base + i / 2 + i % 2 * THREAD_PLACES;
    if (pipe(gate) < 0)
      fail("pipe");
    bool is_made = crowd_of(numbers, gate, made);
    if (is_made && write(gate[1], numbers, CROWD) != CROWD)
      fail("write to the pipe");
    for (int i = 0; is_made && i < CROWD; i++)
      reap(made[i]);
    if (is_made)
      return;
    close(gate[0]);
  }
  fail("no free numbers");
}

static void brief(void) { send_all(connected(), 1000); }

static void renamed(void) {
  int fd = connected();
  send_all(fd, 1000);
  prctl(PR_SET_NAME, "renamed-program");
  send_all(fd, 1000);
  finish(fd);
}

/* A process can take a file from another one without its help. */
static void taken_by_pidfd(void) {
  int fd = connected();
  send_all(fd, 500);
  pid_t owner = getpid(), child = split();
  if (child == 0) {
    close(fd);
    int pidfd = syscall(SYS_pidfd_open, owner, 0);
    fd = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (fd < 0)
      skip("this kernel has no pidfd_getfd, or forbids it");
    send_all(fd, 2500);
    finish(fd);
    truth_exit("child");
  }
  reap(child);
}

/* The child leaves its counts in shared memory, so that its parent can speak for it when it was killed. */
static void killed(void) {
  long long *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = split();
  if (child == 0) {
    int fd = connected();
    send_all(fd, 12345);
    counts[0] = truth_sent();
    for (;;)
      pause();
  }
  while (!*(volatile long long *)counts)
    usleep(1000);
  truth_print_for(child, "child", counts[0], 0);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

/* A socket stays in the namespace it was made in; the process moves on and talks to itself in another one. */
static void two_network_namespaces(void) {
  int fd = connected();
  if (unshare(CLONE_NEWNET) < 0)
    fail("unshare(CLONE_NEWNET)");
  int listener = stream_listen("127.0.0.1", port, IPPROTO_TCP);
  struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  if (ioctl(listener, SIOCSIFFLAGS, &loopback) < 0)
    fail("lo up");
  int near = stream_connect("127.0.0.1", port, IPPROTO_TCP), far = stream_accept(listener);
  send_all(near, 6000);
  receive_exactly(far, 6000);
  send_all(fd, 4000);
  finish(fd);
}

static void receive_what_is_there(int fd) {
  char buffer[100];
  while (count_received(recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
    ;
}

/* One UDP socket connected to itself, two processes: each sends, each receives what it happens to get. */
static void shared_datagrams(void) {
  struct endpoint self = endpoint_of(address, port);
  int fd = datagram_bind(address, port);
  if (connect(fd, address_of(&self), self.length) < 0)
    fail("connect");
  for (int i = 0; i < 10; i++)
    send_all(fd, 9);
  pid_t child = split();
  if (child == 0) {
    for (int i = 0; i < 10; i++)
      send_all(fd, 7);
    for (int i = 0; i < 5; i++)
      receive_exactly(fd, 9);
    truth_exit("child");
  }
  reap(child);
  receive_what_is_there(fd);
}

static const struct {
  const char *name;
  void (*run)(void);
  int parent_speaks; /* the process that was started moves bytes, or opened the socket that others use */
} modes[] = {
    {"fork", fork_shared, 1},
    {"opened-by-parent", opened_by_parent, 1},
    {"daemon", daemon_after_connect, 1},
    {"exec", exec_with_socket, 1},
    {"setuid", set_user, 1},
    {"threads", threads, 1},
    {"leader-exits", leader_exits, 1},
    {"pid-namespace", pid_namespace, 0},
    {"pid-reuse", pid_reuse, 0},
    {"crowded", crowded, 0},
    {"brief", brief, 1},
    {"rename", renamed, 1},
    {"pidfd", taken_by_pidfd, 1},
    {"killed", killed, 0},
    {"two-namespaces", two_network_namespaces, 1},
    {"shared-datagrams", shared_datagrams, 1},
};

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: owners MODE ADDRESS PORT\n");
    return 2;
  }
  program = arguments[0], address = arguments[2], port = atoi(arguments[3]);
  if (strcmp(arguments[1], "continue") == 0) {
    continue_after_exec(port, arguments[4]);
    truth_exit("client");
  }
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
    if (strcmp(modes[i].name, arguments[1]) == 0) {
      modes[i].run();
      if (modes[i].parent_speaks)
        truth_exit("client");
      return 0;
    }
  errno = EINVAL;
  fail(arguments[1]);
}
