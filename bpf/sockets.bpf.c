// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which sockets are there, and whose? adopt_sockets gives those that were there before us an owner,
 * once, at start; dump_sockets writes the socket table, on request; settle_sockets tells the flow table what
 * the sockets have not told it yet, at each poll.
 *
 * Hooks:  iter/task_file, iter/bpf_sk_storage_map.
 * Cost:   some 3 us a socket, only when asked; some 0.3 us each to settle.
 * Blind:  sockets in no process's file table at start (in flight over a Unix socket) get their owner at
 *         the first touch.
 */

SEC("iter/task_file")
int adopt_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (!task || !file)
		return 0;
	struct socket *socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	struct sock *sk = socket->sk;
	if (!sk || !is_counted_family(BPF_CORE_READ(sk, __sk_common.skc_family)))
		return 0;
	struct rl_socket *s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s) {
		count_lost(RL_LOST_SOCKET);
		return 0;
	}
	if (s->claim != RL_CLAIM_NONE)
		return 0;
	__u32 slot;
	struct rl_process *p = find_process(task, &slot);
	if (!p) {
		slot = make_slot((__u64)BPF_CORE_READ(task, group_leader), false);
		p = get_process(slot);
		if (!p || slot == KERNEL_SLOT)
			return 0;
	}
	s->scope[RL_RX] = s->scope[RL_TX] = RL_PUBLIC;
	describe(s, sk);
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);
	/* Not of a listener: its children start as copies of its storage, with sequence numbers of their own. */
	struct tcp_sock *tp = state == TCP_LISTEN ? NULL : read_by_sequence(sk);
	if (tp && !s->copied_valid) {
		s->copied_seq = tp->copied_seq;
		s->copied_valid = 1;
	}
	claim(s, slot, p, state == TCP_LISTEN ? RL_CLAIM_LISTENER : RL_CLAIM_CREATED);
	return 0;
}

static __noinline int copy_addresses(struct rl_socket_record *r, struct sock *sk)
{
	if (!r)
		return 0;
	if (r->family == AF_INET6) {
		BPF_CORE_READ_INTO(&r->local_address, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&r->remote_address, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	} else if (r->family == AF_INET) {
		__be32 local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		__be32 remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		__builtin_memcpy(r->local_address, &local, 4);
		__builtin_memcpy(r->remote_address, &remote, 4);
	}
	return 0;
}

SEC("iter/bpf_sk_storage_map")
int dump_sockets(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	struct rl_socket *s = ctx->value;

	if (!sk || !s)
		return 0;
	struct rl_socket_record r = {
		.cookie = bpf_get_socket_cookie(sk),
		.owner = s->owner,
		.owner_generation = s->owner_generation,
		.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum),
		.uid = BPF_CORE_READ(sk, sk_uid.val),
		.family = BPF_CORE_READ(sk, __sk_common.skc_family),
		.protocol = BPF_CORE_READ(sk, sk_protocol),
		.local_port = BPF_CORE_READ(sk, __sk_common.skc_num),
		.remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport)),
		.state = BPF_CORE_READ(sk, __sk_common.skc_state),
		.claim = s->claim,
		.scope = s->scope[RL_TX],
		.type = BPF_CORE_READ(sk, sk_type),
		.ifindex = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if),
		.flow = s->flow,
	};
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);
	if (socket)
		r.inode = BPF_CORE_READ((struct socket_alloc *)((void *)socket - bpf_core_field_offset(struct socket_alloc, socket)),
					vfs_inode.i_ino);
	for (int d = 0; d < RL_DIRECTIONS; d++) {
		r.payload[d] = s->payload[d];
		r.pending[d] = s->pending[d];
	}
	copy_addresses(&r, sk);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

/* Brings the flows of all connections up to date, before the agent reads them. */
SEC("iter/bpf_sk_storage_map")
int settle_sockets(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct rl_socket *s = ctx->value;

	if (s && s->outgo.sends && !settle_outgo(&s->outgo, s->flow))
		s->flow = 0;
	return 0;
}
