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
#define HOLD_NS 8000000000ULL
/* The most that a flow can owe: larger than any socket buffer, and than what a relay holds in memory. */
#define CREDIT_MAX (64ULL << 20)
/* What is missing from a send is framing up to this many bytes or a sixteenth: no other source is charged for it. */
#define FRAMING 64
/* So many sends that answer other flows than the partner, with none between that answers it, and it pays no more. */
#define RIVALS 3
/* The process's list of sources is the fallback, and may lag by so many times 2^20 ns. */
#define LIST_SHIFT 20
#define LIST_INTERVAL 95
/* Reading the clock is the dearest step on some hosts: once a run of the thread, and every so many events. */
#define CLOCK_EVENTS 8
/* A flow's record is brought up to date after so many sends, or one of so many bytes. */
#define SETTLE_SENDS 128
#define SETTLE_BYTES (1U << 24)

enum { SPENT = 0, TRIED = 1, PAID = 2 };

/* One send while it looks for its sources. */
struct sending {
	__u64 flow;
	__u64 now;
	__u64 need;
	__u64 best;
	__u64 best_flow;
	__u64 last;
	__u32 bytes;
	__u32 run;
	__u32 host; /* of `flow`; known once another than the first source is asked */
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

/* The length in bits of a number below 2^32 in which all bits below the highest are set, by a de Bruijn product's top. */
static const __u8 lengths[32] = {1, 10, 2,  11, 14, 22, 3, 30, 12, 15, 17, 19, 27, 23, 4, 31,
				 9, 13, 21, 29, 16, 18, 26, 8, 20, 28, 24, 7,  25, 6,  5, 32};

/* Without branches, as nothing foretells them. */
static __always_inline __u32 lag_bucket(__u64 ns)
{
	__u64 units = ns >> 10;

	if (units >> (RL_LAG_BUCKETS - 2))
		return RL_LAG_BUCKETS - 1;
	__u32 bits = units;
	bits |= bits >> 1;
	bits |= bits >> 2;
	bits |= bits >> 4;
	bits |= bits >> 8;
	bits |= bits >> 16;
	return (lengths[(bits * 0x07C4ACDDU) >> 27] - ((__u64)(bits - 1ULL) >> 63)) & 31; /* the verifier sees no difference */
}

static __always_inline __u32 size_class(__u32 bytes)
{
	return (bytes * 2654435761U) >> 28; /* Knuth's multiplicative hash, its top four bits */
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

/* The first source is the pair that the flow itself holds. */
static __noinline struct rl_pair *find_pair(__u64 source, __u64 destination, struct rl_income *from, struct rl_outgo *to)
{
	struct rl_pair_key key = {.source = source, .destination = destination};
	struct rl_flow *f = get_flow(destination);
	__u32 zero = 0;

	if (!from || !to || !f)
		return NULL;
	if (!f->first_source) {
		f->first_source = source;
		to->position = from->received - from->last_receive_bytes;
		return &f->first;
	}
	if (f->first_source == source)
		return &f->first;
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

/* Takes up to `wanted` from the flow's credit, which other threads may be taking from as well. */
static __always_inline __u64 take_credit(struct rl_income *from, __u64 wanted)
{
	__s64 left = __sync_fetch_and_add(&from->credit, -wanted) - wanted;

	if (left >= 0)
		return wanted;
	__sync_fetch_and_add(&from->credit, -left);
	return (__s64)wanted + left > 0 ? wanted + left : 0;
}

static __always_inline bool is_paid(const struct sending *sending)
{
	return sending->need <= FRAMING || sending->need <= sending->bytes / 16;
}

/* What there is to remember of a move beside its bytes, as add_move() takes it. */
static __always_inline __u32 describe_move(const struct sending *sending, struct rl_income *from, __u64 source,
					   bool is_settled)
{
	__u32 move = lag_bucket(sending->now - from->last_receive_ns);

	if (is_settled)
		move |= MOVE_SETTLED;
	if (from->last_run == sending->run)
		move |= MOVE_SAME_RUN;
	if (sending->last == source && sending->last_was_receive) {
		__u32 received = from->last_receive_bytes, sent = sending->bytes;
		move |= MOVE_DIRECT;
		if ((received | sent) <= MOVE_SIZE)
			move |= received << MOVE_RECEIVED | sent << MOVE_SENT;
	}
	return move;
}

static __always_inline void log_move(struct rl_outgo *to, struct rl_income *from, __u64 taken, __u64 left, __u32 move)
{
	__u32 place = to->moves;

	to->moved += taken;
	to->position = left ? to->position + (__u32)taken : (__u32)from->received;
	if (place < RL_OUTGO_MOVES) {
		to->log[place] = move;
		to->moves = place + 1;
	}
}

/* The partner pays for all of it, as in any relay of two connections, and it is the first source. */
static __always_inline void pay_as_before(struct sending *sending, struct rl_outgo *to)
{
	struct rl_income *from = get_income(to->partner);
	if (!from)
		return;
	__u64 have = from->credit;
	if (!have)
		from->listed = 0; /* the next receive lists it again */
	if (have < sending->bytes || sending->now - from->last_receive_ns > HOLD_NS)
		return;
	__u64 needed = sending->need;
	__u64 taken = take_credit(from, needed);
	if (!taken)
		return;
	sending->best = taken;
	sending->best_flow = to->partner;
	sending->need = needed - taken;
	__u64 left = from->credit;
	log_move(to, from, taken, left, describe_move(sending, from, to->partner, taken == needed && !left));
}

static __noinline bool is_first_source(__u64 flow, __u64 source)
{
	struct rl_flow *f = get_flow(flow);
	return f && f->first_source == source;
}

/* Any other source than in pay_as_before(). */
__noinline int pay_from(struct sending *sending, struct rl_outgo *to, __u64 source, bool is_partner)
{
	struct rl_income *from = get_income(source);
	if (!from || !sending || !to)
		return SPENT;
	__u64 have = from->credit;
	if (!have) {
		from->listed = 0; /* the next receive lists it again */
		return SPENT;
	}
	if (is_partner) {
		if (have < sending->bytes || sending->now - from->last_receive_ns > HOLD_NS)
			return TRIED;
	} else if ((from->host == sending->host) != sending->same_host) {
		return TRIED;
	}
	__u64 needed = sending->need;
	__u64 taken = take_credit(from, have < needed ? have : needed);
	if (!taken)
		return SPENT;
	if (taken > sending->best) {
		sending->best = taken;
		sending->best_flow = source;
	}
	sending->need = needed - taken;
	int result = is_paid(sending) ? PAID : TRIED;
	if (from->host == sending->host)
		return result; /* among connections of one host: the credit is spent, and no pair of theirs is a relay */
	struct rl_pair *pair = find_pair(source, sending->flow, from, to);
	if (!pair)
		return result;
	__u64 left = from->credit;
	__u32 move = describe_move(sending, from, source, taken == needed && !left);
	if (is_first_source(sending->flow, source)) {
		log_move(to, from, taken, left, move);
	} else {
		pair->moved += taken;
		pair->position = left ? pair->position + taken : from->received;
		add_move(pair, move);
	}
	return result;
}

static __noinline int pay_from_partner(struct sending *sending, struct rl_outgo *to)
{
	if (!sending || !to)
		return 0;
	struct rl_income *own = get_income(sending->flow);
	sending->host = own ? own->host : 0;
	return pay_from(sending, to, to->partner, true);
}

__noinline int pay_from_list(struct sending *sending, struct rl_outgo *to, struct rl_sources *list, __u32 length,
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
		int result = pay_from(sending, to, source.flow, false);
		if (result == SPENT)
			list->source[i].flow = 1; /* no flow has this id: passed over from now on */
		if (result == PAID)
			break;
	}
	return 0;
}

/* Nothing paid, yet the thread has just received elsewhere: a further copy of bytes that were passed on already. */
static __noinline int note_copy(struct sending *sending, struct rl_outgo *to, struct rl_thread *thread)
{
	if (!sending || !to || !thread)
		return 0;
	__u64 newest = thread->newest;
	if (!newest || newest == sending->flow || sending->now - thread->newest_ns > THREAD_REACH_NS)
		return 0;
	struct rl_income *from = get_income(newest);
	struct rl_pair *pair = from && from->host != sending->host ? find_pair(newest, sending->flow, from, to) : NULL;
	if (!pair)
		return 0;
	bool is_first = is_first_source(sending->flow, newest);
	__s64 copied = is_first ? (__s32)((__u32)from->received - to->position) : (__s64)(from->received - pair->position);
	if (copied <= 0)
		return 0;
	if (copied > sending->need)
		copied = sending->need;
	pair->copied += copied;
	pair->copies++;
	if (is_first)
		to->position += copied;
	else
		pair->position += copied;
	pair->lags[lag_bucket(sending->now - from->last_receive_ns) % RL_LAG_BUCKETS]++;
	sending->need -= copied;
	return 0;
}

static __always_inline int find_sources(struct sending *sending, struct rl_outgo *to, struct rl_thread *thread)
{
	pay_from_list(sending, to, &thread->sources, RL_THREAD_SOURCES, THREAD_REACH_NS);
	if (!sending->best || !is_paid(sending)) {
		__u32 slot = thread->slot;
		struct rl_sources *of_process = bpf_map_lookup_elem(&sources, &slot);
		if (of_process) {
			pay_from_list(sending, to, of_process, RL_PROCESS_SOURCES, HOLD_NS);
			if (!sending->best) {
				sending->same_host = 1;
				pay_from_list(sending, to, of_process, RL_PROCESS_SOURCES, HOLD_NS);
			}
		}
	}
	if (sending->best || !sending->need)
		return 0;
	struct rl_income *own = get_income(sending->flow);
	__u64 have = own ? own->credit : 0;
	if (own && have) { /* an answer: paid from what came on the same flow */
		__u64 taken = take_credit(own, have < sending->need ? have : sending->need);
		to->self_matched += taken;
		sending->need -= taken;
		sending->best = taken;
		sending->best_flow = sending->flow;
	} else {
		note_copy(sending, to, thread);
	}
	return 0;
}

/* Whether find_sources() could find anything at all: a process that only sends is spared the search. */
static __always_inline bool has_sources(struct rl_thread *thread, __u64 flow, __u64 now)
{
	if (thread->newest && now - thread->newest_ns <= THREAD_REACH_NS)
		return true;
	__u32 slot = thread->slot;
	struct rl_sources *of_process = bpf_map_lookup_elem(&sources, &slot);
	if (!of_process || !of_process->source[0].flow)
		return false; /* nothing was ever received */
	if (now - of_process->source[0].ns <= HOLD_NS)
		return true;
	struct rl_income *own = get_income(flow);
	return own && own->credit;
}

/* Who pays, where the partner did not. */
static __noinline int find_partner(struct sending *sending, struct rl_outgo *to, struct rl_thread *thread)
{
	if (!sending || !to || !thread)
		return 0;
	if (has_sources(thread, sending->flow, sending->now)) {
		struct rl_income *own = get_income(sending->flow);
		sending->host = own ? own->host : 0;
		find_sources(sending, to, thread);
	}
	if (sending->best_flow && sending->best_flow != to->partner) {
		to->is_first = is_first_source(sending->flow, sending->best_flow);
		to->partner = sending->best_flow;
	}
	to->unmatched += sending->need;
	return 0;
}

/*
 * Whether the partner lives on credit that will never be passed on (framing that was taken off, a login), while the
 * thread receives elsewhere and, without a sleep in between, sends just that.
 */
static __always_inline bool has_rival(const struct sending *sending, struct rl_outgo *to)
{
	__u64 last = sending->last;

	if (!sending->last_was_receive || last == sending->flow)
		return false;
	if (last == to->partner) {
		if (to->rivals)
			to->rivals = 0;
		return false;
	}
	struct rl_income *from = get_income(last);
	if (!from || !from->credit || from->last_run != sending->run)
		return false;
	struct rl_income *own = get_income(sending->flow);
	if (!own || from->host == own->host)
		return false;
	__u32 received = from->last_receive_bytes, sent = sending->bytes;
	if ((received > sent ? received - sent : sent - received) > FRAMING || ++to->rivals < RIVALS)
		return false;
	to->rivals = 0;
	return true;
}

/* A gap that its flow's line has no room for, and which is rare in time. */
static __noinline int note_long_gap(struct rl_income *income, __u64 id, __u64 gap)
{
	struct rl_flow *f = get_flow(id);
	if (!f || !income)
		return 0;
	f->gaps[lag_bucket(gap) % RL_LAG_BUCKETS]++;
	if (gap > HOLD_NS) {
		f->expired += income->credit;
		income->credit = 0;
	}
	return 0;
}

static __noinline int carry_gap(__u64 id, __u32 bucket)
{
	struct rl_flow *f = get_flow(id);
	if (f && bucket < RL_LAG_BUCKETS)
		f->gaps[bucket] += 256;
	return 0;
}

static __always_inline void note_receive(struct rl_income *income, __u64 id, struct rl_thread *thread,
					 struct task_struct *task, __u32 slot, __u32 bytes)
{
	__u64 now = read_clock(thread, task);
	__u64 before = income->last_receive_ns;

	if (before) {
		__u32 bucket = lag_bucket(now - before);
		barrier_var(bucket); /* what is compared is what is added: the verifier follows one register */
		if (bucket >= RL_SHORT_GAPS)
			note_long_gap(income, id, now - before);
		else if (!++income->gaps[bucket])
			carry_gap(id, bucket);
	}
	income->received += bytes;
	if (income->credit < CREDIT_MAX)
		__sync_fetch_and_add(&income->credit, bytes);
	income->last_receive_ns = now;
	income->last_receive_bytes = bytes;
	income->last_run = thread->tid ^ thread->run << 8;

	thread->newest = thread->last = id;
	thread->newest_ns = now;
	thread->last_was_receive = 1;
	if (thread->sources.source[0].flow == id)
		thread->sources.source[0].ns = now;
	else
		list_source(&thread->sources, RL_THREAD_SOURCES, id, now);
	__u32 list_time = now >> LIST_SHIFT;
	if (list_time - income->listed > LIST_INTERVAL) {
		struct rl_sources *of_process = bpf_map_lookup_elem(&sources, &slot);
		if (of_process)
			list_source(of_process, RL_PROCESS_SOURCES, id, now);
		income->listed = list_time;
	}
}

/* False where the agent has given the flow back. */
static __always_inline bool note_send(struct rl_outgo *to, __u64 id, struct rl_thread *thread, struct task_struct *task,
				      __u32 bytes)
{
	__u64 now = read_clock(thread, task);

	to->sent += bytes;
	to->sends++;
	to->last_send_ns = now;
	struct sending sending = {
		.flow = id,
		.now = now,
		.need = bytes,
		.bytes = bytes,
		.last = thread->last,
		.last_was_receive = thread->last_was_receive,
		.run = thread->tid ^ thread->run << 8,
	};
	__u64 partner = to->partner;
	if (partner == id) {
		struct rl_income *own = thread->newest == id ? get_income(id) : NULL;
		if (own && own->credit >= bytes) {
			to->self_matched += take_credit(own, bytes);
			sending.need = 0;
		}
	} else if (partner && !has_rival(&sending, to)) { /* keeps relays that hold data on their pair */
		if (to->is_first)
			pay_as_before(&sending, to);
		else
			pay_from_partner(&sending, to);
	}
	if (sending.need && !sending.best)
		find_partner(&sending, to, thread);
	thread->last = id;
	thread->last_was_receive = 0;
	/* Before anything that is kept in few bits could overflow. */
	if (to->moves == RL_OUTGO_MOVES || to->sends == SETTLE_SENDS || bytes >= SETTLE_BYTES)
		return settle_outgo(to, id);
	return true;
}

/* TCP: what is sent is kept with the socket, and the flow's record is left alone as long as can be. */
static __always_inline __u64 note_stream(struct sock *sk, struct rl_socket *s, struct rl_process *p, __u32 slot,
					 struct rl_thread *thread, struct task_struct *task, enum rl_direction direction,
					 __u64 bytes)
{
	__u64 id = s->flow_owner == slot ? s->flow : 0;
	struct rl_income *income = direction == RL_RX && id ? get_income(id) : NULL;

	if (!id || (direction == RL_RX && !income)) {
		id = find_flow_slow(sk, s, p, slot);
		if (!id)
			return 0;
		if (direction == RL_RX)
			income = get_income(id);
	}
	if (direction == RL_TX) {
		if (!note_send(&s->outgo, id, thread, task, bytes))
			s->flow = 0; /* the next event begins a new one */
	} else if (income) {
		note_receive(income, id, thread, task, slot, bytes);
	}
	return id;
}

/* All else: UDP, with a flow for each peer where it is not connected, and AF_UNIX, which is not told of its sockets' end. */
static __noinline __u64 note_message(struct sock *sk, struct rl_socket *s, __u32 slot, struct rl_thread *thread,
				     __u64 bytes_and_direction)
{
	__u32 bytes = bytes_and_direction >> 1;
	enum rl_direction direction = bytes_and_direction & 1;
	struct task_struct *task = bpf_get_current_task_btf();
	struct rl_process *p = get_process(slot);

	if (!s || !thread || !p)
		return 0;
	__u64 id = find_flow(sk, s, p, slot, thread);
	struct rl_income *income = get_income(id);
	struct rl_flow *f = get_flow(id);
	if (!income || !f)
		return 0;
	bool has_sizes = s->protocol == RL_UDP;
	if (direction == RL_RX) {
		note_receive(income, id, thread, task, slot, bytes);
		if (has_sizes)
			f->received_sizes[size_class(bytes) & (RL_SIZE_CLASSES - 1)]++;
	} else {
		note_send(&f->outgo, id, thread, task, bytes);
		if (f->outgo.sends)
			settle_outgo(&f->outgo, id);
		if (has_sizes)
			f->sent_sizes[size_class(bytes) & (RL_SIZE_CLASSES - 1)]++;
	}
	return id;
}
