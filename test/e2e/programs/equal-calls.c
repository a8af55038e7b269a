/*
 * Calls of one constant rate and size, whose content alone says whose they are.
 *   equal-calls speak noise|beats HOST PORT COUNT SECONDS    on TCP and UDP: talks for so long with whoever calls a port
 *   equal-calls KIND tcp|udp NEAR FAR PORT CALLS SECONDS     calls both; says at the end how many bytes it passed on
 *   equal-calls send tcp|udp HOST PORT BYTES PERIOD_US SECONDS    noise of other sizes, one way
 *      held    passes on between the two what each says, after some time
 *      own     talks with both itself
 *      mixed   the first call is its own, the others are passed on
 *      beats   sends both the heartbeats that it hears from them, made by itself
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

#define MOST 256
#define MOST_HELD 4096
#define PACKET 2048
#define LARGEST 65536
#define HELD_US 300000

struct line {
  enum { LISTENER, UNCALLED, OPEN } state;
  int type;
  struct endpoint peer; /* no length: connected */
  struct line *onto;    /* what it says is passed on to this one */
  long long next_us, end_us;
};

static struct line lines[MOST];
static struct pollfd fds[MOST];
static int count;
static bool says_beats;
static size_t bytes = 160;
static long period_us = 20000;
static long long passed_on;

static struct held {
  long long due_us;
  struct line *to;
  ssize_t size;
  char data[PACKET];
} queue[MOST_HELD];
static unsigned first_held, held_count;

static long long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static struct line *add(int fd, int type, int state) {
  if (count == MOST)
    fail("too many lines");
  if (type == SOCK_STREAM && state == OPEN)
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  fds[count] = (struct pollfd){.fd = fd, .events = POLLIN};
  lines[count] = (struct line){.state = state, .type = type};
  return &lines[count++];
}

/* Each has a clock of its own. */
static void talk(struct line *line, long seconds) {
  line->next_us = now_us() + rand() % period_us;
  line->end_us = line->next_us + seconds * 1000000;
}

static void say(struct line *line, const void *data, size_t size) {
  const struct sockaddr *to = line->peer.length ? address_of(&line->peer) : NULL;
  if (sendto(fds[line - lines].fd, data, size, MSG_NOSIGNAL, to, line->peer.length) < 0 && line->type == SOCK_STREAM)
    line->end_us = 0; /* the other end is gone */
}

/* Noise is nobody else's; a heartbeat is what all of one program say at one time. */
static void say_next(struct line *line) {
  static char data[LARGEST];
  if (!says_beats) {
    if (getrandom(data, bytes, 0) != (ssize_t)bytes)
      fail("getrandom");
    say(line, data, bytes);
    return;
  }
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int size = snprintf(data, sizeof data, "{\"kind\":\"heartbeat\",\"version\":\"1.4.2\",\"time\":\"%010ld.%02ld\",\"status\":\"well\"}\n",
                      (long)now.tv_sec, now.tv_nsec / (period_us * 1000));
  say(line, data, size);
}

static void pass_on(struct line *to, const char *data, ssize_t size) {
  struct held *held = &queue[(first_held + held_count++) % MOST_HELD];
  if (held_count > MOST_HELD)
    fail("too much is held");
  *held = (struct held){.due_us = now_us() + HELD_US, .to = to, .size = size};
  memcpy(held->data, data, size);
}

/* On a beat of its own, as jitter buffers do: lags tell nothing. */
static void pass_due(void) {
  static long long next_us;
  long long now = now_us();
  if (now < next_us)
    return;
  next_us = now + period_us;
  for (; held_count > 0 && queue[first_held].due_us <= now; held_count--) {
    say(queue[first_held].to, queue[first_held].data, queue[first_held].size);
    passed_on += queue[first_held].size;
    first_held = (first_held + 1) % MOST_HELD;
  }
}

static void hear(struct line *line, long seconds) {
  char data[PACKET];
  struct endpoint from = {.length = sizeof from.address};
  int fd = fds[line - lines].fd;
  if (line->state == LISTENER) {
    talk(add(stream_accept(fd), SOCK_STREAM, OPEN), seconds);
    return;
  }
  ssize_t n = recvfrom(fd, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from.address, &from.length);
  if (n == 0 && line->type == SOCK_STREAM)
    fds[line - lines].fd = -1;
  if (line->state == UNCALLED && n > 0) {
    line->state = OPEN;
    line->peer = from;
    talk(line, seconds);
  }
  if (line->onto && n > 0)
    pass_on(line->onto, data, n);
}

static void run(long long until_us, long seconds) {
  for (long long now = now_us(); now < until_us; now = now_us()) {
    for (int i = 0; i < count; i++)
      for (; lines[i].next_us <= now && lines[i].next_us < lines[i].end_us; lines[i].next_us += period_us)
        say_next(&lines[i]);
    pass_due();
    if (poll(fds, count, 2) > 0)
      for (int i = count - 1; i >= 0; i--)
        if (fds[i].revents)
          hear(&lines[i], seconds);
  }
}

static void speak(const char *host, int port, int ports, long seconds) {
  for (int i = 0; i < ports; i++) {
    add(stream_listen(host, port + i, IPPROTO_TCP), SOCK_STREAM, LISTENER);
    add(datagram_bind(host, port + i), SOCK_DGRAM, UNCALLED);
  }
  run(now_us() + 600 * 1000000LL, seconds);
}

/* The kernel knows the peer of a connected socket, and learns that of another from each message. */
static struct line *call(const char *host, int port, int type, bool is_connected) {
  struct endpoint peer = endpoint_of(host, port);
  if (type == SOCK_STREAM)
    return add(stream_connect(host, port, IPPROTO_TCP), type, OPEN);
  struct line *line = add(socket(peer.address.ss_family, type, 0), type, OPEN);
  if (!is_connected)
    line->peer = peer;
  else if (connect(fds[line - lines].fd, address_of(&peer), peer.length) < 0)
    fail("connect");
  say(line, "hello", 5);
  return line;
}

int main(int words, char **word) {
  if (words < 7)
    return 2;
  srand(getpid());
  long seconds = atol(word[words - 1]);
  if (strcmp(word[1], "speak") == 0) {
    says_beats = strcmp(word[2], "beats") == 0;
    speak(word[3], atoi(word[4]), atoi(word[5]), seconds);
    return 0;
  }
  if (strcmp(word[1], "send") == 0 && words == 8) {
    bytes = atol(word[5]) < LARGEST ? atol(word[5]) : LARGEST;
    period_us = atol(word[6]);
    talk(call(word[3], atoi(word[4]), strcmp(word[2], "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM, true), seconds);
    run(now_us() + seconds * 1000000, seconds);
    return 0;
  }
  says_beats = strcmp(word[1], "beats") == 0;
  for (int i = 0; i < atoi(word[6]); i++) {
    int type = strcmp(word[2], "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM, port = atoi(word[5]) + i;
    struct line *near = call(word[3], port, type, true), *far = call(word[4], port, type, false);
    if (strcmp(word[1], "held") == 0 || (strcmp(word[1], "mixed") == 0 && i > 0)) {
      near->onto = far;
      far->onto = near;
    } else {
      talk(near, seconds);
      talk(far, seconds);
    }
  }
  run(now_us() + seconds * 1000000 + 1500000, seconds);
  printf("%lld\n", passed_on);
  return 0;
}
