/*
 * datagram serve|call ADDRESS PORT: UDP both ways. The caller says hello, sends --count datagrams of --size bytes by
 * --send, then "END."; the server, which received by --receive, answers in the same manner.
 *   --connected       the socket is connected to its peer (the server: once it knows it)
 *   --callers N       (serve) this many callers, each a peer of the one unconnected socket
 *   --pause GO        (call) after the hello it waits for file GO and only then begins to count
 *   --warm            (serve) counts from the first datagram after the hello on
 */
#define _GNU_SOURCE
#include "datagram.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

static const char last[] = "END.";
enum { last_size = 4 };

static void send_datagrams(int fd, const struct endpoint *to, char **arguments) {
  const struct datagram_sender *sender = datagram_sender_named(option_text(arguments, "--send", "sendto"));
  size_t size = option_number(arguments, "--size", 1000);
  bool connected = option_flag(arguments, "--connected");
  static char data[1 << 16];
  if (sender->prepare)
    sender->prepare(fd, size);
  for (long left = option_number(arguments, "--count", 50); left > 0;) {
    int datagrams = sender->at_once < left ? sender->at_once : left;
    ssize_t sent = count_sent(sender->send(fd, connected ? NULL : to, data, size, datagrams));
    if (sent != (ssize_t)size * datagrams)
      fail(sender->name);
    left -= datagrams;
  }
  if (sender->finish)
    sender->finish(fd);
  if (count_sent(connected ? send(fd, last, last_size, 0) : sendto(fd, last, last_size, 0, address_of(to), to->length)) < 0)
    fail("send of the last datagram");
}

/* Until the last datagram has come. A datagram cut by a short buffer counts what the call returned. */
static void receive_datagrams(int fd, char **arguments) {
  const struct datagram_receiver *receiver = datagram_receiver_named(option_text(arguments, "--receive", "recvfrom"));
  static char buffer[1 << 17];
  if (receiver->prepare)
    receiver->prepare(fd);
  for (bool ended = false; !ended;) {
    ssize_t received = count_received(receiver->receive(fd, buffer, sizeof buffer, &ended));
    if (received < 0)
      fail(receiver->name);
  }
}

/* What a receiver saw: the stream of datagrams ends with one that is nothing but the mark. */
bool is_last(const char *data, ssize_t size) { return size == last_size && memcmp(data, last, last_size) == 0; }

static void connect_to(int fd, const struct endpoint *peer) {
  if (connect(fd, address_of(peer), peer->length) < 0)
    fail("connect");
}

static void serve(char **arguments, const char *address, int port) {
  int fd = datagram_bind(address, port);
  ready();
  for (long left = option_number(arguments, "--callers", 1); left > 0; left--) {
    char hello[16];
    struct endpoint peer = {.length = sizeof peer.address};
    if (count_received(recvfrom(fd, hello, sizeof hello, 0, (struct sockaddr *)&peer.address, &peer.length)) < 0)
      fail("recvfrom");
    if (option_flag(arguments, "--connected"))
      connect_to(fd, &peer);
    if (option_flag(arguments, "--warm")) {
      struct timeval patience = {.tv_sec = 60};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      truth_reset();
    }
    receive_datagrams(fd, arguments);
    send_datagrams(fd, &peer, arguments);
  }
  truth_print("server");
}

static void call(char **arguments, const char *address, int port) {
  struct endpoint peer = endpoint_of(address, port);
  int fd = datagram_bind(peer.address.ss_family == AF_INET ? "0.0.0.0" : "::", 0);
  if (option_flag(arguments, "--connected"))
    connect_to(fd, &peer);
  if (count_sent(sendto(fd, "hello", 5, 0, option_flag(arguments, "--connected") ? NULL : address_of(&peer), peer.length)) < 0)
    fail("sendto");
  const char *go = option_text(arguments, "--pause", NULL);
  if (go) {
    ready();
    wait_for_file(go);
    truth_reset();
  }
  send_datagrams(fd, &peer, arguments);
  receive_datagrams(fd, arguments);
  truth_print("client");
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: datagram serve|call ADDRESS PORT [OPTION...]\n");
    return 2;
  }
  (strcmp(arguments[1], "serve") == 0 ? serve : call)(arguments + 4, arguments[2], atoi(arguments[3]));
}
