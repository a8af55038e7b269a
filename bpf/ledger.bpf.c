// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which bytes that a process sends did it receive before, from somebody else? Every received byte is a credit of
 * its flow; every sent byte is paid from credits of other flows: the newest receive of the same thread first, then
 * of the same process, each credit once. What was paid from A to B is the pair (A, B), with how long after A's last
 * receive it was sent. Nothing leaves the kernel per event; agent/relay/ judges the sums once a second.
 *
 * Hooks:  note_relay(), called by payload.bpf.c for every send and receive on TCP, UDP and AF_UNIX.
 * What every send and receive needs is in line, as a call costs some 7 ns; what is rare, or a search, is called.
 * Functions that are not static are verified once instead of at every call.
 *
 * Cost:   a receive three array or storage look-ups; a send as many, and for each source it tries one more, at most
 *         twelve; a pair that is not the first of its flow costs a hash look-up.
 * Blind:  what passes through a pipe, a file or a tun device between two sockets: the agent joins such halves.
 *         Counters of a flow that two threads use at once may miss an event; its credit is atomic.
 */

/* A thread that sends within this time of a receive sends what it received, if anything. */
#define THREAD_REACH_NS 20000000ULL
/* A credit older than this when more comes is not going to be passed on: the longest that held relays hold. */
#define HOLD_NS 16000000000ULL
/* The most that a flow can owe: larger than any socket buffer, and than what a relay holds in memory. */
#define CREDIT_MAX (64ULL << 20)
/* What is missing from a send is framing up to this many bytes or a sixteenth: no other source is charged for it. */
#define FRAMING 64
/* So many sends that answer other flows than the partner, with none between that answers it, and it pays no more. */
#define RIVALS 3
/* The process's list of sources is the fallback, and may lag by this much. */
#define LIST_NS 100000000ULL
/* Reading the clock is the dearest step on some hosts: once a run of the thread, and every so many events. */
#define CLOCK_EVENTS 8

enum { SPENT = 0, TRIED = 1, PAID = 2 };

/* One send while it looks for its sources. */
struct sending {
	__u64 flow;
	__u64 host_hash;
	__u64 now;
	__u64 need;
	__u64 best;
	__u64 best_flow;
	__u64 last;
	__u32 bytes;
	__u32 run;
	__u32 same_host;
	__u32 last_was_receive;
};

static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

static __always_inline __u32 lag_bucket(__u64 ns)
{
	__u64 units = ns >> 10;
	__u32 bucket = 1;

	if (!units)
		return 0;
	if (units >> 32)
		return RL_LAG_BUCKETS - 1;
#pragma unroll
	for (int bits = 16; bits; bits >>= 1)
		if (units >> bits) {
			units >>= bits;
			bucket += bits;
		}
	return bucket < RL_LAG_BUCKETS ? bucket : RL_LAG_BUCKETS - 1;
}

static __always_inline __u32 size_class(__u32 bytes)
{
	return (bytes * 2654435761U) >> 28; /* Knuth's multiplicative hash, its top four bits */
}

/* Sizes that tell a tunnel: agent/relay/tunnel.ts. */
static __always_inline void note_tunnel_size(struct rl_flow *f, __u32 bytes)
{
	__u32 beyond = bytes - RL_TUNNEL_EMPTY;

	if (bytes >= RL_TUNNEL_FULL) {
		f->tunnel_sizes[0]++;
	} else if (beyond < 32 * RL_SMALL_CLASSES) {
		__u32 class = beyond / 32 & (RL_SMALL_CLASSES - 1);
		f->tunnel_sizes[1 + class]++;
		f->tunnel_sizes[1 + RL_SMALL_CLASSES + class] += beyond % 32;
	}
}

static __always_inline __u64 read_clock(struct rl_thread *thread, struct task_struct *task)
{
	__u32 run = task->nvcsw;
	if (run != thread->run || ++thread->events >= CLOCK_EVENTS || !thread->now_ns) {
		thread->run = run;
		thread->events = 0;
		thread->now_ns = bpf_ktime_get_ns();
	}
	return thread->now_ns;
}

/* Moves `flow` to the front; what was there moves back, up to where `flow` was or to the end. */
__noinline int list_source(struct rl_sources *list, __u32 length, __u64 flow, __u64 ns)
{
	struct rl_source carried = {.flow = flow, .ns = ns};

	if (!list)
		return 0;
	for (int i = 0; i < RL_PROCESS_SOURCES; i++) {
		if (i >= length)
			break;
		struct rl_source was = list->source[i];
		list->source[i] = carried;
		if (!was.flow || was.flow == flow)
			break;
		carried = was;
	}
	return 0;
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

static __noinline int describe_flow(struct sock *sk, struct rl_socket *s, struct rl_flow *f, struct rl_thread *thread)
{
	if (!s || !f)
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
	describe_flow(sk, s, f, thread);
	if (bpf_map_update_elem(&peer_flows, &key, &id, BPF_ANY))
		count_lost(RL_LOST_FLOW);
	return id;
}

static __noinline __u64 find_flow_slow(struct sock *sk, struct rl_socket *s, struct rl_process *p, __u32 slot)
{
	if (!s || !p)
		return 0;
	__u64 id = make_flow(p, slot);
	struct rl_flow *f = get_flow(id);
	if (f)
		describe_flow(sk, s, f, NULL);
	s->flow = id;
	s->flow_owner = slot;
	return id;
}

static __always_inline bool same_address(const __u8 *a, const __u8 *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
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
	if (s->flow && s->flow_owner == slot && get_flow(s->flow))
		return s->flow;
	return find_flow_slow(sk, s, p, slot);
}

static __noinline struct rl_pair *find_pair_slow(__u64 source, __u64 destination, struct rl_flow *from, struct rl_flow *to)
{
	struct rl_pair_key key = {.source = source, .destination = destination};
	__u32 zero = 0;

	if (!from || !to)
		return NULL;
	if (!to->first_source) {
		to->first_source = source;
		to->first.position = from->received - from->last_receive_bytes;
		return &to->first;
	}
	struct rl_pair *pair = bpf_map_lookup_elem(&pairs, &key);
	if (pair)
		return pair;
	struct rl_pair *fresh = bpf_map_lookup_elem(&pair_scratch, &zero);
	if (!fresh)
		return NULL;
	fresh->position = from->received - from->last_receive_bytes;
	if (bpf_map_update_elem(&pairs, &key, fresh, BPF_NOEXIST)) {
		count_lost(RL_LOST_PAIR);
		return NULL;
	}
	return bpf_map_lookup_elem(&pairs, &key);
}

static __always_inline struct rl_pair *find_pair(__u64 source, __u64 destination, struct rl_flow *from, struct rl_flow *to)
{
	return to->first_source == source ? &to->first : find_pair_slow(source, destination, from, to);
}

/* Takes up to `wanted` from the flow's credit, which other threads may be taking from as well. */
static __always_inline __u64 take_credit(struct rl_flow *f, __u64 wanted)
{
	__s64 left = __sync_fetch_and_add(&f->credit, -wanted) - wanted;

	if (left >= 0)
		return wanted;
	__sync_fetch_and_add(&f->credit, -left);
	return (__s64)wanted + left > 0 ? wanted + left : 0;
}

static __always_inline void note_lag(struct rl_pair *pair, __u64 ns)
{
	__u32 bucket = lag_bucket(ns);
	if (bucket < RL_LAG_BUCKETS)
		pair->lags[bucket]++;
}

static __always_inline bool is_paid(const struct sending *sending)
{
	return sending->need <= FRAMING || sending->need <= sending->bytes / 16;
}

static __always_inline int pay(struct sending *sending, struct rl_flow *to, __u64 source, bool is_partner)
{
	struct rl_flow *from = get_flow(source);
	if (!from)
		return SPENT;
	__u64 have = from->credit;
	if (!have) {
		from->listed_ns = 0; /* the next receive lists it again */
		return SPENT;
	}
	if (is_partner) {
		if (have < sending->bytes || sending->now - from->last_receive_ns > HOLD_NS)
			return TRIED;
	} else if ((from->host_hash == sending->host_hash) != sending->same_host) {
		return TRIED;
	}
	__u64 taken = take_credit(from, have < sending->need ? have : sending->need);
	if (!taken)
		return SPENT;
	if (taken > sending->best) {
		sending->best = taken;
		sending->best_flow = source;
	}
	sending->need -= taken;
	int result = is_paid(sending) ? PAID : TRIED;
	if (from->host_hash == sending->host_hash)
		return result; /* among connections of one host: the credit is spent, and no pair of theirs is a relay */
	__u64 needed = sending->need + taken;
	struct rl_pair *pair = find_pair(source, sending->flow, from, to);
	if (!pair)
		return result;
	__u64 left = from->credit;
	pair->moved += taken;
	pair->moves++;
	note_lag(pair, sending->now - from->last_receive_ns);
	if (taken == needed && !left)
		pair->settled++;
	if (from->last_run == sending->run)
		pair->same_run++;
	if (sending->last == source && sending->last_was_receive) {
		__u64 x = from->last_receive_bytes, y = sending->bytes;
		pair->direct++;
		if ((x | y) < 4096) {
			pair->size_count++;
			pair->sum_x += x;
			pair->sum_y += y;
			pair->sum_xx += x * x;
			pair->sum_yy += y * y;
			pair->sum_xy += x * y;
		}
	}
	pair->position = left ? pair->position + taken : from->received;
	return result;
}

/* Any other source than the partner, which note_send() pays from in line. */
__noinline int pay_from(struct sending *sending, struct rl_flow *to, __u64 source)
{
	return sending && to ? pay(sending, to, source, false) : SPENT;
}

__noinline int pay_from_list(struct sending *sending, struct rl_flow *to, struct rl_sources *list, __u32 length,
			     __u64 reach_ns)
{
	if (!sending || !to || !list)
		return 0;
	for (int i = 0; i < RL_PROCESS_SOURCES; i++) {
		if (i >= length)
			break;
		struct rl_source source = list->source[i];
		if (!source.flow || sending->now - source.ns > reach_ns)
			break;
		if (source.flow == sending->flow || source.flow == 1)
			continue;
		int result = pay_from(sending, to, source.flow);
		if (result == SPENT)
			list->source[i].flow = 1; /* no flow has this id: passed over from now on */
		if (result == PAID)
			break;
	}
	return 0;
}

/* Nothing paid, yet the thread has just received elsewhere: a further copy of bytes that were passed on already. */
static __always_inline void note_copy(struct sending *sending, struct rl_flow *to, struct rl_thread *thread)
{
	__u64 newest = thread->newest;

	if (!newest || newest == sending->flow || sending->now - thread->newest_ns > THREAD_REACH_NS)
		return;
	struct rl_flow *from = get_flow(newest);
	struct rl_pair *pair = from && from->host_hash != to->host_hash ? find_pair(newest, sending->flow, from, to) : NULL;
	if (!pair || from->received <= pair->position)
		return;
	__u64 copied = from->received - pair->position;
	if (copied > sending->need)
		copied = sending->need;
	pair->copied += copied;
	pair->copies++;
	pair->position += copied;
	note_lag(pair, sending->now - from->last_receive_ns);
	sending->need -= copied;
}

__noinline int find_sources(struct sending *sending, struct rl_flow *f, struct rl_thread *thread)
{
	if (!sending || !f || !thread)
		return 0;
	pay_from_list(sending, f, &thread->sources, RL_THREAD_SOURCES, THREAD_REACH_NS);
	if (!sending->best || !is_paid(sending)) {
		__u32 slot = thread->slot;
		struct rl_sources *of_process = bpf_map_lookup_elem(&sources, &slot);
		if (of_process) {
			pay_from_list(sending, f, of_process, RL_PROCESS_SOURCES, HOLD_NS);
			if (!sending->best) {
				sending->same_host = 1;
				pay_from_list(sending, f, of_process, RL_PROCESS_SOURCES, HOLD_NS);
			}
		}
	}
	if (sending->best || !sending->need)
		return 0;
	__u64 own = f->credit;
	if (own) { /* an answer: paid from what came on the same flow */
		__u64 taken = take_credit(f, own < sending->need ? own : sending->need);
		f->self_matched += taken;
		sending->need -= taken;
		sending->best = taken;
		sending->best_flow = sending->flow;
	} else {
		note_copy(sending, f, thread);
	}
	return 0;
}

/*
 * Whether the partner lives on credit that will never be passed on (framing that was taken off, a login), while the
 * thread receives elsewhere and, without a sleep in between, sends just that.
 */
static __always_inline bool has_rival(const struct sending *sending, struct rl_flow *f, __u64 partner)
{
	__u64 last = sending->last;

	if (!sending->last_was_receive || last == sending->flow)
		return false;
	if (last == partner) {
		if (f->rivals)
			f->rivals = 0;
		return false;
	}
	struct rl_flow *from = get_flow(last);
	if (!from || !from->credit || from->last_run != sending->run || from->host_hash == f->host_hash)
		return false;
	__u32 received = from->last_receive_bytes, sent = sending->bytes;
	if ((received > sent ? received - sent : sent - received) > FRAMING || ++f->rivals < RIVALS)
		return false;
	f->rivals = 0;
	return true;
}

static __always_inline void note_receive(struct rl_flow *f, __u64 id, struct rl_thread *thread, struct task_struct *task,
					 __u32 slot, __u32 bytes, bool is_datagram)
{
	__u64 now = read_clock(thread, task);

	if (f->receives) {
		__u64 gap = now - f->last_receive_ns;
		__u32 bucket = lag_bucket(gap);
		if (bucket < RL_LAG_BUCKETS)
			f->gaps[bucket]++;
		if (gap > HOLD_NS) {
			f->expired += f->credit;
			f->credit = 0;
		}
	} else if (!f->first_ns) {
		f->first_ns = now;
	}
	f->received += bytes;
	f->receives++;
	if (f->credit < CREDIT_MAX)
		__sync_fetch_and_add(&f->credit, bytes);
	f->last_receive_ns = now;
	f->last_receive_bytes = bytes;
	f->last_run = thread->tid ^ thread->run << 8;
	if (is_datagram) {
		f->received_sizes[size_class(bytes) & (RL_SIZE_CLASSES - 1)]++;
		note_tunnel_size(f, bytes);
	}

	thread->newest = thread->last = id;
	thread->newest_ns = now;
	thread->last_was_receive = 1;
	if (thread->sources.source[0].flow == id)
		thread->sources.source[0].ns = now;
	else
		list_source(&thread->sources, RL_THREAD_SOURCES, id, now);
	if (now - f->listed_ns > LIST_NS) {
		struct rl_sources *of_process = bpf_map_lookup_elem(&sources, &slot);
		if (of_process)
			list_source(of_process, RL_PROCESS_SOURCES, id, now);
		f->listed_ns = now;
	}
}

/* Whether find_sources() could find anything at all: a process that only sends is spared the search. */
static __always_inline bool has_sources(struct rl_flow *f, struct rl_thread *thread, __u32 slot, __u64 now)
{
	if (f->credit || (thread->newest && now - thread->newest_ns <= THREAD_REACH_NS))
		return true;
	struct rl_sources *of_process = bpf_map_lookup_elem(&sources, &slot);
	return of_process && of_process->source[0].flow && now - of_process->source[0].ns <= HOLD_NS;
}

static __always_inline void note_send(struct rl_flow *f, __u64 id, struct rl_thread *thread, struct task_struct *task,
				      __u32 slot, __u32 bytes, bool is_datagram)
{
	__u64 now = read_clock(thread, task);

	if (!f->sends && !f->first_ns)
		f->first_ns = now;
	f->sent += bytes;
	f->sends++;
	f->last_send_ns = now;
	if (is_datagram)
		f->sent_sizes[size_class(bytes) & (RL_SIZE_CLASSES - 1)]++;

	struct sending sending = {
		.flow = id,
		.host_hash = f->host_hash,
		.now = now,
		.need = bytes,
		.bytes = bytes,
		.last = thread->last,
		.last_was_receive = thread->last_was_receive,
		.run = thread->tid ^ thread->run << 8,
	};
	__u64 partner = f->partner;
	if (partner == id) {
		if (thread->newest == id && f->credit >= bytes) {
			f->self_matched += take_credit(f, bytes);
			sending.need = 0;
		}
	} else if (partner && !has_rival(&sending, f, partner)) {
		pay(&sending, f, partner, true); /* keeps relays that hold data on their pair */
	}
	if (sending.need && !sending.best) {
		if (has_sources(f, thread, slot, now))
			find_sources(&sending, f, thread);
		if (sending.best_flow && sending.best_flow != partner)
			f->partner = sending.best_flow;
		f->unmatched += sending.need;
	}
	thread->last = id;
	thread->last_was_receive = 0;
}

/* Its flow; 0 where there is none. */
static __always_inline __u64 note_relay(struct sock *sk, struct rl_socket *s, struct rl_process *p, __u32 slot,
				       struct rl_thread *thread, struct task_struct *task, enum rl_direction direction,
				       __u64 bytes)
{
	__u64 id = find_flow(sk, s, p, slot, thread);
	struct rl_flow *f = get_flow(id);
	if (!f)
		return 0;
	bool is_datagram = s->protocol == RL_UDP;
	if (direction == RL_RX)
		note_receive(f, id, thread, task, slot, bytes, is_datagram);
	else
		note_send(f, id, thread, task, slot, bytes, is_datagram);
	return id;
}
