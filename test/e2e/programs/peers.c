/*
 * peers KIND ...: what speaks with the programs under test, and small programs that relay nothing.
 *   answer --port P                                       sends each request the answer that it asks for
 *   ask --to A --port P --clients N --rounds N [--answer BYTES]   asks, with some time in between
 *   swap --port P --up BYTES --down BYTES [--rate N]      a server: takes and gives so much on each connection
 *   swapper --to A --port P --streams N --up BYTES --down BYTES   its client, on N connections
 *   trunk --to A --port P --streams N --up BYTES --down BYTES     the same in frames, on one connection
 *   listen --port P [--seconds N] [--sizes MIN] [--vary N]       speaks with whoever speaks first, 50 packets a second
 *   call --to A [--second A] --port P --calls N --seconds N [--sizes MIN] [--vary N]   speaks first
 *   echo --port P [--first BYTES]                         sends every packet back, or its first bytes
 *   jobs --from A --to A --port P --seconds N             downloads and uploads, and neither has to do with the other
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

#define MOST 128
#define PERIOD_US 20000

static char **options;

static long number(const char *name, long otherwise) { return option_number(options, name, otherwise); }
static const char *address(const char *name) { return option_text(options, name, "0.0.0.0"); }

static long long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static pthread_t begin(void *(*work)(void *), long argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, (void *)argument))
    fail("pthread_create");
  return thread;
}

static void accept_for(void *(*work)(void *)) {
  int listener = stream_listen("0.0.0.0", number("--port", 0), IPPROTO_TCP);
  ready();
  for (;;)
    pthread_detach(begin(work, stream_accept(listener)));
}

static bool take(int fd, void *into, size_t size) { return recv(fd, into, size, MSG_WAITALL) == (ssize_t)size; }

static void *answer(void *argument) {
  int fd = (int)(long)argument;
  for (unsigned length[2]; take(fd, length, sizeof length);) {
    receive_exactly(fd, length[0] - sizeof length);
    send_all(fd, length[1]);
  }
  return NULL;
}

static void *ask(void *argument) {
  unsigned seed = (unsigned)(long)argument, message[256] = {0};
  int fd = stream_connect(address("--to"), number("--port", 0), IPPROTO_TCP);
  for (long rounds = number("--rounds", 1); rounds > 0; rounds--) {
    message[0] = 100 + rand_r(&seed) % 900;
    message[1] = number("--answer", 500 + rand_r(&seed) % 8000);
    if (send(fd, message, message[0], MSG_NOSIGNAL) != (ssize_t)message[0])
      fail("asking");
    receive_exactly(fd, message[1]);
    usleep(20000 + rand_r(&seed) % 60000);
  }
  close(fd);
  return NULL;
}

static void *give(void *argument) {
  long rate = number("--rate", 0), left = number("--down", 0);
  size_t slice = rate ? rate / 50 : left;
  for (int fd = (int)(long)argument; left > 0; left -= slice) {
    send_all(fd, left < (long)slice ? left : (long)slice);
    if (rate)
      usleep(PERIOD_US);
  }
  return NULL;
}

static void *swap(void *argument) {
  int fd = (int)(long)argument;
  pthread_t giving = begin(give, fd);
  receive_exactly(fd, number("--up", 0));
  pthread_join(giving, NULL);
  receive_until_end(fd);
  close(fd);
  return NULL;
}

static void *take_down(void *argument) {
  receive_exactly((int)(long)argument, number("--down", 0));
  return NULL;
}

static void *swapper(void *argument) {
  (void)argument;
  int fd = stream_connect(address("--to"), number("--port", 0), IPPROTO_TCP);
  pthread_t taking = begin(take_down, fd);
  send_all(fd, number("--up", 0));
  pthread_join(taking, NULL);
  shutdown(fd, SHUT_WR);
  receive_until_end(fd);
  return NULL;
}

static void *take_frames(void *argument) {
  unsigned head[2];
  for (long left = number("--streams", 1) * number("--down", 0); left > 0; left -= head[1]) {
    if (!take((int)(long)argument, head, sizeof head))
      fail("the trunk was closed");
    receive_exactly((int)(long)argument, head[1]);
  }
  return NULL;
}

static void trunk(void) {
  struct {
    unsigned head[2];
    char data[3000];
  } frame = {0};
  int fd = stream_connect(address("--to"), number("--port", 0), IPPROTO_TCP);
  pthread_t taking = begin(take_frames, fd);
  for (long left = number("--up", 0), part; left > 0; left -= part) {
    part = left < (long)sizeof frame.data ? left : (long)sizeof frame.data;
    for (unsigned i = 1; i <= number("--streams", 1); i++) {
      frame.head[0] = i;
      frame.head[1] = part;
      size_t size = sizeof frame.head + part;
      if (send(fd, &frame, size, MSG_NOSIGNAL) != (ssize_t)size)
        fail("sending a frame");
    }
  }
  pthread_join(taking, NULL);
}

/* Whom it speaks with. Each has a clock of its own: the first packet comes at a time of its own. */
struct leg {
  int fd;
  struct sockaddr_in peer;
  long long next_us, end_us;
};

static struct leg legs[MOST];
static int leg_count;

static void add_leg(int fd, struct sockaddr_in peer) {
  if (leg_count == MOST)
    fail("too many legs");
  long long begin_us = now_us() + rand() % PERIOD_US;
  legs[leg_count++] = (struct leg){fd, peer, begin_us, begin_us + number("--seconds", 0) * 1000000};
}

static void hear(int fd) {
  char data[2048];
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  if (recvfrom(fd, data, sizeof data, MSG_DONTWAIT, (void *)&from, &length) <= 0)
    return;
  for (int i = 0; i < leg_count; i++)
    if (legs[i].fd == fd && legs[i].peer.sin_port == from.sin_port && legs[i].peer.sin_addr.s_addr == from.sin_addr.s_addr)
      return;
  add_leg(fd, from);
}

/* Until all legs of a caller have ended; for ever where `listener` is a socket. */
static void speak(int listener) {
  static struct pollfd fds[MOST + 1];
  const char *sizes = option_text(options, "--sizes", "120");
  long smallest = atol(sizes), largest = smallest + number("--vary", 80);
  char data[2048] = {0};
  for (bool goes_on = true; goes_on;) {
    long long now = now_us(), next = now + 100000;
    goes_on = listener >= 0;
    for (int i = 0; i < leg_count; i++) {
      struct leg *leg = &legs[i];
      if (leg->next_us >= leg->end_us)
        continue;
      goes_on = true;
      if (leg->next_us <= now) {
        sendto(leg->fd, data, smallest + rand() % (largest - smallest + 1), 0, (void *)&leg->peer, sizeof leg->peer);
        leg->next_us += PERIOD_US;
      }
      next = leg->next_us < next ? leg->next_us : next;
    }
    int count = listener >= 0 ? 1 : leg_count;
    for (int i = 0; i < count; i++)
      fds[i] = (struct pollfd){.fd = listener >= 0 ? listener : legs[i].fd, .events = POLLIN};
    now = now_us();
    if (poll(fds, count, next > now ? (next - now) / 1000 + 1 : 0) > 0)
      for (int i = 0; i < count; i++)
        if (fds[i].revents)
          hear(fds[i].fd);
  }
}

static void call(void) {
  for (const char *const *name = (const char *[]){"--to", "--second", NULL}; *name; name++)
    for (int i = 0; i < number("--calls", 1) && option_text(options, *name, NULL); i++) {
      struct endpoint peer = endpoint_of(address(*name), number("--port", 0));
      add_leg(datagram_bind("0.0.0.0", 0), *(struct sockaddr_in *)&peer.address);
    }
  speak(-1);
  usleep(700000); /* what is still held */
}

static void echo(void) {
  int fd = datagram_bind("0.0.0.0", number("--port", 0));
  char data[2048];
  long first = number("--first", sizeof data);
  struct sockaddr_in from;
  ready();
  for (socklen_t length = sizeof from;; length = sizeof from) {
    ssize_t n = recvfrom(fd, data, sizeof data, 0, (void *)&from, &length);
    if (n > 0)
      sendto(fd, data, first < n ? first : n, 0, (void *)&from, length);
  }
}

static void jobs(void) {
  char data[4096] = {0};
  int down = stream_connect(address("--from"), number("--port", 0), IPPROTO_TCP);
  int up = stream_connect(address("--to"), number("--port", 0), IPPROTO_TCP);
  long long end = now_us() + number("--seconds", 1) * 1000000, next = now_us();
  for (struct pollfd fd = {.fd = down, .events = POLLIN}; now_us() < end;) {
    long long left = next - now_us();
    if (poll(&fd, 1, left > 0 ? left / 1000 + 1 : 0) > 0 && recv(down, data, sizeof data, MSG_DONTWAIT) == 0)
      break;
    if (now_us() < next)
      continue;
    send(up, data, sizeof data, MSG_NOSIGNAL);
    next += PERIOD_US;
  }
}

static void for_each(const char *name, void *(*work)(void *)) {
  pthread_t threads[MOST];
  long count = number(name, 1);
  for (long i = 0; i < count && i < MOST; i++)
    threads[i] = begin(work, i + 1);
  for (long i = 0; i < count && i < MOST; i++)
    pthread_join(threads[i], NULL);
}

int main(int count, char **arguments) {
  const char *kind = count > 1 ? arguments[1] : "";
  options = arguments;
  srand(getpid());
  if (strcmp(kind, "answer") == 0)
    accept_for(answer);
  else if (strcmp(kind, "ask") == 0)
    for_each("--clients", ask);
  else if (strcmp(kind, "swap") == 0)
    accept_for(swap);
  else if (strcmp(kind, "swapper") == 0)
    for_each("--streams", swapper);
  else if (strcmp(kind, "trunk") == 0)
    trunk();
  else if (strcmp(kind, "listen") == 0) {
    int fd = datagram_bind("0.0.0.0", number("--port", 0));
    ready();
    speak(fd);
  } else if (strcmp(kind, "call") == 0)
    call();
  else if (strcmp(kind, "echo") == 0)
    echo();
  else if (strcmp(kind, "jobs") == 0)
    jobs();
  else
    return 2;
}
