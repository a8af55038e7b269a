/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is known of a piece of content: where it came in, on which flows it went out since, and whether it is so common
 * that it proves nothing.
 *
 * A piece counts as sent wherever it is sent. It counts as matched once for each flow that it goes out on, where it
 * came in by another flow of the process, once, and neither it nor either half of it had been seen before: what comes
 * again and again (headers, heartbeats) is in everybody's traffic and proves nothing, a clock within it included. A
 * field that changes, and is shorter than a piece, makes both halves new in less than half of the pieces that it is in.
 * Pieces of few different bytes (silence, zeros) are not taken.
 */

/* Of 16 random bytes, 14 differ in their low six bits; nine rule out all patterns of eight bytes or less. */
#define LEAST_VARIETY 9
/* As long as the ledger waits (HOLD_NS in payments.bpf.h): 60 ticks are sixteen seconds. */
#define HOLD_TICKS 60

/* Random at each start; the first one is odd. */
const volatile __u64 print_key[4] = {};

/* By number: the flows that are looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_PRINT_FLOWS);
	__type(key, __u32);
	__type(value, struct rl_print_flow);
} print_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_PRINT_SETS);
	__type(key, __u32);
	__type(value, struct rl_print_set);
} prints SEC(".maps");

/* What was seen of halves, the last ones: by the low bits of their hash, the high ones. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RL_PRINT_HALVES);
	__type(key, __u32);
	__type(value, __u32);
} print_halves SEC(".maps");

/* One piece, and where it was seen. */
struct piece {
	__u64 older; /* its first eight bytes */
	__u64 newer;
	__u32 number;
	__u32 process;
	__u32 tick;
	enum rl_direction direction;
};

static __always_inline struct rl_print_flow *get_flow(__u32 number)
{
	return bpf_map_lookup_elem(&print_flows, &number);
}

/* Multiply and fold: 64 bits that say nothing to who hasn't the key. */
static __always_inline __u64 hash_piece(const struct piece *piece)
{
	__u64 hash = (piece->older ^ print_key[1]) * print_key[0];
	hash ^= hash >> 32;
	hash = (hash + (piece->newer ^ print_key[2])) * (print_key[3] | 1);
	hash ^= hash >> 32;
	hash = (hash + piece->process) * print_key[0];
	hash ^= hash >> 32;
	return hash ? hash : 1;
}

/* Without branches, of which the verifier would follow every combination. */
static __always_inline bool is_varied(__u64 older, __u64 newer)
{
	__u64 seen = 0;

#pragma unroll
	for (int i = 0; i < 64; i += 8)
		seen |= 1ULL << (older >> i & 63) | 1ULL << (newer >> i & 63);
	seen -= seen >> 1 & 0x5555555555555555ULL;
	seen = (seen & 0x3333333333333333ULL) + (seen >> 2 & 0x3333333333333333ULL);
	seen = (seen + (seen >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (seen * 0x0101010101010101ULL) >> 56 >= LEAST_VARIETY;
}

static __always_inline __u64 make_state(__u32 tick, __u32 number)
{
	return (__u64)tick << 32 | number << 16;
}

static __always_inline __u32 source_of(__u64 state)
{
	return state >> 16 & 0xffff;
}

static __always_inline bool is_fresh(__u64 state, __u32 tick)
{
	return source_of(state) != RL_PRINT_COMMON && tick - (__u32)(state >> 32) <= HOLD_TICKS;
}

/* It came in and may still go out; further copies of what went out are not waited for. */
static __always_inline bool is_waiting(__u64 state, __u32 tick)
{
	return is_fresh(state, tick) && !(state & 0xffff);
}

/* In an empty place, else in that of the oldest one; those that are still looked for stay as long as they can. */
static __always_inline void keep(struct rl_print_set *set, __u64 tag, __u64 state, __u32 tick)
{
	struct rl_print *place = &set->way[0];
	__u32 age = 0;

#pragma unroll
	for (int i = 0; i < RL_PRINT_WAYS; i++) {
		struct rl_print *print = &set->way[i];
		__u64 state = print->state;
		__u32 its_age = tick - (__u32)(state >> 32) + 1;
		if (!print->tag)
			its_age = 0xffffffff;
		else if (!is_waiting(state, tick))
			its_age += HOLD_TICKS + 1;
		if (its_age > age) {
			age = its_age;
			place = print;
		}
	}
	__u64 was = place->state;
	if (place->tag && is_waiting(was, tick)) {
		struct rl_print_flow *f = get_flow(source_of(was));
		if (f)
			__sync_fetch_and_add(&f->evicted, 1);
	}
	place->tag = tag;
	place->state = state;
}

static __always_inline struct rl_print *find(struct rl_print_set *set, __u64 tag)
{
	for (int i = 0; i < RL_PRINT_WAYS; i++)
		if (set->way[i].tag == tag)
			return &set->way[i];
	return NULL;
}

static __always_inline void match(struct rl_print *print, struct rl_print_flow *to, const struct piece *piece)
{
	__u64 state = print->state, taken = 1ULL << (piece->number & 15);
	__u32 source = source_of(state);

	if (!is_fresh(state, piece->tick) || source == piece->number || state & taken)
		return;
	/* Another CPU may be sending the same: each piece counts once. */
	if (__sync_val_compare_and_swap(&print->state, state, state | taken) != state)
		return;
	__sync_fetch_and_add(&to->matched_from[source & (RL_PRINT_FLOWS - 1)], 1);
}

/* Whether it is the first of its like; it is known from then on. */
static __always_inline bool is_new(__u64 half, __u32 process)
{
	__u64 hash = ((half ^ print_key[2]) + process) * print_key[0];
	hash ^= hash >> 32;
	hash *= print_key[3] | 1;
	__u32 index = (hash >> 17) & (RL_PRINT_HALVES - 1), tag = hash >> 32;
	__u32 *seen = bpf_map_lookup_elem(&print_halves, &index);
	if (!seen || *seen == tag)
		return false;
	*seen = tag;
	return true;
}

/* Not static, so that it is verified once and not at every place of a chunk. */
__noinline int note_piece(struct piece *piece)
{
	if (!piece || !is_varied(piece->older, piece->newer))
		return 0;
	__u64 tag = hash_piece(piece);
	__u32 index = tag & (RL_PRINT_SETS - 1);
	struct rl_print_set *set = bpf_map_lookup_elem(&prints, &index);
	struct rl_print_flow *f = get_flow(piece->number);
	if (!set || !f)
		return 0;
	struct rl_print *print = find(set, tag);
	/* Both become known, whatever the first one is. */
	bool is_older_new = is_new(piece->older, piece->process), is_newer_new = is_new(piece->newer, piece->process);
	if (piece->direction == RL_RX) {
		__sync_fetch_and_add(&f->received, 1);
		if (print)
			print->state = make_state(piece->tick, RL_PRINT_COMMON);
		else
			keep(set, tag, make_state(piece->tick, is_older_new && is_newer_new ? piece->number : RL_PRINT_COMMON), piece->tick);
		return 0;
	}
	__sync_fetch_and_add(&f->sent, 1);
	if (print)
		match(print, f, piece);
	else
		keep(set, tag, make_state(piece->tick, RL_PRINT_COMMON), piece->tick);
	return 0;
}
