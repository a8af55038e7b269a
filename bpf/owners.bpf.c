// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose is the socket? Packets have no current process, so each socket carries its owner: the one
 * who made it, then whoever last sent or received on it. What an accepted connection carried before
 * anybody touched it waits on the socket.
 *
 * Hooks:  cgroup/sock_create, cgroup/sock_release, cgroup/post_bind4/6, cgroup/connect4/6,
 *         tp_btf/inet_sock_set_state; touch() from payload.bpf.c.
 * Cost:   a socket storage look-up and a process look-up for each socket call above.
 * Blind:  a socket shared by several processes is charged, packet by packet, to the last that touched
 *         it; payload is always charged to the caller.
 */

/* An accepted connection nobody touches is its listener's after this long. */
#define UNCLAIMED_PATIENCE 119 /* 2^24 ns: 2 s */

static __always_inline void settle_pending(struct rl_socket *s, struct rl_process *p)
{
	for (int d = 0; d < RL_DIRECTIONS; d++) {
		__u64 bytes = __sync_lock_test_and_set(&s->pending[d].bytes, 0);
		__u64 packets = __sync_lock_test_and_set(&s->pending[d].packets, 0);
		if (!packets && !bytes)
			continue;
		count_wire(p, d, bytes, packets);
		count_unattributed(RL_UNCLAIMED, d, -bytes, -packets);
	}
	s->pending_since = 0;
}

static __always_inline void claim(struct rl_socket *s, __u32 slot, struct rl_process *p, enum rl_claim how)
{
	if (s->claim == RL_CLAIM_LISTENER && how == RL_CLAIM_TOUCHED)
		s->accepted = 1;
	s->owner = slot;
	s->owner_generation = p->generation;
	s->claim = how;
	settle_pending(s, p);
}

/* A raw socket has the number of the protocol that it listens to. */
static __noinline enum rl_protocol protocol_of(__u16 type, __u16 protocol)
{
	if (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
		return RL_TCP;
	return type == SOCK_DGRAM && (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE) ? RL_UDP : RL_OTHER;
}

/* Private: RFC 1918, 3927 (link-local), 6598 (carrier-grade NAT), multicast and broadcast. */
static __noinline enum rl_scope scope_of_ip4(__be32 address)
{
	__u32 a = bpf_ntohl(address);
	if (a >> 24 == 127)
		return RL_LOOPBACK;
	if (a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 16 == 0xa9fe || a >> 22 == 0x191 || a >> 28 >= 0xe)
		return RL_PRIVATE;
	return RL_PUBLIC;
}

/* Private: RFC 4193 (unique local), link-local and multicast. A v4-mapped address is judged as IPv4. */
static __always_inline enum rl_scope scope_of_ip6(const __be32 a[4])
{
	if (a[0] == 0 && a[1] == 0) {
		if (a[2] == bpf_htonl(0xffff))
			return scope_of_ip4(a[3]);
		if (a[2] == 0 && a[3] == bpf_htonl(1))
			return RL_LOOPBACK;
	}
	__u32 top = bpf_ntohl(a[0]);
	if (top >> 25 == 0x7e || top >> 22 == 0x3fa || top >> 24 == 0xff)
		return RL_PRIVATE;
	return RL_PUBLIC;
}

/* Scope of a connected socket's peer; an address of this host's own counts as loopback. */
static __always_inline bool scope_of_peer(struct sock *sk, enum rl_scope *scope)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family == AF_INET) {
		__be32 peer = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		if (!peer)
			return false;
		*scope = peer == BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr) ? RL_LOOPBACK : scope_of_ip4(peer);
		return true;
	}
	if (family == AF_INET6) {
		__be32 peer[4], local[4];
		BPF_CORE_READ_INTO(&peer, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
		BPF_CORE_READ_INTO(&local, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
		if (!(peer[0] | peer[1] | peer[2] | peer[3]))
			return false;
		bool own = peer[0] == local[0] && peer[1] == local[1] && peer[2] == local[2] && peer[3] == local[3];
		*scope = own ? RL_LOOPBACK : scope_of_ip6(peer);
		return true;
	}
	return false;
}

static __always_inline void describe(struct rl_socket *s, struct sock *sk)
{
	enum rl_scope scope;

	s->protocol = BPF_CORE_READ(sk, __sk_common.skc_family) == AF_PACKET
			      ? RL_OTHER
			      : protocol_of(BPF_CORE_READ(sk, sk_type), BPF_CORE_READ(sk, sk_protocol));
	if (scope_of_peer(sk, &scope))
		s->scope[RL_RX] = s->scope[RL_TX] = scope;
}

static __always_inline bool is_touched(struct rl_socket *s, __u32 slot, struct rl_process *p)
{
	return s->claim == RL_CLAIM_TOUCHED && s->owner == slot && s->owner_generation == p->generation;
}

static __noinline int touch_slow(struct sock *sk, struct rl_socket *s, __u32 slot)
{
	struct rl_process *p = get_process(slot);
	if (!s || !p)
		return 0;
	describe(s, sk);
	claim(s, slot, p, RL_CLAIM_TOUCHED);
	return 0;
}

/* cgroup programs: `sk` is the caller's own socket, which it makes, binds, connects or closes. */
static __always_inline void own(struct bpf_sock *sk, enum rl_claim how)
{
	__u32 slot = current_slot();
	struct rl_process *p = get_process(slot);
	struct rl_socket *s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!s) {
		count_lost(RL_LOST_SOCKET);
		return;
	}
	if (!p)
		return;
	if (s->claim == RL_CLAIM_NONE) {
		s->protocol = protocol_of(sk->type, sk->protocol);
		s->scope[RL_RX] = s->scope[RL_TX] = RL_PUBLIC;
	}
	if (s->owner != slot || s->claim != RL_CLAIM_TOUCHED)
		claim(s, slot, p, how);
}

SEC("cgroup/sock_create")
int sock_create(struct bpf_sock *sk)
{
	own(sk, RL_CLAIM_CREATED);
	return 1;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *sk)
{
	own(sk, RL_CLAIM_CREATED);
	return 1;
}

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *sk)
{
	own(sk, RL_CLAIM_CREATED);
	return 1;
}

/* Closing is a touch too: whoever closes an accepted connection unread has accepted it. */
SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *sk)
{
	struct rl_socket *s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (s)
		close_flow(s);
	if (s && s->noted_port)
		forget_datagrams(s, bpf_get_socket_cookie(sk));
	if (s && s->claim == RL_CLAIM_LISTENER && sk->state != TCP_LISTEN) {
		__u32 slot = current_slot();
		struct rl_process *p = get_process(slot);
		if (p)
			claim(s, slot, p, RL_CLAIM_TOUCHED);
	}
	return 1;
}

static __always_inline void connecting(struct bpf_sock *sk, enum rl_scope scope)
{
	struct rl_socket *s;

	own(sk, RL_CLAIM_CREATED);
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!s)
		return;
	s->scope[RL_RX] = s->scope[RL_TX] = scope;
	s->connected = 1;
	s->copied_valid = 0; /* a socket may be disconnected and connected anew */
}

/* What a connect or sendmsg program returns: 1, or 0 with the error that the caller gets. */
static __always_inline int answer_call(struct bpf_sock_addr *ctx)
{
	struct rl_process *p = get_process(current_slot());
	if (!p || !p->policies)
		return 1;
	int error = refuses_call(p->policies, bpf_ntohs(ctx->user_port));
	if (!error)
		return 1;
	if (error == ECONNREFUSED)
		bpf_set_retval(-ECONNREFUSED);
	return 0;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	connecting(ctx->sk, scope_of_ip4(ctx->user_ip4));
	return answer_call(ctx);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	__be32 a[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
	connecting(ctx->sk, scope_of_ip6(a));
	return answer_call(ctx);
}

/*
 * Unconnected UDP: the peer differs from message to message. These run in the system call just before the message is
 * counted, and leave its peer with the thread.
 */
static __always_inline void note_peer(struct bpf_sock *sk, enum rl_direction direction, enum rl_scope scope,
				      const __be32 address[4], __be16 port)
{
	struct rl_socket *s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (s)
		s->scope[direction] = scope;
	__u32 slot;
	struct rl_thread *thread = current_thread(bpf_get_current_task_btf(), &slot);
	if (!thread)
		return;
	__builtin_memcpy(thread->peer_address, address, 16);
	thread->peer_port = bpf_ntohs(port);
	thread->has_peer = 1;
}

static __always_inline void note_peer4(struct bpf_sock_addr *ctx, enum rl_direction direction)
{
	__be32 address[4] = {0, 0, bpf_htonl(0xffff), ctx->user_ip4};
	note_peer(ctx->sk, direction, scope_of_ip4(ctx->user_ip4), address, ctx->user_port);
}

static __always_inline void note_peer6(struct bpf_sock_addr *ctx, enum rl_direction direction)
{
	__be32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
	note_peer(ctx->sk, direction, scope_of_ip6(address), address, ctx->user_port);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	note_peer4(ctx, RL_TX);
	return answer_call(ctx);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	note_peer6(ctx, RL_TX);
	return answer_call(ctx);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	note_peer4(ctx, RL_RX);
	return 1;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	note_peer6(ctx, RL_RX);
	return 1;
}

/* A socket may listen after it was connected and disconnected: its children start as copies of what is kept here. */
static __always_inline void forget_connection(struct rl_socket *s)
{
	close_flow(s);
	leave_flow(s);
	s->payload[RL_RX] = s->payload[RL_TX] = 0;
	s->connected = 0;
	s->copied_valid = 0;
	s->urgent_valid = 0;
	s->before_urgent = 0;
}

/*
 * LISTEN and SYN_SENT are set by the process itself, in its own context; they also reach the kernel-made
 * subflows of MPTCP. CLOSE is the last we hear of a connection that nobody ever accepted.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(inet_sock_set_state, struct sock *sk, int old_state, int new_state)
{
	struct rl_socket *s;

	if (new_state == TCP_LISTEN || new_state == TCP_SYN_SENT) {
		__u32 slot = current_slot();
		struct rl_process *p = get_process(slot);
		s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!s) {
			count_lost(RL_LOST_SOCKET);
			return 0;
		}
		if (slot == KERNEL_SLOT || !p)
			return 0;
		s->protocol = RL_TCP;
		if (new_state == TCP_LISTEN)
			forget_connection(s);
		claim(s, slot, p, new_state == TCP_LISTEN ? RL_CLAIM_LISTENER : RL_CLAIM_CREATED);
		if (new_state == TCP_LISTEN)
			note_listener(s, p->policies, BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum),
				      BPF_CORE_READ(sk, __sk_common.skc_num), true);
		return 0;
	}
	if (new_state != TCP_CLOSE)
		return 0;
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (s && old_state == TCP_LISTEN)
		note_listener(s, 0, BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum),
			      BPF_CORE_READ(sk, __sk_common.skc_num), false);
	if (s && s->claim == RL_CLAIM_LISTENER && old_state != TCP_LISTEN) {
		struct rl_process *p = get_process(s->owner);
		if (p && p->generation == s->owner_generation)
			claim(s, s->owner, p, RL_CLAIM_TOUCHED);
	}
	return 0;
}
