/*
 * capture: what crosses eth0 until SIGTERM, counted at the IP layer, super-packets as the packets they become. One JSON
 * line: {"sentBytes", "sentPackets", "receivedBytes", "receivedPackets", "otherFrames"}; others are frames without IP.
 * PACKET_VNET_HDR tells the segment size, which a capture file does not have.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

static volatile sig_atomic_t ended;
static void end(int signal) { (void)signal, ended = 1; }

/* IP and transport header of a frame that will be cut: what each piece begins with. */
static unsigned repeated_header(const char *ip, unsigned gso_type) {
  unsigned network = (ip[0] & 0xf0) == 0x40 ? 4 * (ip[0] & 0xf) : sizeof(struct ip6_hdr);
  if ((gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4)
    return network + 8;
  const struct tcphdr *tcp = (const void *)(ip + network);
  return network + 4 * tcp->doff;
}

int main(void) {
  struct sigaction on_end = {.sa_handler = end};
  sigaction(SIGTERM, &on_end, NULL);
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0)
    fail("packet socket");
  set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
  set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20);
  struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex("eth0")};
  if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0)
    fail("bind to eth0");
  ready();

  unsigned long long bytes[2] = {0}, packets[2] = {0}, others = 0;
  for (;;) {
    struct {
      struct virtio_net_hdr offload;
      char frame[256];
    } __attribute__((packed)) data;
    struct sockaddr_ll link;
    socklen_t length = sizeof link;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, ended ? 0 : 1000) <= 0) {
      if (ended)
        break;
      continue;
    }
    ssize_t size = recvfrom(fd, &data, sizeof data, MSG_TRUNC, (struct sockaddr *)&link, &length);
    if (size < 0)
      fail("recvfrom");
    int sent = link.sll_pkttype == PACKET_OUTGOING;
    if (link.sll_protocol != htons(ETH_P_IP) && link.sll_protocol != htons(ETH_P_IPV6)) {
      others++;
      continue;
    }
    unsigned long long ip_bytes = size - sizeof data.offload - ETH_HLEN, pieces = 1;
    if (data.offload.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
      unsigned header = repeated_header(data.frame + ETH_HLEN, data.offload.gso_type);
      pieces = (ip_bytes - header + data.offload.gso_size - 1) / data.offload.gso_size;
      ip_bytes += (pieces - 1) * header;
    }
    bytes[sent] += ip_bytes;
    packets[sent] += pieces;
  }
  struct tpacket_stats seen;
  socklen_t length = sizeof seen;
  if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &seen, &length) < 0 || seen.tp_drops > 0) {
    errno = ENOBUFS;
    fail("frames were lost");
  }
  printf("{\"sentBytes\":%llu,\"sentPackets\":%llu,\"receivedBytes\":%llu,\"receivedPackets\":%llu,\"otherFrames\":%llu}\n", bytes[1],
         packets[1], bytes[0], packets[0], others);
}
