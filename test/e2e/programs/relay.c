/*
 * relay KIND --port PORT --to ADDRESS --to-port PORT: passes on what comes to PORT, and at SIGTERM says how much: its
 * truth is what it received to pass on, and what it passed on.
 *   stream [--spliced] [--rate N]   one connection for each that it accepts; held back to N bytes a second
 *   calls [--own PORT] [--hold MS]  a socket for each caller; beside them, a call of its own with PORT
 *   fan-out --copies N              every packet to N ports; drops what they answer, which is shorter than any packet
 *   spread --copies N               the same by a thread for each of the N, which only sends
 *   pool [--web]                    requests over two connections that stay; or a web app, which asks a database instead
 *   proxy [--names PORT]            a connection for each request, answers in slices; asks a name server in between
 *   trunk                           one connection carries many, in frames
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

#define MOST 128
#define PACKET 2048
#define ACKNOWLEDGEMENT 4
#define MESSAGE 65536
#define SLICE 4096

static char **options;
static const char *to;
static int port, to_port;

static void start(void *(*work)(void *), void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, argument) || pthread_detach(thread))
    fail("pthread_create");
}

static bool take(int fd, void *into, size_t size) { return recv(fd, into, size, MSG_WAITALL) == (ssize_t)size; }

static bool give(int fd, const void *from, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t n = send(fd, (const char *)from + done, size - done, MSG_NOSIGNAL);
    if (n <= 0)
      return false;
    done += n;
  }
  return true;
}

/* One direction of one connection. */
struct way {
  int from, to;
};

static void *pass_way(void *argument) {
  struct way way = *(struct way *)argument;
  bool spliced = option_flag(options, "--spliced");
  long rate = option_number(options, "--rate", 0);
  size_t slice = rate ? rate / 20 : MESSAGE;
  char buffer[16384];
  int between[2];
  if (pipe(between) < 0)
    fail("pipe");
  for (ssize_t n; (n = spliced ? splice(way.from, NULL, between[1], NULL, MESSAGE, 0)
                               : recv(way.from, buffer, sizeof buffer, 0)) > 0;) {
    count_received(n);
    for (ssize_t done = 0; done < n;) {
      size_t part = (size_t)(n - done) < slice ? (size_t)(n - done) : slice;
      ssize_t m = spliced ? splice(between[0], NULL, way.to, NULL, part, 0) : send(way.to, buffer + done, part, MSG_NOSIGNAL);
      if (m <= 0)
        fail("passing on");
      done += count_sent(m);
      if (rate)
        usleep(50000 * m / slice);
    }
  }
  shutdown(way.to, SHUT_WR);
  return NULL;
}

static void pass_streams(void) {
  static struct way ways[2 * MOST];
  int listener = stream_listen("0.0.0.0", port, IPPROTO_TCP);
  ready();
  for (int i = 0; i < MOST; i++) {
    int near = stream_accept(listener), far = stream_connect(to, to_port, IPPROTO_TCP);
    ways[2 * i] = (struct way){near, far};
    ways[2 * i + 1] = (struct way){far, near};
    start(pass_way, &ways[2 * i]);
    start(pass_way, &ways[2 * i + 1]);
  }
}

static long long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static int connected(int peer_port) {
  struct endpoint peer = endpoint_of(to, peer_port);
  int fd = datagram_bind("0.0.0.0", 0);
  if (connect(fd, address_of(&peer), peer.length) < 0)
    fail("connect");
  return fd;
}

/* A packet that waits for its time. */
struct held {
  long long due_us;
  int fd;
  struct sockaddr_in to;
  ssize_t size;
  char data[PACKET];
};

static struct held queue[4096];
static unsigned first_held, held_count;

static void pass_due(void) {
  for (; held_count > 0 && queue[first_held].due_us <= now_us(); held_count--) {
    struct held *packet = &queue[first_held];
    struct sockaddr *peer = packet->to.sin_port ? (void *)&packet->to : NULL;
    count_sent(sendto(packet->fd, packet->data, packet->size, 0, peer, peer ? sizeof packet->to : 0));
    first_held = (first_held + 1) % 4096;
  }
}

static void pass_packet(int out, struct sockaddr_in *peer, const char *data, ssize_t size) {
  struct held *packet = &queue[(first_held + held_count) % 4096];
  if (held_count == 4096)
    fail("too much is held");
  packet->due_us = now_us() + 1000 * option_number(options, "--hold", 0);
  packet->fd = out;
  packet->to = peer ? *peer : (struct sockaddr_in){0};
  packet->size = size;
  memcpy(packet->data, data, size);
  held_count++;
  pass_due();
}

static void pass_calls(void) {
  static struct sockaddr_in callers[MOST];
  static struct pollfd fds[MOST + 2];
  int own_port = option_number(options, "--own", 0), count = 0;
  char data[PACKET];
  fds[0] = (struct pollfd){.fd = datagram_bind("0.0.0.0", port), .events = POLLIN};
  fds[1] = (struct pollfd){.fd = own_port ? connected(own_port) : -1, .events = POLLIN};
  ready();
  for (long long next_us = now_us();;) {
    long long wait_us = own_port ? next_us - now_us() : 1000000;
    if (held_count > 0 && queue[first_held].due_us - now_us() < wait_us)
      wait_us = queue[first_held].due_us - now_us();
    poll(fds, count + 2, wait_us > 0 ? wait_us / 1000 + 1 : 0);
    pass_due();
    if (own_port && now_us() >= next_us) {
      send(fds[1].fd, data, 160, 0);
      next_us += 20000;
    }
    if (fds[1].revents)
      recv(fds[1].fd, data, sizeof data, MSG_DONTWAIT);
    for (int i = 2; i < count + 2; i++)
      if (fds[i].revents) {
        ssize_t n = count_received(recv(fds[i].fd, data, sizeof data, MSG_DONTWAIT));
        if (n > 0)
          pass_packet(fds[0].fd, &callers[i], data, n);
      }
    if (!fds[0].revents)
      continue;
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t n = count_received(recvfrom(fds[0].fd, data, sizeof data, MSG_DONTWAIT, (void *)&from, &length));
    if (n <= 0)
      continue;
    int i = 2;
    while (i < count + 2 && (callers[i].sin_port != from.sin_port || callers[i].sin_addr.s_addr != from.sin_addr.s_addr))
      i++;
    if (i == count + 2) {
      if (count == MOST)
        fail("too many callers");
      callers[i] = from;
      fds[i] = (struct pollfd){.fd = connected(to_port), .events = POLLIN};
      count++;
    }
    pass_packet(fds[i].fd, NULL, data, n);
  }
}

static void fan_out(void) {
  int fd = datagram_bind("0.0.0.0", port), copies = option_number(options, "--copies", 2);
  char data[PACKET];
  ready();
  for (;;) {
    ssize_t n = recv(fd, data, sizeof data, 0);
    if (n <= ACKNOWLEDGEMENT)
      continue;
    count_received(n);
    for (int i = 0; i < copies; i++) {
      struct endpoint peer = endpoint_of(to, to_port + i);
      count_sent(sendto(fd, data, n, 0, address_of(&peer), peer.length));
    }
  }
}

static struct {
  struct {
    char data[PACKET];
    ssize_t length;
  } packets[MOST];
  unsigned count;
  pthread_mutex_t lock;
  pthread_cond_t more;
} feed = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static void *spread_to(void *argument) {
  int fd = connected((int)(long)argument);
  for (unsigned next = 0;; next++) {
    char data[PACKET];
    pthread_mutex_lock(&feed.lock);
    while (feed.count == next)
      pthread_cond_wait(&feed.more, &feed.lock);
    ssize_t n = feed.packets[next % MOST].length;
    memcpy(data, feed.packets[next % MOST].data, n);
    pthread_mutex_unlock(&feed.lock);
    count_sent(send(fd, data, n, MSG_NOSIGNAL));
  }
  return NULL;
}

static void spread(void) {
  int fd = datagram_bind("0.0.0.0", port), copies = option_number(options, "--copies", 2);
  for (int i = 0; i < copies; i++)
    start(spread_to, (void *)(long)(to_port + i));
  ready();
  for (char data[PACKET];;) {
    ssize_t n = recv(fd, data, sizeof data, 0);
    if (n <= 0)
      continue;
    count_received(n);
    pthread_mutex_lock(&feed.lock);
    memcpy(feed.packets[feed.count % MOST].data, data, n);
    feed.packets[feed.count++ % MOST].length = n;
    pthread_cond_broadcast(&feed.more);
    pthread_mutex_unlock(&feed.lock);
  }
}

static struct {
  pthread_mutex_t free;
  int fd;
} upstreams[2] = {{.free = PTHREAD_MUTEX_INITIALIZER}, {.free = PTHREAD_MUTEX_INITIALIZER}};

/* A message begins with its own length and that of the answer it asks for. */
static void *serve(void *argument) {
  int client = (int)(long)argument;
  bool is_web = option_flag(options, "--web");
  char *message = malloc(MESSAGE);
  for (unsigned length[2], n = 0; take(client, message, sizeof length); n++) {
    memcpy(length, message, sizeof length);
    if (!take(client, message + sizeof length, length[0] - sizeof length))
      fail("a request was cut");
    unsigned query[2] = {60, 400}, *ask = is_web ? query : length;
    if (is_web)
      memcpy(message, query, sizeof query);
    int which = (n + client) % 2;
    pthread_mutex_lock(&upstreams[which].free);
    if (!give(upstreams[which].fd, message, ask[0]) || !take(upstreams[which].fd, message, ask[1]))
      fail("an upstream was closed");
    pthread_mutex_unlock(&upstreams[which].free);
    if (!give(client, message, length[1]))
      fail("a client was closed");
    if (is_web)
      continue;
    count_received(length[0] + length[1]);
    count_sent(length[0] + length[1]);
  }
  return NULL;
}

static void pool(void) {
  int listener = stream_listen("0.0.0.0", port, IPPROTO_TCP);
  for (int i = 0; i < 2; i++)
    upstreams[i].fd = stream_connect(to, to_port, IPPROTO_TCP);
  ready();
  for (;;)
    start(serve, (void *)(long)stream_accept(listener));
}

/* Most names are known already. */
static void ask_name(int fd) {
  static unsigned asked;
  struct endpoint peer = endpoint_of(to, option_number(options, "--names", 0));
  if (fd >= 0 && asked++ % 15 == 0)
    sendto(fd, "a question of some forty bytes, one name", 40, 0, address_of(&peer), peer.length);
}

/* One thread, which passes a slice of each answer on at every turn, and what is left of it at the next. */
static void proxy(void) {
  static struct {
    unsigned length[2], received, sent;
    char answer[MESSAGE];
  } turns[MOST];
  static struct pollfd fds[2 * MOST + 1];
  static char request[MESSAGE];
  int listener = stream_listen("0.0.0.0", port, IPPROTO_TCP), count = 0;
  int names = option_number(options, "--names", 0) ? socket(AF_INET, SOCK_DGRAM, 0) : -1;
  ready();
  for (bool is_busy = false;;) {
    fds[2 * count] = (struct pollfd){.fd = listener, .events = POLLIN};
    poll(fds, 2 * count + 1, is_busy ? 0 : -1);
    if (fds[2 * count].revents && count < MOST) {
      fds[2 * count] = (struct pollfd){.fd = stream_accept(listener), .events = POLLIN};
      fds[2 * count + 1] = (struct pollfd){.fd = -1, .events = POLLIN};
      count++;
      continue;
    }
    is_busy = false;
    for (int i = 0; i < count; i++) {
      struct pollfd *client = &fds[2 * i], *server = &fds[2 * i + 1];
      if (server->fd < 0 && client->revents) {
        if (!take(client->fd, turns[i].length, sizeof turns[i].length)) {
          client->fd = -1;
          continue;
        }
        memcpy(request, turns[i].length, sizeof turns[i].length);
        size_t head = sizeof turns[i].length;
        if (!take(client->fd, request + head, turns[i].length[0] - head))
          fail("a request was cut");
        ask_name(names);
        server->fd = stream_connect(to, to_port, IPPROTO_TCP);
        turns[i].received = turns[i].sent = 0;
        if (!give(server->fd, request, turns[i].length[0]))
          fail("an upstream was closed");
      } else if (server->fd >= 0 && server->revents && turns[i].received < turns[i].length[1]) {
        char *end = turns[i].answer + turns[i].received;
        ssize_t n = recv(server->fd, end, turns[i].length[1] - turns[i].received, MSG_DONTWAIT);
        if (n == 0)
          fail("an answer was cut");
        if (n > 0 && turns[i].received == 0)
          ask_name(names);
        turns[i].received += n > 0 ? n : 0;
      }
      size_t left = server->fd >= 0 ? turns[i].received - turns[i].sent : 0;
      if (left > 0 && !give(client->fd, turns[i].answer + turns[i].sent, left < SLICE ? left : SLICE))
        fail("a client was closed");
      turns[i].sent += left < SLICE ? left : SLICE;
      is_busy |= left > SLICE;
      if (server->fd < 0 || turns[i].sent < turns[i].length[1])
        continue;
      close(server->fd);
      server->fd = -1;
      count_received(turns[i].length[0] + turns[i].length[1]);
      count_sent(turns[i].length[0] + turns[i].length[1]);
    }
  }
}

/* A frame begins with the number of its stream and its length. */
static void trunk(void) {
  static struct pollfd fds[MOST];
  struct {
    unsigned head[2];
    char data[4096];
  } frame;
  int listener = stream_listen("0.0.0.0", port, IPPROTO_TCP), count = 1;
  ready();
  fds[0] = (struct pollfd){.fd = stream_accept(listener), .events = POLLIN};
  for (;;) {
    poll(fds, count, -1);
    for (int i = 1; i < count; i++) {
      ssize_t n = fds[i].revents ? count_received(recv(fds[i].fd, frame.data, sizeof frame.data, MSG_DONTWAIT)) : -1;
      if (n == 0)
        fds[i].fd = -1;
      if (n <= 0)
        continue;
      frame.head[0] = i;
      frame.head[1] = n;
      if (!give(fds[0].fd, &frame, sizeof frame.head + n))
        fail("the trunk was closed");
      count_sent(n);
    }
    if (!fds[0].revents)
      continue;
    if (!take(fds[0].fd, frame.head, sizeof frame.head) || !take(fds[0].fd, frame.data, frame.head[1])) {
      fds[0].fd = -1;
      continue;
    }
    count_received(frame.head[1]);
    for (; count <= (int)frame.head[0]; count++)
      fds[count] = (struct pollfd){.fd = stream_connect(to, to_port, IPPROTO_TCP), .events = POLLIN};
    if (!give(fds[frame.head[0]].fd, frame.data, frame.head[1]))
      fail("a stream was closed");
    count_sent(frame.head[1]);
  }
}

static void *end(void *signals) {
  int signal;
  sigwait(signals, &signal);
  truth_exit("relay");
}

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    void (*run)(void);
  } kinds[] = {{"stream", pass_streams}, {"calls", pass_calls}, {"fan-out", fan_out}, {"spread", spread}, {"pool", pool},
               {"proxy", proxy},   {"trunk", trunk}};
  static sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  start(end, &signals);
  options = arguments;
  port = option_number(arguments, "--port", 0);
  to = option_text(arguments, "--to", "");
  to_port = option_number(arguments, "--to-port", 0);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (count > 1 && strcmp(arguments[1], kinds[i].name) == 0)
      kinds[i].run();
  fprintf(stderr, "usage: relay KIND --port PORT --to ADDRESS --to-port PORT\n");
  return 2;
}
