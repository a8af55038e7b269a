#define _GNU_SOURCE
#include "truth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_llong sent_bytes, received_bytes;

ssize_t count_sent(ssize_t result) {
  if (result > 0)
    atomic_fetch_add(&sent_bytes, result);
  return result;
}

ssize_t count_received(ssize_t result) {
  if (result > 0)
    atomic_fetch_add(&received_bytes, result);
  return result;
}

long long truth_sent(void) { return atomic_load(&sent_bytes); }
long long truth_received(void) { return atomic_load(&received_bytes); }
void truth_reset(void) { truth_resume(0, 0); }

void truth_resume(long long sent, long long received) {
  atomic_store(&sent_bytes, sent);
  atomic_store(&received_bytes, received);
}

static ssize_t read_proc(pid_t pid, const char *file, char *to, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    fail(path);
  ssize_t length = read(fd, to, size - 1);
  close(fd);
  to[length > 0 ? length : 0] = 0;
  return length;
}

/* Start time in milliseconds since 1970, as exact as /proc/PID/stat has it: 10 ms. */
static long long started_at_ms(const char *stat_after_comm) {
  unsigned long long ticks = 0;
  const char *field = stat_after_comm;
  for (int i = 3; i < 22 && field; i++)
    field = strchr(field + 1, ' ');
  if (!field || sscanf(field, "%llu", &ticks) != 1)
    fail("/proc/PID/stat");
  struct timespec wall, boot;
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  long long booted_ms = (wall.tv_sec - boot.tv_sec) * 1000LL + (wall.tv_nsec - boot.tv_nsec) / 1000000;
  return booted_ms + (long long)(ticks * 1000 / sysconf(_SC_CLK_TCK));
}

static void escape(const char *from, char *to, size_t size) {
  size_t used = 0;
  for (; *from && used + 3 < size; from++) {
    if (*from == '"' || *from == '\\')
      to[used++] = '\\';
    to[used++] = (unsigned char)*from < ' ' ? ' ' : *from;
  }
  to[used] = 0;
}

void truth_print_for(pid_t pid, const char *role, long long sent, long long received) {
  char stat[1024], command[2048], text[1024], link[64], executable[1024], line[8192], status[4096];
  read_proc(pid, "stat", stat, sizeof stat);
  char *after = strrchr(stat, ')'), *name = strchr(stat, '(');
  if (!after || !name)
    fail("/proc/PID/stat");
  *after = 0;
  int parent = 0, uid = -1;
  sscanf(after + 2, "%*c %d", &parent);
  read_proc(pid, "status", status, sizeof status);
  char *uid_line = strstr(status, "\nUid:");
  if (uid_line)
    sscanf(uid_line, "\nUid: %d", &uid);

  ssize_t length = read_proc(pid, "cmdline", text, sizeof text);
  for (ssize_t i = 0; i + 1 < length; i++)
    if (!text[i])
      text[i] = ' ';
  escape(text, command, sizeof command);
  snprintf(link, sizeof link, "/proc/%d/exe", pid);
  length = readlink(link, executable, sizeof executable - 1);
  executable[length > 0 ? length : 0] = 0;
  escape(name + 1, text, sizeof text);

  int size = snprintf(line, sizeof line,
                      "{\"role\":\"%s\",\"pid\":%d,\"parentPid\":%d,\"name\":\"%s\",\"executable\":\"%s\",\"command\":\"%s\","
                      "\"uid\":%d,\"startedAtMs\":%lld,\"sentBytes\":%lld,\"receivedBytes\":%lld}\n",
                      role, pid, parent, text, executable, command, uid, started_at_ms(after + 1), sent, received);
  if (write(STDOUT_FILENO, line, size) != size)
    fail("write to stdout");
}

void truth_print(const char *role) {
  char self[16] = "";
  if (readlink("/proc/self", self, sizeof self - 1) < 0)
    fail("/proc/self");
  truth_print_for(atoi(self), role, truth_sent(), truth_received());
}

void truth_exit(const char *role) {
  truth_print(role);
  _exit(0);
}

void ready(void) {
  const char *path = getenv("E2E_READY");
  if (!path)
    return;
  int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0)
    fail(path);
  close(fd);
}

void wait_for_file(const char *path) {
  for (int i = 0; i < 6000; i++) {
    if (access(path, F_OK) == 0)
      return;
    usleep(10000);
  }
  errno = ETIMEDOUT;
  fail(path);
}

void fail(const char *what) {
  dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
  _exit(1);
}

void skip(const char *reason) {
  dprintf(STDERR_FILENO, "%s\n", reason);
  _exit(EXIT_SKIP);
}
