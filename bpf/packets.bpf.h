/* SPDX-License-Identifier: GPL-2.0-only */
/* What the headers of a packet at a cgroup_skb hook say: it begins with its IP header there. */

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define JUMBO_OPTION 8 /* TCP's super-packets over 64 KB over IPv6 */

/* Where the transport header begins, and the packet's other end. */
struct ends {
	__u32 transport;
	__u8 protocol;
	__u8 address[16] __attribute__((aligned(4))); /* network byte order; IPv4 as v4-mapped IPv6 */
};

/* Into zeroed `ends`. */
static __always_inline bool read_ends(struct __sk_buff *skb, enum rl_direction direction, struct ends *ends)
{
	__u8 first;

	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return false;
	if (first >> 4 == 4) {
		ends->transport = (first & 0xf) * 4;
		ends->address[10] = ends->address[11] = 0xff;
		return !bpf_skb_load_bytes(skb, 9, &ends->protocol, 1) &&
		       !bpf_skb_load_bytes(skb, direction == RL_RX ? 12 : 16, ends->address + 12, 4);
	}
	ends->transport = IPV6_HEADER;
	if (bpf_skb_load_bytes(skb, 6, &ends->protocol, 1) ||
	    bpf_skb_load_bytes(skb, direction == RL_RX ? 8 : 24, ends->address, 16))
		return false;
	if (ends->protocol == IPPROTO_HOPOPTS) {
		ends->transport += JUMBO_OPTION;
		ends->protocol = IPPROTO_TCP;
	}
	return true;
}

/* The other end's port, of TCP and UDP. */
static __always_inline bool read_port(struct __sk_buff *skb, enum rl_direction direction, const struct ends *ends,
				      __u16 *port)
{
	__be16 read;

	if (bpf_skb_load_bytes(skb, ends->transport + (direction == RL_RX ? 0 : 2), &read, 2))
		return false;
	*port = bpf_ntohs(read);
	return true;
}
