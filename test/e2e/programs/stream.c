/*
 * stream serve|call ADDRESS PORT: one exchange over TCP, MPTCP or kTLS. The caller sends --bytes by --send, closes its
 * direction; the server receives to the end by --receive, then answers in the same manner, and the caller receives.
 *   --chunk N         bytes per call
 *   --window N        bytes per receiving call, where they differ
 *   --connections N   (serve) this many exchanges, one after another
 *   --mptcp           over an MPTCP socket
 *   --ktls            the kernel encrypts and decrypts (TLS 1.2, AES-GCM-128, a key both know)
 *   --lossy           this side's socket throws away one packet in 16: the other side sends it again
 *   --pause GO        (call) 5,000 bytes each way first, then it waits for file GO and only then begins to count
 *   --warm            (serve) the other side of --pause
 *   --count-all       count from the start in spite of these two
 */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static const size_t warm_up = 5000;

static void start_ktls(int fd) {
  if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") < 0) {
    if (errno == ENOENT || errno == ENOPROTOOPT)
      skip("this kernel has no TLS sockets (CONFIG_TLS): TCP_ULP tls is refused");
    fail("TCP_ULP tls");
  }
  struct tls12_crypto_info_aes_gcm_128 keys = {.info = {.version = TLS_1_2_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128}};
  memset(keys.key, 'k', sizeof keys.key);
  if (setsockopt(fd, SOL_TLS, TLS_TX, &keys, sizeof keys) < 0 || setsockopt(fd, SOL_TLS, TLS_RX, &keys, sizeof keys) < 0)
    fail("TLS_TX, TLS_RX");
}

/* Behind the IP layer: the packets have crossed the wire. */
static void lose_packets(int fd) {
  struct sock_filter code[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, SKF_AD_OFF + SKF_AD_RANDOM},
                               {BPF_JMP | BPF_JGE | BPF_K, 1, 0, 0x10000000},
                               {BPF_RET | BPF_K, 0, 0, 0},
                               {BPF_RET | BPF_K, 0, 0, 0xffffffff}};
  struct sock_fprog filter = {.len = sizeof code / sizeof code[0], .filter = code};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0)
    fail("SO_ATTACH_FILTER");
}

static void exchange(int fd, char **arguments, int first) {
  const struct sender *sender = sender_named(option_text(arguments, "--send", "send"));
  const struct receiver *receiver = receiver_named(option_text(arguments, "--receive", "recv"));
  size_t chunk = option_number(arguments, "--chunk", 10007), bytes = option_number(arguments, "--bytes", 200000);
  if (option_flag(arguments, "--ktls"))
    start_ktls(fd);
  if (option_flag(arguments, "--lossy"))
    lose_packets(fd);
  for (int turn = 0; turn < 2; turn++) {
    if ((turn == 0) == first) {
      if (bytes)
        stream_send(fd, sender, bytes, chunk);
      shutdown(fd, SHUT_WR);
    } else {
      stream_receive(fd, receiver, option_number(arguments, "--window", chunk));
    }
  }
}

static void reset_unless_all(char **arguments) {
  if (!option_flag(arguments, "--count-all"))
    truth_reset();
}

static void serve(char **arguments, const char *address, int port, int protocol) {
  int listener = stream_listen(address, port, protocol);
  ready();
  for (long left = option_number(arguments, "--connections", 1); left > 0; left--) {
    int fd = stream_accept(listener);
    if (option_flag(arguments, "--warm")) {
      receive_exactly(fd, warm_up);
      send_all(fd, warm_up);
      reset_unless_all(arguments);
    }
    exchange(fd, arguments, 0);
    close(fd);
  }
  truth_print("server");
}

static void call(char **arguments, const char *address, int port, int protocol) {
  int fd = stream_connect(address, port, protocol);
  const char *go = option_text(arguments, "--pause", NULL);
  if (go) {
    send_all(fd, warm_up);
    receive_exactly(fd, warm_up);
    ready();
    wait_for_file(go);
    reset_unless_all(arguments);
  }
  exchange(fd, arguments, 1);
  close(fd);
  truth_print("client");
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: stream serve|call ADDRESS PORT [OPTION...]\n");
    return 2;
  }
  int protocol = option_flag(arguments, "--mptcp") ? IPPROTO_MPTCP : IPPROTO_TCP;
  (strcmp(arguments[1], "serve") == 0 ? serve : call)(arguments + 4, arguments[2], atoi(arguments[3]), protocol);
}
