// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many payload bytes did each process send and receive? The number that its own system calls
 * returned, charged to the process that made them, whoever opened the socket.
 *
 * Hooks:  tp_btf/sock_send_length and tp_btf/sock_recv_length (kernel 6.3, commit 6e6eda44b939): every
 *         sendmsg/recvmsg path with its result, sendfile, splice to a socket and io_uring included.
 *         tp_btf/tcp_rcv_space_adjust: TCP's reads, from the advance of copied_seq, because splice from
 *         a socket and TCP_ZEROCOPY_RECEIVE pass no recvmsg. Before 6.3 calls.bpf.c takes the place of the first two.
 * Cost:   a process look-up and a socket storage look-up each.
 * Blind:  of two urgent bytes that come between two reads, one after the other, the first is taken for read;
 *         splice from a kTLS or MPTCP socket; sockmap redirection: wire.bpf.c sees their packets. AF_XDP: nobody does.
 */

enum { TLS_BASE = 0 };

static __always_inline bool is_counted_family(__u16 family)
{
	return family == AF_INET || family == AF_INET6 || family == AF_PACKET;
}

/* kTLS that decrypts: copied_seq then counts the records, and recvmsg returns what was in them. */
static __noinline bool is_decrypted(struct inet_connection_sock *icsk, const struct tcp_ulp_ops *ulp)
{
	char name[4] = {};

	bpf_probe_read_kernel(name, sizeof(name), &ulp->name);
	if (name[0] != 't' || name[1] != 'l' || name[2] != 's' || name[3] != '\0')
		return false;
	struct tls_context *tls = BPF_CORE_READ(icsk, icsk_ulp_data);
	return bpf_core_field_exists(tls->rx_conf) && BPF_CORE_READ_BITFIELD_PROBED(tls, rx_conf) != TLS_BASE;
}

/*
 * The operations (struct proto) of TCP over IPv4 and over IPv6 without an upper-layer protocol, learnt as they are
 * met: kTLS gives its sockets operations of its own. They tell from a cache line that every system call reads.
 */
static volatile __u64 plain_tcp[2];

static __noinline int learn_plain_tcp(__u64 operations)
{
	if (!plain_tcp[0])
		plain_tcp[0] = operations;
	else if (plain_tcp[0] != operations && !plain_tcp[1])
		plain_tcp[1] = operations;
	return 0;
}

static __always_inline bool is_plain_tcp(struct sock *sk)
{
	__u64 operations = (__u64)sk->__sk_common.skc_prot;
	return operations == plain_tcp[0] || operations == plain_tcp[1];
}

/* TCP whose reads go through tcp_recvmsg or tcp_read_sock, so that copied_seq tells what was read. */
static __always_inline struct tcp_sock *read_by_sequence(struct sock *sk)
{
	if (bpf_rdonly_cast && is_plain_tcp(sk)) /* kernel 6.2; costs no call */
		return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
	if (sk->sk_type != SOCK_STREAM) /* the helper takes a raw socket with TCP's number for one of TCP */
		return NULL;
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return NULL;
	const struct tcp_ulp_ops *ulp = tp->inet_conn.icsk_ulp_ops;
	if (!ulp)
		learn_plain_tcp((__u64)sk->__sk_common.skc_prot);
	return ulp && is_decrypted(&tp->inet_conn, ulp) ? NULL : tp;
}

static __always_inline struct rl_socket *get_socket(struct sock *sk)
{
	return bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

/* Helper calls are what this costs most by: each storage is looked up once, and handed on. */
static __always_inline void charge(struct sock *sk, struct rl_socket *s, enum rl_direction direction, __u64 bytes)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 slot;
	struct rl_thread *thread = current_thread(task, &slot);
	struct rl_process *p = get_process(slot);
	if (!p)
		return;
	if (!s) {
		count_lost(RL_LOST_SOCKET);
		__sync_fetch_and_add(&p->payload[direction][RL_OTHER][RL_PUBLIC], bytes);
		return;
	}
	if (!is_touched(s, slot, p))
		touch_slow(sk, s, slot);
	__u8 protocol = s->protocol;
	__u8 scope = s->scope[direction];
	if (protocol < RL_PROTOCOLS && scope < RL_SCOPES)
		__sync_fetch_and_add(&p->payload[direction][protocol][scope], bytes);
	__sync_fetch_and_add(&s->payload[direction], bytes);
	if (slot == KERNEL_SLOT)
		return;
	refresh_user(p, task);
	__u64 flow = 0;
	if (protocol == RL_TCP && thread)
		flow = note_stream(sk, s, p, slot, thread, task, direction, bytes);
	else if (protocol == RL_UDP && thread)
		flow = note_message(sk, s, slot, thread, bytes << 1 | direction);
	if (p->policies)
		use_quota(p->policies, flow, bytes, direction);
}

/* AF_UNIX carries no network payload; the ledger follows it, as one half of a relay may speak to the other by it. */
static __noinline int follow(struct sock *sk, enum rl_direction direction, __u64 bytes)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 slot;
	struct rl_thread *thread = current_thread(task, &slot);
	struct rl_process *p = get_process(slot);
	if (!p || slot == KERNEL_SLOT)
		return 0;
	struct rl_socket *s = get_socket(sk);
	if (!s)
		count_lost(RL_LOST_SOCKET);
	else if (thread)
		note_message(sk, s, slot, thread, bytes << 1 | direction);
	return 0;
}

static __always_inline int count_send(struct sock *sk, int result)
{
	__u16 family = sk->__sk_common.skc_family;

	if (result <= 0)
		return forget_peer(sk);
	if (is_counted_family(family))
		charge(sk, get_socket(sk), RL_TX, result);
	else if (family == AF_UNIX)
		follow(sk, RL_TX, result);
	return 0;
}

static __always_inline int count_receive(struct sock *sk, int result, int flags)
{
	__u16 family = sk->__sk_common.skc_family;

	if (flags & (MSG_PEEK | MSG_ERRQUEUE))
		return 0;
	if (result <= 0)
		return result == 0 ? forget_peer(sk) : 0; /* a receive that fails has named nobody */
	if (family == AF_UNIX)
		follow(sk, RL_RX, result);
	if (!is_counted_family(family))
		return 0;
	if (flags & MSG_OOB || !read_by_sequence(sk))
		charge(sk, get_socket(sk), RL_RX, result);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send_length, struct sock *sk, int result, int flags)
{
	return count_send(sk, result);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv_length, struct sock *sk, int result, int flags)
{
	return count_receive(sk, result, flags);
}

/*
 * Reads step over the urgent byte, which only MSG_OOB gives, unless the program asked for it in line. They stop before
 * it first; when another urgent byte comes then, the kernel itself steps over the first one (tcp_check_urg()).
 */
static __noinline __u32 urgent_bytes_passed(struct sock *sk, struct tcp_sock *tp, struct rl_socket *s, __u32 before,
					    __u32 copied)
{
	if (!s)
		return 0;
	__u32 urgent = tp->urg_seq; /* 0: there was none; stays when it has been passed */
	__u32 passed = 0;

	if (s->before_urgent && copied != before) {
		s->before_urgent = 0;
		passed = 1;
	}
	if (urgent && urgent - before < copied - before && !(s->urgent_valid && s->urgent_seq == urgent)) {
		if (urgent != before || !passed)
			passed++;
		s->urgent_seq = urgent;
		s->urgent_valid = 1;
	}
	if (tp->urg_data && urgent == copied)
		s->before_urgent = 1;
	return sk->__sk_common.skc_flags & 1UL << bpf_core_enum_value(enum sock_flags, SOCK_URGINLINE) ? 0 : passed;
}

/*
 * Runs in the reader's context after every advance of copied_seq. rcv_nxt - bytes_received is the
 * sequence number that the payload began with; a FIN takes up one number and is no payload.
 */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(tcp_rcv_space_adjust, struct sock *sk)
{
	struct tcp_sock *tp = read_by_sequence(sk);
	if (!tp)
		return 0;
	__u32 copied = tp->copied_seq;
	__u32 next = tp->rcv_nxt;
	if (copied == next && sk->__sk_common.skc_flags & 1UL << bpf_core_enum_value(enum sock_flags, SOCK_DONE))
		copied--;

	struct rl_socket *s = get_socket(sk);
	if (!s) {
		count_lost(RL_LOST_SOCKET);
		return 0;
	}
	__u32 before = s->copied_valid ? s->copied_seq : next - (__u32)tp->bytes_received;
	__s32 advance = copied - before;
	if (tp->urg_seq && advance > 0)
		advance -= urgent_bytes_passed(sk, tp, s, before, copied);
	s->copied_seq = copied;
	s->copied_valid = 1;
	if (advance > 0)
		charge(sk, s, RL_RX, advance);
	return 0;
}
