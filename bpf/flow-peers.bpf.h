/* SPDX-License-Identifier: GPL-2.0-only */
/* Which flow is an event of: with whom does the socket speak, and for which process? */

static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

static __always_inline void fold_address(__u8 *out, struct sock *sk, bool remote)
{
	__be32 address[4] = {0, 0, bpf_htonl(0xffff), 0};

	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		address[3] = remote ? BPF_CORE_READ(sk, __sk_common.skc_daddr) : BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	else if (remote)
		BPF_CORE_READ_INTO(&address, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
	else
		BPF_CORE_READ_INTO(&address, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
	__builtin_memcpy(out, address, 16);
}

/* All connections to one service on the loopback are one host, and so is each AF_UNIX socket. */
static __always_inline __u64 host_of(struct rl_flow *f)
{
	if (f->family == AF_UNIX)
		return mix(f->local_socket);
	__u64 high, low, port = 0;
	__builtin_memcpy(&high, f->remote_address, 8);
	__builtin_memcpy(&low, f->remote_address + 8, 8);
	if (f->scope == RL_LOOPBACK)
		port = f->local_port < f->remote_port ? f->local_port : f->remote_port;
	return mix(high + mix(low + mix(port)));
}

static __noinline int describe_flow(struct sock *sk, struct rl_socket *s, struct rl_flow *f, struct rl_income *income,
				    struct rl_thread *thread)
{
	if (!s || !f || !income)
		return 0;
	f->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	f->protocol = BPF_CORE_READ(sk, sk_protocol);
	f->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	f->cookie = bpf_get_socket_cookie(sk);
	f->scope = s->scope[RL_TX];
	f->opened = s->accepted ? RL_OPENED_ACCEPTED : s->connected ? RL_OPENED_CONNECTED : RL_OPENED_UNKNOWN;
	if (f->family == AF_UNIX) {
		struct unix_sock *u = (void *)sk;
		f->local_socket = (__u64)BPF_CORE_READ(sk, sk_socket, sk);
		f->remote_socket = (__u64)BPF_CORE_READ(u, peer);
		f->scope = RL_LOOPBACK;
	} else {
		f->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
		fold_address(f->local_address, sk, false);
		f->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
		if (f->remote_port || !thread) {
			fold_address(f->remote_address, sk, true);
		} else {
			f->remote_port = thread->peer_port;
			__builtin_memcpy(f->remote_address, thread->peer_address, 16);
		}
	}
	f->host_hash = host_of(f);
	income->host = f->host_hash;
	return 0;
}

/* A socket that is not connected has a flow for each peer. */
static __noinline __u64 find_peer_flow(struct sock *sk, struct rl_socket *s, struct rl_process *p, __u32 slot,
				       struct rl_thread *thread)
{
	struct rl_peer_key key = {};

	if (!s || !p || !thread)
		return 0;
	key.cookie = bpf_get_socket_cookie(sk);
	key.slot = slot;
	key.port = thread->peer_port;
	__builtin_memcpy(key.address, thread->peer_address, 16);
	__u64 *known = bpf_map_lookup_elem(&peer_flows, &key);
	if (known && get_flow(*known))
		return *known;
	__u64 id = make_flow(p, slot);
	struct rl_flow *f = get_flow(id);
	if (!f)
		return 0;
	describe_flow(sk, s, f, get_income(id), thread);
	if (bpf_map_update_elem(&peer_flows, &key, &id, BPF_ANY))
		count_lost(RL_LOST_FLOW);
	return id;
}

static __noinline __u64 find_flow_slow(struct sock *sk, struct rl_socket *s, struct rl_process *p, __u32 slot)
{
	if (!s || !p)
		return 0;
	leave_flow(s);
	__u64 id = make_flow(p, slot);
	struct rl_flow *f = get_flow(id);
	if (f)
		describe_flow(sk, s, f, get_income(id), NULL);
	s->flow = id;
	s->flow_owner = slot;
	return id;
}

static __always_inline bool same_address(const __u8 *a, const __u8 *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

/* A message that was not sent, or is empty, has no flow: whom it named is not to be taken for the next one's peer. */
static __noinline int forget_peer(struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;
	__u32 slot;

	if (sk->sk_type != SOCK_DGRAM || (family != AF_INET && family != AF_INET6) || sk->__sk_common.skc_dport)
		return 0;
	struct rl_thread *thread = current_thread(bpf_get_current_task_btf(), &slot);
	if (thread)
		thread->has_peer = 0;
	return 0;
}

/* The flow of a message on a socket that is not connected: most often the same as that of the message before. */
static __noinline __u64 find_datagram_flow(struct sock *sk, struct rl_socket *s, struct rl_process *p, __u32 slot,
					   struct rl_thread *thread)
{
	if (!s || !p || !thread)
		return 0;
	if (thread->has_peer) {
		thread->has_peer = 0;
		/* What is kept of a nameless socket is who sent to it last. */
		if (!s->nameless && (s->peer_port != thread->peer_port || !same_address(s->peer_address, thread->peer_address))) {
			s->peer_port = thread->peer_port;
			__builtin_memcpy(s->peer_address, thread->peer_address, 16);
			s->peer_flow = 0;
		}
	} else {
		s->nameless = 1; /* recv() without an address: from now on its packets tell */
		if (!s->peer_port)
			return 0; /* from nobody knows whom: no evidence of anything */
		thread->peer_port = s->peer_port;
		__builtin_memcpy(thread->peer_address, s->peer_address, 16);
	}
	/* Another thread may be writing here for another peer: only the flow itself says whose it is. */
	__u64 known = s->peer_flow;
	struct rl_flow *f = known ? get_flow(known) : NULL;
	if (f && f->slot == slot && f->remote_port == thread->peer_port &&
	    same_address(f->remote_address, thread->peer_address))
		return known;
	known = find_peer_flow(sk, s, p, slot, thread);
	s->peer_flow = known;
	return known;
}

static __always_inline __u64 find_flow(struct sock *sk, struct rl_socket *s, struct rl_process *p, __u32 slot,
				       struct rl_thread *thread)
{
	if (s->protocol == RL_UDP && sk->__sk_common.skc_family != AF_UNIX && !sk->__sk_common.skc_dport)
		return find_datagram_flow(sk, s, p, slot, thread);
	if (s->flow && s->flow_owner == slot && get_income(s->flow))
		return s->flow;
	return find_flow_slow(sk, s, p, slot);
}
