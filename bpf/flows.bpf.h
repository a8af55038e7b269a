/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The flow table: how a flow is made and let go, and how it is told what its socket has kept of its sends. Which flow an
 * event is of, is in flow-peers.bpf.h; what the event writes, in ledger.bpf.c and payments.bpf.h.
 */

static __always_inline __u64 flow_id(__u32 index, __u32 generation)
{
	return (__u64)generation << 32 | index;
}

/* NULL where the agent has recycled the flow since. */
static __always_inline struct rl_income *get_income(__u64 id)
{
	__u32 index = id;
	struct rl_income *income = bpf_map_lookup_elem(&incomes, &index);
	return income && index && income->generation == id >> 32 ? income : NULL;
}

/* Likewise. What is in it is far from any cache: events do without it as far as they can. */
static __always_inline struct rl_flow *get_flow(__u64 id)
{
	__u32 index = id;
	return get_income(id) ? bpf_map_lookup_elem(&flows, &index) : NULL;
}

static __always_inline __u32 take_flow_index(void)
{
	struct rl_totals *t = get_totals();
	__u32 index;

	if (bpf_map_pop_elem(&free_flows, &index) == 0)
		return index;
	if (!t || t->flows_used >= RL_MAX_FLOWS)
		return 0;
	__u64 n = __sync_fetch_and_add(&t->flows_used, 1) + 1;
	return n < RL_MAX_FLOWS ? n : 0;
}

/* A flow for the process in `slot`, all zero but for its owner; 0 where the table is full. */
__noinline __u64 make_flow(struct rl_process *p, __u32 slot)
{
	__u32 index = take_flow_index();
	struct rl_flow *f = bpf_map_lookup_elem(&flows, &index);
	struct rl_income *income = bpf_map_lookup_elem(&incomes, &index);

	if (!index || !f || !income || !p) {
		count_lost(RL_LOST_FLOW);
		return 0;
	}
	__u32 generation = income->generation ? income->generation : 1;
	__builtin_memset(f, 0, sizeof(*f));
	__builtin_memset(income, 0, sizeof(*income));
	f->first_ns = bpf_ktime_get_ns();
	f->slot = slot;
	f->process_generation = p->generation;
	f->generation = generation;
	income->generation = generation;
	return flow_id(index, generation);
}

enum {
	MOVE_LAG = 31, /* the bits of its lag's bucket */
	MOVE_SETTLED = 1 << 5,
	MOVE_SAME_RUN = 1 << 6,
	MOVE_DIRECT = 1 << 7,
	MOVE_RECEIVED = 8, /* from here on 12 bits: the sizes of a direct move of small messages, else 0 */
	MOVE_SENT = 20,
	MOVE_SIZE = 0xfff,
};

static __always_inline void add_sizes(struct rl_pair *pair, __u64 x, __u64 y)
{
	pair->size_count++;
	pair->sum_x += x;
	pair->sum_y += y;
	pair->sum_xx += x * x;
	pair->sum_yy += y * y;
	pair->sum_xy += x * y;
}

static __always_inline void add_move(struct rl_pair *pair, __u32 move)
{
	__u32 lag = move & MOVE_LAG;
	__u64 received = move >> MOVE_RECEIVED & MOVE_SIZE, sent = move >> MOVE_SENT;

	pair->moves++;
	if (lag < RL_LAG_BUCKETS)
		pair->lags[lag]++;
	if (move & MOVE_SETTLED)
		pair->settled++;
	if (move & MOVE_SAME_RUN)
		pair->same_run++;
	if (move & MOVE_DIRECT)
		pair->direct++;
	if (received)
		add_sizes(pair, received, sent);
}

static __always_inline __u64 catch_up(__u64 total, __u32 low)
{
	return total + (__u32)(low - (__u32)total);
}

/* Adds what was sent to the flow's record. 0 where the agent has given the flow back meanwhile. */
__noinline int settle_outgo(struct rl_outgo *outgo, __u64 id)
{
	struct rl_flow *f = get_flow(id);

	if (!f || !outgo)
		return 0;
	__u32 sends = outgo->sends, moves = outgo->moves;
	outgo->sends = 0;
	outgo->moves = 0;
	f->sends += sends;
	f->last_send_ns = outgo->last_send_ns;
	f->sent = catch_up(f->sent, outgo->sent);
	f->unmatched = catch_up(f->unmatched, outgo->unmatched);
	f->self_matched = catch_up(f->self_matched, outgo->self_matched);
	f->first.moved = catch_up(f->first.moved, outgo->moved);
	for (int i = 0; i < RL_OUTGO_MOVES; i++) {
		if (i >= moves)
			break;
		add_move(&f->first, outgo->log[i]);
	}
	return 1;
}

/* Before the socket is another flow's, or nobody's. */
static __always_inline void leave_flow(struct rl_socket *s)
{
	if (s->flow && s->outgo.sends)
		settle_outgo(&s->outgo, s->flow);
	s->flow = 0;
	__builtin_memset(&s->outgo, 0, sizeof(s->outgo));
}

static __always_inline void close_flow(struct rl_socket *s)
{
	__u64 id = s->flow;

	if (s->outgo.sends)
		settle_outgo(&s->outgo, id);
	struct rl_flow *f = get_flow(id);
	if (f)
		f->closed = 1;
}
