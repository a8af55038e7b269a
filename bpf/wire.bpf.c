// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which packets crossed the IP layer, and whose are they? Headers and retransmissions in, link header
 * out, super-packets (GSO, GRO) and fragments as the packets they become on the wire.
 *
 * Hooks:  cgroup_skb/ingress and cgroup_skb/egress on the root cgroup: every IPv4 and IPv6 packet that
 *         has a socket, in every network namespace.
 * Cost:   no call, an array look-up and two atomic additions a packet; a call and a socket storage look-up more where the
 *         packet needs a second look.
 * Blind:  packets without a socket (forwarded, TIME_WAIT, closed ports): interfaces.bpf.c has them.
 */

#define IPV6_FRAGMENT_HEADER 8
#define UNCUT 552 /* net.ipv4.route.min_pmtu: no router gets a packet cut smaller */
#define RTAX_MTU 2
#define SKB_DST_NOREF 1UL
#define DST_METRICS_FLAGS 3UL

struct packet {
	__u64 bytes;
	__u64 packets;
};

/*
 * IP and transport header of a super-packet: what each further segment repeats. 0 if it can't be read. The packet
 * begins with its IP header here, and the headers lie in its linear part: TCP and UDP have pulled or pushed them.
 */
static __always_inline __u32 segment_header(struct __sk_buff *skb, struct packet *packet)
{
	const __u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 ip = IPV6_HEADER;
	__u8 next;

	if (data + IPV4_HEADER > end)
		return 0;
	if (data[0] >> 4 == 4) {
		ip = (data[0] & 0xf) * 4;
		next = data[9];
	} else {
		next = data[6];
		if (next == IPPROTO_HOPOPTS) { /* over 64 KB: a jumbo option of 8 bytes, which the segments do not have */
			packet->bytes -= JUMBO_OPTION;
			data += JUMBO_OPTION;
			next = IPPROTO_TCP;
		}
	}
	if (next != IPPROTO_TCP)
		return ip + UDP_HEADER;
	data += ip;
	if (data + 13 > end)
		return 0;
	return ip + (data[12] >> 4) * 4;
}

static __always_inline void segment(struct packet *packet, __u32 header, __u32 gso_size, __u32 gso_segs)
{
	if (!header || packet->bytes <= header || !gso_size)
		return;
	/* A virtual machine's host hands over gso_size without gso_segs. */
	__u64 segments = gso_segs ? gso_segs : (packet->bytes - header + gso_size - 1) / gso_size;
	packet->bytes += (segments - 1) * header;
	packet->packets = segments;
}

/* `limit` is the size of the largest fragment, IP header included. */
static __always_inline void fragment(struct packet *packet, bool ip4, __u32 limit)
{
	__u32 header = ip4 ? IPV4_HEADER : IPV6_HEADER;
	__u32 repeated = ip4 ? IPV4_HEADER : IPV6_HEADER + IPV6_FRAGMENT_HEADER;
	if (packet->bytes <= limit || limit <= repeated + 8)
		return;
	__u32 last = limit - repeated; /* only the last one's length need not be a multiple of 8 */
	__u32 room = last & ~7U;
	__u64 data = packet->bytes - header;
	__u64 fragments = 1 + (data - last + room - 1) / room;
	/* Each fragment carries a whole header of its own; in IPv6 the first one gains its fragment header too. */
	packet->bytes = data + fragments * repeated;
	packet->packets = fragments;
}

/* What the IP layer cuts a packet to: the device's MTU, the route's, or what a router on the path has asked for. */
static __noinline __u32 limit_of_route(struct sk_buff *skb, bool ip4)
{
	__u32 limit = skb->dev->mtu;
	void *address = (void *)(skb->_skb_refdst & ~SKB_DST_NOREF);
	struct rtable *route = bpf_rdonly_cast(address, bpf_core_type_id_kernel(struct rtable));
	void *metrics = (void *)(route->dst._metrics & ~DST_METRICS_FLAGS);
	__u32 asked = ((struct dst_metrics *)bpf_rdonly_cast(metrics, bpf_core_type_id_kernel(struct dst_metrics)))
			      ->metrics[RTAX_MTU - 1];
	if (ip4) { /* IPv6 keeps it with the other metrics */
		__u32 learnt = BPF_CORE_READ_BITFIELD(route, rt_pmtu);
		if (learnt && (__s64)(bpf_jiffies64() - route->dst.expires) < 0)
			asked = learnt;
	}
	return asked ? asked : limit;
}

static __always_inline void measure(struct __sk_buff *skb, enum rl_direction direction, struct packet *packet)
{
	bool ip4 = skb->protocol == bpf_htons(ETH_P_IP);

	packet->bytes = skb->len;
	packet->packets = 1;
	if (skb->gso_size) {
		__u32 header = segment_header(skb, packet);
		segment(packet, header, skb->gso_size, skb->gso_segs);
		return;
	}
	if (!bpf_cast_to_kern_ctx)
		return;
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);
	if (direction == RL_TX) {
		if (packet->bytes > UNCUT) {
			__u32 limit = limit_of_route(kernel_skb, ip4);
			fragment(packet, ip4, limit);
		}
		return;
	}
	if (packet->bytes <= UNCUT)
		return;
	/* Reassembled: the IP layer left the largest fragment's size in its control block. */
	__u16 largest;
	if (ip4) {
		struct inet_skb_parm *control = bpf_rdonly_cast(&kernel_skb->cb, bpf_core_type_id_kernel(struct inet_skb_parm));
		largest = control->frag_max_size;
	} else {
		struct inet6_skb_parm *control = bpf_rdonly_cast(&kernel_skb->cb, bpf_core_type_id_kernel(struct inet6_skb_parm));
		largest = control->frag_max_size;
	}
	if (largest)
		fragment(packet, ip4, largest);
}

/*
 * A packet of a connection that was inherited from its listener and not touched yet: it waits on the
 * socket, for some seconds. MPTCP's subflows are only ever touched through their connection.
 */
static __noinline int wait_for_owner(struct rl_socket *s, enum rl_direction direction, __u64 bytes, __u64 packets)
{
	if (!s)
		return 0;
	__u16 now = bpf_ktime_get_boot_ns() >> 24 | 1; /* never 0 */
	if (!s->pending_since)
		s->pending_since = now;
	count_unattributed(RL_UNCLAIMED, direction, bytes, packets); /* first: what settle_pending() takes off is there */
	add_wire(&s->pending[direction], bytes, packets);
	/* Somebody may have claimed the socket, and taken what was pending, while this was being added. */
	bool claimed = *(volatile __u8 *)&s->claim != RL_CLAIM_LISTENER;
	if (claimed || (__u16)(now - s->pending_since) > UNCLAIMED_PATIENCE) {
		struct rl_process *p = get_process(s->owner);
		if (p && p->generation == s->owner_generation)
			claim(s, s->owner, p, RL_CLAIM_TOUCHED);
	}
	return 0;
}

/*
 * An MPTCP subflow is the kernel's own socket; what a process holds, and touches, is the connection. The helper takes a raw
 * socket with TCP's number for one of TCP, reads past its end, and on 6.1 brings the kernel down: the socket that resets are
 * sent by is one.
 */
static __always_inline __u32 mptcp_owner(struct bpf_sock *sk)
{
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_skc_to_mptcp_sock)) /* kernel 5.19 */
		return KERNEL_SLOT;
	struct bpf_sock *full = bpf_sk_fullsock(sk);
	if (!full || full->type != SOCK_STREAM)
		return KERNEL_SLOT;
	struct mptcp_sock *connection = bpf_skc_to_mptcp_sock(sk);
	struct rl_socket *s = connection ? bpf_sk_storage_get(&sockets, connection, 0, 0) : NULL;
	if (!s || s->claim == RL_CLAIM_NONE || s->claim == RL_CLAIM_LISTENER)
		return KERNEL_SLOT;
	struct rl_process *p = get_process(s->owner);
	return p && p->generation == s->owner_generation ? s->owner : KERNEL_SLOT;
}

/* Who sent this datagram: its reader won't ask. */
static __noinline int note_sender(struct __sk_buff *skb, struct rl_socket *s)
{
	struct ends ends = {};
	__u16 port;

	if (!s || !read_ends(skb, RL_RX, &ends) || ends.protocol != IPPROTO_UDP || !read_port(skb, RL_RX, &ends, &port))
		return 0;
	if (s->peer_port == port && same_address(s->peer_address, ends.address))
		return 0; /* the reader, on another CPU, keeps the line */
	__builtin_memcpy(s->peer_address, ends.address, 16);
	s->peer_port = port;
	return 0;
}

enum { COUNTED = -1, WAITS = 1 << 30 };

/*
 * Whose is a packet, where a glimpse does not tell? The slot of its process; COUNTED where it has none, and is in the
 * kernel's row now, or waits on its socket; WAITS and the slot of the listener's process where it is to wait, too, but
 * policies of that process may hold it: until it is touched, a connection is held as the process's that it came to.
 */
static __noinline int find_owner(struct __sk_buff *skb, enum rl_direction direction, __u64 bytes, __u64 packets)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return COUNTED;
	struct rl_socket *s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	bool is_owned = s && s->owner != KERNEL_SLOT;
	if (!is_owned || (s->claim == RL_CLAIM_LISTENER && sk->state != TCP_LISTEN)) {
		__u32 slot = mptcp_owner(sk);
		struct rl_process *p = get_process(slot);
		if (slot != KERNEL_SLOT && p) {
			if (is_owned)
				claim(s, slot, p, RL_CLAIM_TOUCHED);
			return slot;
		}
		if (!is_owned) {
			bool is_claimed = s && s->claim != RL_CLAIM_NONE;
			count_unattributed(is_claimed ? RL_TABLE_FULL : RL_KERNEL_SOCKET, direction, bytes, packets);
			return COUNTED;
		}
		struct rl_process *listener = get_process(s->owner);
		if (listener && listener->generation == s->owner_generation && listener->policies)
			return s->owner | WAITS;
		wait_for_owner(s, direction, bytes, packets);
		return COUNTED;
	}
	if (direction == RL_RX && s->nameless)
		note_sender(skb, s);
	struct rl_process *p = get_process(s->owner);
	if (p && p->generation == s->owner_generation)
		return s->owner;
	count_unattributed(RL_LATE, direction, bytes, packets);
	return COUNTED;
}

/* What rl_socket begins with. */
struct glimpse {
	__u32 owner;
	__u32 owner_generation;
	__u8 claim;
	__u8 nameless;
};

/*
 * What a packet needs of its socket, read where the kernel keeps it: the helper's calls cost as much as all else together.
 * False where it has to be called: the kernel is older than 6.2, or the storage isn't in the socket's cache of storages.
 */
static __always_inline bool glimpse(struct __sk_buff *skb, struct glimpse *seen)
{
	if (!bpf_cast_to_kern_ctx || !bpf_rdonly_cast)
		return false;
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);
	struct sock *sk = kernel_skb->sk;
	if (!sk)
		return false;
	struct bpf_local_storage *storage = sk->sk_bpf_storage;
	if (!storage)
		return false;
	struct bpf_local_storage_map *map = (void *)&sockets;
	__u64 place = (__u64)storage + sizeof(void *) * map->cache_idx; /* the verifier takes no index that varies */
	storage = bpf_rdonly_cast((void *)place, bpf_core_type_id_kernel(struct bpf_local_storage));
	struct bpf_local_storage_data *data = storage->cache[0];
	if ((__u64)data->smap != (__u64)map)
		return false;
	/* Any type of the kernel's that begins with two numbers of 64 bits. */
	struct timespec64 *words = bpf_rdonly_cast(&data->data, bpf_core_type_id_kernel(struct timespec64));
	__u64 owner = words->tv_sec, about = words->tv_nsec;
	seen->owner = owner;
	seen->owner_generation = owner >> 32;
	seen->claim = about >> 8 * (offsetof(struct rl_socket, claim) - sizeof(owner));
	seen->nameless = about >> 8 * (offsetof(struct rl_socket, nameless) - sizeof(owner));
	return true;
}

/* The process whose packet it is, and its slot; NULL where find_owner() has to look. */
static __always_inline struct rl_process *glimpse_owner(struct __sk_buff *skb, enum rl_direction direction, __u32 *slot)
{
	struct glimpse seen;

	if (!glimpse(skb, &seen) || seen.owner == KERNEL_SLOT || seen.claim == RL_CLAIM_LISTENER ||
	    (direction == RL_RX && seen.nameless))
		return NULL;
	struct rl_process *p = get_process(seen.owner);
	*slot = seen.owner;
	return p && p->generation == seen.owner_generation ? p : NULL;
}

/*
 * What the packet of a known owner whom no policy holds needs lies in one piece, without a call, as super-packets push the
 * programs out of the nearest cache, too.
 */
static __always_inline int count_packet(struct __sk_buff *skb, enum rl_direction direction)
{
	struct packet packet;
	__u32 slot = KERNEL_SLOT;

	measure(skb, direction, &packet);
	struct rl_process *p = glimpse_owner(skb, direction, &slot);
	if (likely(p && !p->policies)) {
		count_wire(p, direction, packet.bytes, packet.packets);
		return PASS;
	}
	int owner = p ? (int)slot : find_owner(skb, direction, packet.bytes, packet.packets);
	if (owner == COUNTED)
		return PASS;
	p = get_process(owner & ~WAITS); /* anew, so that the verifier follows what comes once */
	if (!p)
		return PASS;
	int verdict = PASS;
	struct bpf_sock *sk = skb->sk;
	if (p->policies && sk) {
		struct rl_socket *s = bpf_sk_storage_get(&sockets, sk, 0, 0);
		if (s)
			verdict = hold_packet(skb, s, p->policies, direction);
		if (!(verdict & PASS)) /* it never crosses the IP layer */
			return direction == RL_TX ? verdict : DROP;
		if (owner & WAITS) {
			wait_for_owner(s, direction, packet.bytes, packet.packets);
			return direction == RL_TX ? verdict : PASS;
		}
	}
	count_wire(p, direction, packet.bytes, packet.packets);
	return direction == RL_TX ? verdict : PASS;
}

SEC("cgroup_skb/ingress")
int skb_ingress(struct __sk_buff *skb)
{
	return count_packet(skb, RL_RX);
}

/* For kfree_skb, which takes off again what other programs at this hook refuse after it was charged here. */
static __noinline int note_refused(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *refused = bpf_map_lookup_elem(&refused_packet, &zero);

	if (refused && bpf_cast_to_kern_ctx)
		*refused = (__u64)bpf_cast_to_kern_ctx(skb);
	return 0;
}

SEC("cgroup_skb/egress")
int skb_egress(struct __sk_buff *skb)
{
	int verdict = count_packet(skb, RL_TX);

	if (!(verdict & PASS))
		note_refused(skb);
	return verdict;
}
