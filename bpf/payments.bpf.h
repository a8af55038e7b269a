/* SPDX-License-Identifier: GPL-2.0-only */
/* Who pays for a send: the flow that paid for the one before, else whatever the thread or the process received last. */

/* A credit older than this when more comes is not going to be passed on: the longest that held relays hold. */
#define HOLD_NS 16000000000ULL
/* In a list of sources, of one that has nothing left; no index of a flow is as high. */
#define SPENT (1ULL << 31)
/* What is missing from a send is framing up to this many bytes or a sixteenth: no other source is charged for it. */
#define FRAMING 64
/* So many sends that answer other flows than the partner, with none between that answers it, and it pays no more. */
#define RIVALS 3

/* So many copies of what a source receives, and what comes from it goes on to be sent: some of it late, or with another's. */
#define FOLLOWS 8
/* A send may hold messages of so many sources. */
#define COPY_SOURCES 4

enum { EMPTY = 0, TRIED = 1, PAID = 2 };

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

/* The length in bits of a number below 2^32 in which all bits below the highest are set, by a de Bruijn product's top. */
static const __u8 lengths[32] = {1, 10, 2, 11, 14, 22, 3, 30, 12, 15, 17, 19, 23, 26, 4, 31,
				 9, 13, 21, 29, 16, 18, 25, 8, 20, 28, 24, 7, 27, 6, 5, 32};

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

static __always_inline void count_lag(__u32 lags[RL_LAG_BUCKETS], __u64 ns)
{
	__u32 bucket = lag_bucket(ns);
	barrier_var(bucket); /* what is compared is what is added: the verifier follows one register */
	if (bucket < RL_LAG_BUCKETS)
		lags[bucket]++;
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
		return EMPTY;
	__u64 have = from->credit;
	if (!have) {
		from->listed = 0; /* the next receive lists it again */
		return EMPTY;
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
		return EMPTY;
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
		if (source.flow == sending->flow || source.flow & SPENT)
			continue;
		int result = pay_from(sending, to, source.flow, false);
		if (result == EMPTY)
			list->source[i].flow |= SPENT; /* passed over from now on */
		if (result == PAID)
			break;
	}
	return 0;
}

/* Whether all that is missing came, but for framing, or the other way round. */
static __always_inline bool is_as_much(__u64 need, __u64 came)
{
	__u64 apart = need > came ? need - came : came - need;
	return apart <= FRAMING || apart <= need / 16;
}

/*
 * Next to nothing paid, yet `newest` was just received: by this thread, which may have passed on some of it; or by another
 * one (`is_whole`): then the send is to be as much as has come since the last, or, where the next has come already, but it.
 */
static __noinline int copy_from(struct sending *sending, struct rl_outgo *to, __u64 newest, bool is_whole)
{
	struct rl_income *from = get_income(newest);
	if (!from || !sending || !to || from->host == sending->host)
		return 0;
	__u32 last = from->last_receive_bytes;
	if (sending->best && last < sending->bytes / 2)
		return 0;
	bool is_first = is_first_source(sending->flow, newest);
	struct rl_pair_key key = {.source = newest, .destination = sending->flow};
	/* A pair that may begin with it: not for what happens to follow. */
	if (is_whole && !is_first && newest != to->partner && !is_as_much(sending->need, last) &&
	    !bpf_map_lookup_elem(&pairs, &key))
		return 0;
	struct rl_pair *pair = find_pair(newest, sending->flow, from, to);
	if (!pair)
		return 0;
	is_first = is_first_source(sending->flow, newest);
	__s64 copied = is_first ? (__s32)((__u32)from->received - to->position) : (__s64)(from->received - pair->position);
	if (copied <= 0)
		return 0;
	__u64 after = 0;
	if (is_whole) {
		if (copied > last && !is_as_much(sending->need, copied) && is_as_much(sending->need, copied - last))
			after = last;
		copied -= after;
		if (((__u64)copied | sending->need) <= MOVE_SIZE)
			add_sizes(pair, copied, sending->need); /* whether it agrees or not, so that agreement says something */
	}
	bool agrees = is_whole && is_as_much(sending->need, copied);
	bool is_copy = !is_whole || agrees || pair->copies >= FOLLOWS;
	if (is_copy && !agrees && copied > sending->need)
		after = copied - sending->need;
	if (is_first)
		to->position = from->received - after;
	else
		pair->position = from->received - after;
	if (!is_copy)
		return 0;
	if (copied > sending->need)
		copied = sending->need;
	pair->copied += copied;
	pair->copies++;
	__s64 lag = sending->now - from->last_receive_ns;
	count_lag(pair->lags, lag > 0 ? lag : 0);
	sending->need -= copied;
	return is_paid(sending);
}

/* Whether it was received within reach, whoever did. */
static __always_inline bool is_recent(const struct sending *sending, __u64 flow)
{
	struct rl_income *from = get_income(flow);
	/* Its clock may be a few events old, and the receive later. */
	return from && flow != sending->flow && (__s64)(sending->now - from->last_receive_ns) <= (__s64)THREAD_REACH_NS;
}

/*
 * A further copy of bytes that were passed on already. The thread has just received them; or it only sends, as in brokers
 * that have a thread for each listener, and another one has.
 * Where something did pay, as the acknowledgement of an earlier copy does, only if what came explains most of the send.
 */
static __noinline int note_copy(struct sending *sending, struct rl_outgo *to, struct rl_thread *thread)
{
	if (!sending || !to || !thread)
		return 0;
	if (thread->newest && sending->now - thread->newest_ns <= THREAD_REACH_NS) {
		if (thread->newest == sending->flow || copy_from(sending, to, thread->newest, false))
			return 0;
	}
	__u32 slot = thread->slot;
	struct rl_sources *of_process = bpf_map_lookup_elem(&sources, &slot);
	if (!of_process)
		return 0;
	for (int i = 0; i < COPY_SOURCES; i++) {
		__u64 source = of_process->source[i].flow & ~SPENT;
		if (!source)
			break;
		if (is_recent(sending, source) && copy_from(sending, to, source, true))
			return 0;
	}
	if (is_recent(sending, to->partner))
		copy_from(sending, to, to->partner, true);
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
	struct rl_income *own = sending->best || !sending->need ? NULL : get_income(sending->flow);
	__u64 have = own ? own->credit : 0;
	if (own && have) { /* an answer: paid from what came on the same flow */
		__u64 taken = take_credit(own, have < sending->need ? have : sending->need);
		to->self_matched += taken;
		sending->need -= taken;
		sending->best = taken;
		sending->best_flow = sending->flow;
	}
	if (sending->need > sending->bytes / 2)
		note_copy(sending, to, thread);
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
