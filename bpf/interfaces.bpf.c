// SPDX-License-Identifier: GPL-2.0-only
/*
 * What passed each interface? The second entry of the double entry: every packet as it is handed to
 * and from a device driver, in every network namespace, whether it has a socket or not. Compared with
 * the interface's own counters it proves that nothing passed unseen; less what the sockets claim
 * (wire.bpf.c) it leaves the kernel's own share.
 *
 * Hooks:  tp_btf/net_dev_start_xmit, tp_btf/netif_receive_skb; tp_btf/kfree_skb for what never got there.
 * Cost:   one per-CPU array look-up and some plain additions a packet.
 * Blind:  AF_XDP zero-copy and XDP redirection pass no skb; what AF_XDP sends otherwise, and AF_PACKET past the queueing
 *         discipline (PACKET_QDISC_BYPASS), passes no tracepoint.
 */

#define PACKET_LOOPBACK 5

static __always_inline void name_interface(struct rl_interface_key *key, struct net_device *dev)
{
	struct rl_interface_name name = {
		.netns = BPF_CORE_READ(dev, nd_net.net, ns.inum),
		.type = BPF_CORE_READ(dev, type),
		.hard_header_length = BPF_CORE_READ(dev, hard_header_len),
	};
	BPF_CORE_READ_INTO(&name.name, dev, name);
	const char *driver = BPF_CORE_READ(dev, dev.parent, driver, name);
	if (driver)
		bpf_probe_read_kernel_str(name.driver, sizeof(name.driver), driver);
	const char *kind = BPF_CORE_READ(dev, rtnl_link_ops, kind);
	if (kind)
		bpf_probe_read_kernel_str(name.kind, sizeof(name.kind), kind);
	if (bpf_map_update_elem(&interface_names, key, &name, BPF_ANY))
		count_lost(RL_LOST_INTERFACE);
}

static __always_inline bool same_interface(const struct rl_interface *line, const struct rl_interface_key *key)
{
	return line->key.net_cookie == key->net_cookie && line->key.ifindex == key->ifindex;
}

/* The rest of the set; takes an empty line for an interface that has none on this CPU yet. */
static __noinline struct rl_interface *find_interface(struct net_device *dev, __u32 first)
{
	struct rl_interface_key key = {
		.net_cookie = BPF_CORE_READ(dev, nd_net.net, net_cookie),
		.ifindex = BPF_CORE_READ(dev, ifindex),
	};
	struct rl_interface *empty = NULL;

	for (__u32 way = 0; way < RL_INTERFACE_WAYS; way++) {
		__u32 index = first + way;
		struct rl_interface *line = bpf_map_lookup_elem(&interfaces, &index);
		if (!line)
			return NULL;
		if (same_interface(line, &key))
			return line;
		if (!empty && !line->key.net_cookie)
			empty = line;
	}
	if (!empty)
		return NULL;
	empty->key = key;
	name_interface(&key, dev);
	return empty;
}

static __always_inline struct rl_interface *get_interface(struct net_device *dev)
{
	struct rl_interface_key key = {
		.net_cookie = dev->nd_net.net->net_cookie,
		.ifindex = dev->ifindex,
	};
	__u32 set = (key.net_cookie * 31 + key.ifindex) % RL_INTERFACE_SETS;
	__u32 first = set * RL_INTERFACE_WAYS;
	struct rl_interface *line = bpf_map_lookup_elem(&interfaces, &first);
	return line && same_interface(line, &key) ? line : find_interface(dev, first);
}

struct super_packet {
	__u16 size; /* of a segment's payload; 0: it is a packet like any other */
	__u16 segments;
};

static __always_inline struct super_packet read_super_packet(struct sk_buff *skb)
{
	struct skb_shared_info *shared = (void *)(skb->head + skb->end);
	struct super_packet super = {};

	if (bpf_rdonly_cast) { /* kernel 6.2; costs no call */
		shared = bpf_rdonly_cast(shared, bpf_core_type_id_kernel(struct skb_shared_info));
		super.size = shared->gso_size;
		if (super.size)
			super.segments = shared->gso_segs;
	} else {
		super.size = BPF_CORE_READ(shared, gso_size);
		super.segments = BPF_CORE_READ(shared, gso_segs);
	}
	return super;
}

/* A byte of a header, wherever that is. */
static __always_inline __u8 byte_at(const unsigned char *at)
{
	__u8 byte = 0;

	if (bpf_rdonly_cast)
		return *(const __u8 *)bpf_rdonly_cast(at, bpf_core_type_id_kernel(struct ipv6hdr));
	bpf_probe_read_kernel(&byte, 1, at);
	return byte;
}

/* Where the packet's data begins in its buffer; kept 64 bits wide, as the verifier has it for pointers. */
static __always_inline __u32 data_offset(struct sk_buff *skb)
{
	__u64 offset = (__u64)skb->data - (__u64)skb->head;
	barrier_var(offset);
	return offset;
}

/* As segment_header() in wire.bpf.c, where the headers are known to be in the linear part, but not to the verifier. */
static __always_inline __u32 device_segment_header(const unsigned char *ip_header, struct packet *packet)
{
	__u8 first = byte_at(ip_header);
	__u32 ip = IPV6_HEADER;
	__u32 at = IPV6_HEADER;
	__u8 next;

	if (first >> 4 == 4) {
		at = ip = (first & 0xf) * 4;
		next = byte_at(ip_header + 9);
	} else {
		next = byte_at(ip_header + 6);
		if (next == IPPROTO_HOPOPTS) {
			packet->bytes -= JUMBO_OPTION;
			at += JUMBO_OPTION;
			next = IPPROTO_TCP;
		}
	}
	if (next != IPPROTO_TCP)
		return ip + UDP_HEADER;
	return ip + (byte_at(ip_header + at + 12) >> 4) * 4;
}

static __always_inline bool has_tag(struct sk_buff *skb)
{
	if (bpf_core_field_exists(skb->vlan_all)) /* kernel 6.2 */
		return skb->vlan_all & 0xffff0000;
	return BPF_CORE_READ_BITFIELD_PROBED((struct sk_buff___before_6_2 *)skb, vlan_present);
}

static __always_inline bool is_ip(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_IP) || protocol == bpf_htons(ETH_P_IPV6);
}

/*
 * The counters are per CPU and need no atomics: both hooks run with bottom halves off, so that one
 * run never interrupts another on the same CPU.
 */
static __always_inline struct packet count_device(struct sk_buff *skb, struct rl_interface_direction *d, __u32 link_header,
						  __u32 length, const unsigned char *network)
{
	struct packet packet = {.bytes = length - link_header, .packets = 1};
	__be16 protocol = skb->protocol;
	__u64 tag = has_tag(skb) ? 4 : 0; /* carried beside the packet, yet counted by the driver */
	struct super_packet super = read_super_packet(skb);

	d->device_bytes += length + tag;
	d->device_packets += 1;
	if (!is_ip(protocol)) {
		d->segmented_bytes += length + tag;
		d->non_ip.bytes += packet.bytes;
		d->non_ip.packets += 1;
		return packet;
	}
	if (super.size) {
		__u32 header = device_segment_header(network, &packet);
		segment(&packet, header, super.size, super.segments);
	}
	d->segmented_bytes += packet.bytes + packet.packets * (link_header + tag);
	d->ip.bytes += packet.bytes;
	d->ip.packets += packet.packets;
	return packet;
}

/* AF_PACKET sends pass no IP layer of ours; they are charged here, by the socket's owner. */
static __noinline int count_packet_socket(struct sock *sk, __u64 bytes, __u64 packets)
{
	struct rl_socket *s;

	if (!sk)
		return 0;
	s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s) {
		count_lost(RL_LOST_SOCKET);
		return 0;
	}
	if (s->claim == RL_CLAIM_NONE) {
		__u32 slot = current_slot();
		struct rl_process *p = get_process(slot);
		if (slot == KERNEL_SLOT || !p)
			return 0;
		s->protocol = RL_OTHER;
		claim(s, slot, p, RL_CLAIM_CREATED);
	}
	struct rl_process *p = get_process(s->owner);
	if (p && p->generation == s->owner_generation)
		count_wire(p, RL_TX, bytes, packets);
	return 0;
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(net_dev_start_xmit, struct sk_buff *skb, struct net_device *dev)
{
	struct rl_interface *interface = get_interface(dev);
	if (!interface) {
		count_lost(RL_LOST_INTERFACE);
		return 0;
	}
	struct rl_interface_direction *d = &interface->direction[RL_TX];
	__u16 network = skb->network_header;
	struct packet packet = count_device(skb, d, network - data_offset(skb), skb->len, skb->head + network);
	struct sock *sk = skb->sk;
	if (!sk) {
		if (skb->skb_iif) {
			d->forwarded.bytes += packet.bytes;
			d->forwarded.packets += packet.packets;
		}
	} else if (sk->__sk_common.skc_family == AF_PACKET && is_ip(skb->protocol)) {
		count_packet_socket(sk, packet.bytes, packet.packets);
	}
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(netif_receive_skb, struct sk_buff *skb)
{
	struct rl_interface *interface = get_interface(skb->dev);
	if (!interface) {
		count_lost(RL_LOST_INTERFACE);
		return 0;
	}
	__u16 link = skb->mac_header;
	__u32 link_header = link == 0xffff ? 0 : data_offset(skb) - link;
	struct rl_interface_direction *d = &interface->direction[RL_RX];
	struct packet packet = count_device(skb, d, link_header, skb->len + link_header, skb->data);
	if (!link_header && BPF_CORE_READ_BITFIELD_PROBED(skb, pkt_type) == PACKET_LOOPBACK) {
		d->device_bytes -= skb->len;
		d->device_packets -= 1;
		d->segmented_bytes -= packet.bytes;
		d->looped_packets += packet.packets;
	}
	return 0;
}

/* Whether another program has, where skb_egress had charged it; before kernel 6.2 its own refusals can't be told. */
static __always_inline bool is_refused_by_another(struct sk_buff *skb, enum skb_drop_reason reason)
{
	__u32 zero = 0;

	if (!bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_BPF_CGROUP_EGRESS) ||
	    reason != bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_BPF_CGROUP_EGRESS) ||
	    !bpf_cast_to_kern_ctx)
		return false;
	__u64 *refused = bpf_map_lookup_elem(&refused_packet, &zero);
	if (!refused || *refused != (__u64)skb)
		return true;
	*refused = 0;
	return false;
}

/*
 * Dropped between the IP layer, where skb_egress has charged it, and the device: no neighbour answered, or
 * the queue was full. TCP sends such a packet again and is charged again. The reasons for this stretch of the
 * way lie together in the enum since kernel 5.17: from NEIGH_CREATEFAIL to before CPU_BACKLOG.
 */
static __always_inline bool is_on_its_way(enum skb_drop_reason reason)
{
	return reason >= bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NEIGH_CREATEFAIL) &&
	       reason < bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_CPU_BACKLOG);
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(kfree_skb, struct sk_buff *skb, void *location, enum skb_drop_reason reason)
{
	if (!is_on_its_way(reason) && !is_refused_by_another(skb, reason))
		return 0;
	struct sock *sk = skb->sk;
	__be16 protocol = skb->protocol;
	if (!sk || !is_ip(protocol))
		return 0;
	__u16 family = sk->__sk_common.skc_family;
	if (family != AF_INET && family != AF_INET6)
		return 0;

	struct packet packet = {.bytes = skb->len - (__u32)(skb->network_header - data_offset(skb)), .packets = 1};
	struct super_packet super = read_super_packet(skb);
	if (super.size) {
		__u32 header = device_segment_header(skb->head + skb->network_header, &packet);
		segment(&packet, header, super.size, super.segments);
	}
	struct rl_socket *s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct rl_process *p = s ? get_process(s->owner) : NULL;
	if (p && s->owner != KERNEL_SLOT && p->generation == s->owner_generation)
		add_wire(&p->unsent, packet.bytes, packet.packets);
	else
		count_unattributed(RL_UNSENT, RL_TX, packet.bytes, packet.packets);
	return 0;
}
