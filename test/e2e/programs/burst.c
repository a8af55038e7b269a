/*
 * burst ADDRESS PORT COUNT AT_ONCE: COUNT short-lived processes, AT_ONCE at a time. Each connects, sends 1,024 bytes and
 * exits. The odd ones are forks that name themselves burst-N; the even ones execute this program anew ("burst one
 * ADDRESS PORT N" is their command line). Each prints its own truth.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

_Noreturn static void one(const char *address, int port) {
  send_all(stream_connect(address, port, IPPROTO_TCP), 1024);
  truth_exit("client");
}

int main(int count, char **arguments) {
  if (count < 5) {
    fprintf(stderr, "usage: burst ADDRESS PORT COUNT AT_ONCE | burst one ADDRESS PORT NUMBER\n");
    return 2;
  }
  if (strcmp(arguments[1], "one") == 0)
    one(arguments[2], atoi(arguments[3]));

  const char *address = arguments[1], *port = arguments[2];
  int total = atoi(arguments[3]), at_once = atoi(arguments[4]);
  for (int started = 0, ended = 0; ended < total;) {
    if (started < total && started - ended < at_once) {
      pid_t child = fork();
      if (child < 0)
        fail("fork");
      if (child == 0) {
        char text[24];
        snprintf(text, sizeof text, started % 2 ? "burst-%d" : "%d", started);
        if (started % 2 == 0) {
          execl(arguments[0], arguments[0], "one", address, port, text, NULL);
          fail("execl");
        }
        prctl(PR_SET_NAME, text);
        one(address, atoi(port));
      }
      started++;
      continue;
    }
    int status;
    if (wait(&status) < 0 || status != 0)
      fail("a process of the burst failed");
    ended++;
  }
}
