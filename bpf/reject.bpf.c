// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refuses who calls where a policy rejects: a connection is reset, as by a closed port, and a stranger's datagram is
 * answered by the ICMP error for one. The kernel sends both by itself, as it is told that nobody listens there.
 *
 * Hooks:  sk_lookup, attached to each network namespace that has such a listener, while there is one. The program can't
 *         tell in which namespace it runs (kernel 6.18), so each has its own copy with the number in `reject_netns`.
 *         note_listener(), by owners.bpf.c when a socket listens, and by pacing.bpf.c for those that did before.
 *         iter/udp, on request, in one network namespace at a time: which UDP sockets are bound where.
 * Cost:   a hash look-up for each packet that looks for a listener or for an unconnected UDP socket, in those
 *         namespaces only; two more for the datagrams that come to a socket that rejects.
 * Blind:  where others listen on the same port, who comes to the rejected listener is dropped instead (deny.bpf.c), as
 *         nothing tells here to whom a caller would come; so are datagrams to a UDP socket that was bound since the
 *         agent last looked, at most half a second ago. Where no agent runs, a namespace that has had no such listener
 *         before drops instead.
 */

const volatile __u32 reject_netns = 0;

enum { SK_DROP_LOOKUP = 0, SK_PASS_LOOKUP = 1 };

/* The agent notes listeners after a policy has changed: what the policy says now decides. */
static __always_inline int reject(__u32 number, __u32 port)
{
	struct rl_policy *policy = get_policy(number);
	if (!policy || !rejects_at(policy, port))
		return SK_PASS_LOOKUP;
	__sync_fetch_and_add(&policy->allowances[RL_RX].denied_packets, 1);
	policy->allowances[RL_RX].last_held_back_ns = bpf_ktime_get_ns();
	return SK_DROP_LOOKUP;
}

/* Who was sent to from there is no stranger. */
static __always_inline bool is_known(struct bpf_sk_lookup *ctx, struct rl_datagram_socket *socket)
{
	struct rl_peer_key peer = {.cookie = socket->cookie, .slot = socket->slot, .port = bpf_ntohs(ctx->remote_port)};
	/* Volatile: the compiler would choose one of two addresses first, and the verifier takes no changed context. */
	const volatile struct bpf_sk_lookup *context = ctx;
	__be32 ip4 = context->remote_ip4;
	__be32 address[4] = {context->remote_ip6[0], context->remote_ip6[1], context->remote_ip6[2], context->remote_ip6[3]};

	if (ctx->family == AF_INET) {
		address[0] = address[1] = 0;
		address[2] = bpf_htonl(0xffff);
		address[3] = ip4;
	}
	__builtin_memcpy(peer.address, address, sizeof(address));
	__u64 *flow = bpf_map_lookup_elem(&peer_flows, &peer);
	struct rl_flow *f = flow ? get_flow(*flow) : NULL;
	return f && f->sent;
}

static __always_inline int reject_datagram(struct bpf_sk_lookup *ctx)
{
	struct rl_datagram_port place = {.netns = reject_netns, .port = ctx->local_port, .family = ctx->family};
	struct rl_datagram_socket *socket = bpf_map_lookup_elem(&rejected_datagrams, &place);

	if (!socket || socket->shared)
		return SK_PASS_LOOKUP;
	struct rl_process *p = get_process(socket->slot);
	if (!p || p->generation != socket->generation || is_known(ctx, socket))
		return SK_PASS_LOOKUP;
	__u32 number = rejecting_policy(p->policies, place.port);
	return number ? reject(number, place.port) : SK_PASS_LOOKUP;
}

SEC("sk_lookup")
int reject_lookup(struct bpf_sk_lookup *ctx)
{
	struct rl_listener listener = {.netns = reject_netns, .port = ctx->local_port};

	if (ctx->protocol == IPPROTO_UDP)
		return reject_datagram(ctx);
	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS_LOOKUP;
	struct rl_rejection *rejection = bpf_map_lookup_elem(&rejected_listeners, &listener);
	return rejection && rejection->others <= 0 ? reject(rejection->policy, listener.port) : SK_PASS_LOOKUP;
}

static __always_inline void note_datagrams_of(struct rl_socket *s, struct rl_datagram_port *place, __u64 cookie,
					      bool rejects)
{
	struct rl_datagram_socket *noted = bpf_map_lookup_elem(&rejected_datagrams, place);
	struct rl_datagram_socket fresh = {.cookie = cookie, .slot = s->owner, .generation = s->owner_generation};

	if (noted && noted->cookie != cookie) {
		noted->shared = 1;
	} else if (noted && rejects) {
		noted->slot = s->owner;
		noted->generation = s->owner_generation;
	} else if (noted) {
		bpf_map_delete_elem(&rejected_datagrams, place);
	} else if (rejects) {
		s->noted_in = place->netns;
		s->noted_port = place->port;
		bpf_map_update_elem(&rejected_datagrams, place, &fresh, BPF_NOEXIST);
	}
}

SEC("iter/udp")
int note_datagrams(struct bpf_iter__udp *ctx)
{
	struct udp_sock *udp = ctx->udp_sk;
	if (!udp)
		return 0;
	struct sock_common *common = (void *)udp;
	/* A connected socket hears nobody but its peer. */
	if (common->skc_dport || !common->skc_num)
		return 0;
	struct rl_socket *s = bpf_sk_storage_get(&sockets, udp, 0, 0);
	if (!s)
		return 0;
	__u64 cookie = bpf_get_socket_cookie(udp);
	bool rejects = rejecting_policy(held_to_by_owner(s), common->skc_num);
	struct rl_datagram_port place = {
		.netns = common->skc_net.net->ns.inum,
		.port = common->skc_num,
		.family = common->skc_family,
	};
	note_datagrams_of(s, &place, cookie, rejects);
	if (place.family != AF_INET6 || BPF_CORE_READ_BITFIELD(common, skc_ipv6only))
		return 0;
	place.family = AF_INET;
	note_datagrams_of(s, &place, cookie, rejects);
	return 0;
}
