/*
 * raw MODE ADDRESS PEER [--mac MAC]: what is neither TCP nor UDP. Counts what the calls returned: with a raw IPv4 socket received
 * bytes have the IP header in them, with AF_PACKET/SOCK_RAW both directions have the link header.
 *   ping, ping-raw          echo requests to PEER (whose kernel answers), by an ICMP socket and by a raw one
 *   ip-send, ip-receive     IP protocol 253; ip-header-send writes the IPv4 header itself
 *   packet-send, packet-receive, packet-ring-send   frames of Ethertype 0x88b5 on eth0, to --mac
 *   packet-ip-send          IPv4 UDP datagrams in frames, past the IP layer of this host
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "sockets.h"
#include "truth.h"

enum { rounds = 20, payload_size = 600, test_protocol = 253, test_ethertype = 0x88b5 };

static char data[4096];

static void set_timeout(int fd) {
  struct timeval timeout = {.tv_sec = 30};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0)
    fail("SO_RCVTIMEO");
}

static unsigned short checksum(const void *bytes, size_t size) {
  unsigned sum = 0;
  for (size_t i = 0; i + 1 < size; i += 2)
    sum += *(const unsigned short *)((const char *)bytes + i);
  sum = (sum >> 16) + (sum & 0xffff);
  return ~(sum + (sum >> 16));
}

static void ping(const struct endpoint *peer, int type) {
  int six = peer->address.ss_family == AF_INET6;
  int fd = socket(peer->address.ss_family, type, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
  if (fd < 0)
    fail("ICMP socket");
  set_timeout(fd);
  struct icmphdr *request = (void *)data;
  for (int i = 0; i < rounds; i++) {
    *request = (struct icmphdr){.type = six ? ICMP6_ECHO_REQUEST : ICMP_ECHO, .un.echo = {.id = htons(77), .sequence = htons(i)}};
    request->checksum = six ? 0 : checksum(data, payload_size);
    if (count_sent(sendto(fd, data, payload_size, 0, address_of(peer), peer->length)) < 0)
      fail("send of an echo request");
    char answer[4096];
    const struct icmphdr *reply;
    do { /* a raw socket also sees what it did not ask for */
      if (count_received(recv(fd, answer, sizeof answer, 0)) < 0)
        fail("recv of an echo reply");
      reply = (void *)(answer + (type == SOCK_RAW && !six ? sizeof(struct iphdr) : 0));
    } while (reply->type != (six ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) || reply->un.echo.sequence != htons(i));
  }
}

static void ip_send(const struct endpoint *peer, int protocol) {
  int fd = socket(peer->address.ss_family, SOCK_RAW, protocol);
  for (int i = 0; i < rounds; i++)
    if (count_sent(sendto(fd, data, payload_size, 0, address_of(peer), peer->length)) < 0)
      fail("sendto");
}

static void fill_ip_header(struct iphdr *ip, size_t size, int protocol, const char *from, const char *to) {
  *ip = (struct iphdr){.version = 4, .ihl = 5, .tot_len = htons(size), .ttl = 64, .protocol = protocol};
  inet_pton(AF_INET, from, &ip->saddr);
  inet_pton(AF_INET, to, &ip->daddr);
  ip->check = checksum(ip, sizeof *ip);
}

static void ip_header_send(const struct endpoint *peer, const char *from, const char *to) {
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  for (int i = 0; i < rounds; i++) {
    fill_ip_header((void *)data, sizeof(struct iphdr) + payload_size, test_protocol, from, to);
    if (count_sent(sendto(fd, data, sizeof(struct iphdr) + payload_size, 0, address_of(peer), peer->length)) < 0)
      fail("sendto");
  }
}

static void receive_rounds(int fd, int expected) {
  set_timeout(fd);
  ready();
  for (int i = 0; i < expected; i++)
    if (count_received(recv(fd, data, sizeof data, 0)) < 0)
      fail("recv");
}

static struct sockaddr_ll link_address(int fd, const char *mac) {
  struct ifreq interface = {.ifr_name = "eth0"};
  if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &interface) < 0)
    fail("eth0");
  struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(test_ethertype), .sll_ifindex = interface.ifr_ifindex,
                             .sll_halen = ETH_ALEN};
  if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &link.sll_addr[0], &link.sll_addr[1], &link.sll_addr[2], &link.sll_addr[3],
             &link.sll_addr[4], &link.sll_addr[5]) != 6)
    memset(link.sll_addr, 0, ETH_ALEN);
  return link;
}

static void frame_header(char *frame, const struct sockaddr_ll *to, int ethertype) {
  struct ethhdr *header = (void *)frame;
  memcpy(header->h_dest, to->sll_addr, ETH_ALEN);
  memset(header->h_source, 0x02, ETH_ALEN);
  header->h_proto = htons(ethertype);
}

/* Half as whole frames, half with the kernel writing the link header (and not counting it). */
static void packet_send(const char *mac) {
  int whole = socket(AF_PACKET, SOCK_RAW, htons(test_ethertype)), cooked = socket(AF_PACKET, SOCK_DGRAM, htons(test_ethertype));
  struct sockaddr_ll to = link_address(whole, mac);
  frame_header(data, &to, test_ethertype);
  for (int i = 0; i < rounds; i++)
    if (count_sent(sendto(i % 2 ? cooked : whole, data, payload_size, 0, (struct sockaddr *)&to, sizeof to)) < 0)
      fail("sendto");
}

static void packet_receive(void) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(test_ethertype));
  struct sockaddr_ll here = link_address(fd, "");
  if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0)
    fail("bind to eth0");
  receive_rounds(fd, rounds);
}

/* A mapped transmit ring: the frames are memory, one send starts them all and returns their sum. */
static void packet_ring_send(const char *mac) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(test_ethertype));
  struct sockaddr_ll to = link_address(fd, mac);
  struct tpacket_req shape = {.tp_block_size = 1 << 16, .tp_block_nr = 1, .tp_frame_size = 2048, .tp_frame_nr = 32};
  set_option(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
  if (setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &shape, sizeof shape) < 0)
    fail("PACKET_TX_RING");
  char *ring = mmap(NULL, shape.tp_block_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (ring == MAP_FAILED || bind(fd, (struct sockaddr *)&to, sizeof to) < 0)
    fail("the ring");
  for (int i = 0; i < rounds; i++) {
    struct tpacket2_hdr *header = (void *)(ring + i * shape.tp_frame_size);
    frame_header((char *)header + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), &to, test_ethertype);
    header->tp_len = payload_size;
    header->tp_status = TP_STATUS_SEND_REQUEST;
  }
  if (count_sent(send(fd, NULL, 0, 0)) < 0)
    fail("send of the ring");
}

static void packet_ip_send(const char *mac, const char *from, const char *to) {
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  struct sockaddr_ll link = link_address(fd, mac);
  link.sll_protocol = htons(ETH_P_IP);
  frame_header(data, &link, ETH_P_IP);
  size_t size = sizeof(struct iphdr) + sizeof(struct udphdr) + payload_size;
  fill_ip_header((void *)(data + ETH_HLEN), size, IPPROTO_UDP, from, to);
  struct udphdr *udp = (void *)(data + ETH_HLEN + sizeof(struct iphdr));
  *udp = (struct udphdr){.source = htons(4000), .dest = htons(4001), .len = htons(sizeof *udp + payload_size)};
  for (int i = 0; i < rounds; i++)
    if (count_sent(sendto(fd, data, ETH_HLEN + size, 0, (struct sockaddr *)&link, sizeof link)) < 0)
      fail("sendto");
}

/* A plain UDP socket for packet-ip-send: it need not know how its datagrams were made. */
static void udp_receive(const char *address) { receive_rounds(datagram_bind(address, 4001), rounds); }

static void ip_receive(const char *address, int protocol) {
  struct endpoint at = endpoint_of(address, 0);
  int fd = socket(at.address.ss_family, SOCK_RAW, protocol);
  if (bind(fd, address_of(&at), at.length) < 0)
    fail("bind");
  receive_rounds(fd, rounds);
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: raw MODE ADDRESS PEER [--mac MAC]\n");
    return 2;
  }
  const char *mode = arguments[1], *address = arguments[2], *to = arguments[3], *mac = option_text(arguments, "--mac", "");
  struct endpoint peer = endpoint_of(to, 0);
  if (strcmp(mode, "ping") == 0)
    ping(&peer, SOCK_DGRAM);
  else if (strcmp(mode, "ping-raw") == 0)
    ping(&peer, SOCK_RAW);
  else if (strcmp(mode, "ip-send") == 0)
    ip_send(&peer, test_protocol);
  else if (strcmp(mode, "tcp-send") == 0) /* TCP itself drops them, as they are none */
    ip_send(&peer, IPPROTO_TCP);
  else if (strcmp(mode, "ip-header-send") == 0)
    ip_header_send(&peer, address, to);
  else if (strcmp(mode, "ip-receive") == 0)
    ip_receive(address, test_protocol);
  else if (strcmp(mode, "tcp-receive") == 0)
    ip_receive(address, IPPROTO_TCP);
  else if (strcmp(mode, "packet-send") == 0)
    packet_send(mac);
  else if (strcmp(mode, "packet-ring-send") == 0)
    packet_ring_send(mac);
  else if (strcmp(mode, "packet-receive") == 0)
    packet_receive();
  else if (strcmp(mode, "packet-ip-send") == 0)
    packet_ip_send(mac, address, to);
  else if (strcmp(mode, "udp-receive") == 0)
    udp_receive(address);
  else {
    errno = EINVAL;
    fail(mode);
  }
  truth_exit(strstr(mode, "receive") ? "server" : "client");
}
