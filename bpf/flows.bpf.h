/* SPDX-License-Identifier: GPL-2.0-only */
/* The flow table: how a flow is found, made and let go. The ledger (ledger.bpf.c) says what is written into it. */

static __always_inline __u64 flow_id(__u32 index, __u32 generation)
{
	return (__u64)generation << 32 | index;
}

/* NULL where the agent has recycled the flow since. */
static __always_inline struct rl_flow *get_flow(__u64 id)
{
	__u32 index = id;
	struct rl_flow *f = bpf_map_lookup_elem(&flows, &index);
	return f && index && f->generation == id >> 32 ? f : NULL;
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

	if (!index || !f || !p) {
		count_lost(RL_LOST_FLOW);
		return 0;
	}
	__u32 generation = f->generation ? f->generation : 1;
	__builtin_memset(f, 0, sizeof(*f));
	f->generation = generation;
	f->slot = slot;
	f->process_generation = p->generation;
	return flow_id(index, generation);
}

static __always_inline void close_flow(__u64 id)
{
	struct rl_flow *f = get_flow(id);
	if (f)
		f->closed = 1;
}
