// SPDX-License-Identifier: GPL-2.0-only
/*
 * Are the bytes that go out the very bytes that came in? Asked only where the agent runs with --fingerprints, and only
 * of flows that the ledger suspects: lags and sizes can't tell a relayed call that is held from two calls of one's own.
 *
 * Of the payload, pieces of 16 bytes are taken at places that the content itself chooses (one in 64, by a keyed hash),
 * so that it doesn't matter how it is cut into packets. What is kept of a piece is a keyed hash, in a table of fixed
 * size. The key is made at each start of the agent, which tells it to nobody; only counts leave this file.
 *
 * A piece counts as sent wherever it is sent. It counts as matched once for each flow that it goes out on, where it
 * came in by another flow of the process, once, and neither it nor either half of it had been seen before: what comes
 * again and again (headers, heartbeats) is in everybody's traffic and proves nothing, a clock within it included. A
 * field that changes, and is shorter than a piece, makes both halves new in less than half of the pieces that it is in.
 * Pieces of few different bytes (silence, zeros) are not taken.
 *
 * Hooks:  cgroup_skb/ingress and cgroup_skb/egress on the root cgroup, while anybody is suspected.
 * Cost:   a socket's cookie and a bit for each packet of anybody; for those of suspected flows some
 *         nanoseconds a byte, of at most LOOKED_BYTES a second, flow and direction.
 * Blind:  re-encrypted or compressed relays; messages below LEAST_BYTES; MPTCP, AF_UNIX.
 */
#include "kernel.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "relayledger.h"
#include "fingerprints.h"

#include "packets.bpf.h"

/* One place in 64: calls of 160 bytes give 125 pieces a second. */
#define PLACE_BITS 6
#define PIECE 16
/* A shorter message has few pieces, which a clock or a counter in it may make new every time. */
#define LEAST_BYTES 64
/* Of 16 random bytes, 14 differ in their low six bits; nine rule out all patterns of eight bytes or less. */
#define LEAST_VARIETY 9
/* As long as the ledger waits (HOLD_NS in payments.bpf.h): 60 ticks are sixteen seconds. */
#define HOLD_TICKS 60
#define TICKS_IN_SECOND_BITS 2
/* A call has 8 KB a second. Of more than this what comes first in each second is enough. */
#define LOOKED_BYTES (256 << 10)
/* The stack holds a chunk, not a packet. */
#define CHUNK 128
#define CHUNKS (65536 / CHUNK)

/* Random at each start; the first one is odd. */
const volatile __u64 print_key[4] = {};

/*
 * A bit for each socket that is looked at, by its cookie's low bits: all others' packets are done with here. Written by
 * the agent.
 */
#define FILTER_BITS 4096
volatile __u64 print_filter[FILTER_BITS / 64];

/* By cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RL_PRINT_FLOWS);
	__type(key, __u64);
	__type(value, struct rl_print_socket);
} print_sockets SEC(".maps");

/* By socket and peer; its `slot` is 0, as a packet doesn't tell for whom of several it is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RL_PRINT_FLOWS);
	__type(key, struct rl_peer_key);
	__type(value, __u32);
} print_peers SEC(".maps");

/* By number. */
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

struct scan {
	struct __sk_buff *skb;
	__u64 older; /* the last 16 bytes, the newest in the top byte of `newer` */
	__u64 newer;
	__u32 offset;
	__u32 end;
	__u32 filled;
	__u32 number;
	__u32 process;
	__u32 tick;
	enum rl_direction direction;
};

static long scan_chunk(__u32 i, struct scan *scan)
{
	__u8 bytes[CHUNK] = {};
	__u32 length = scan->offset < scan->end ? scan->end - scan->offset : 0;

	if (length > CHUNK)
		length = CHUNK;
	barrier_var(length); /* or clang checks one register and the verifier another */
	if (!length || length > CHUNK || bpf_skb_load_bytes(scan->skb, scan->offset, bytes, length))
		return 1;
	__u64 older = scan->older, newer = scan->newer, mask = print_key[1], factor = print_key[0];
	__u32 filled = scan->filled;
	for (__u32 j = 0; j < CHUNK; j++) {
		if (j >= length)
			break;
		older = older >> 8 | newer << 56;
		newer = newer >> 8 | (__u64)bytes[j] << 56;
		if (((newer ^ older << 1 ^ mask) * factor) >> (64 - PLACE_BITS) || filled + j < PIECE - 1)
			continue;
		struct piece piece = {
			.older = older,
			.newer = newer,
			.number = scan->number,
			.process = scan->process,
			.tick = scan->tick,
			.direction = scan->direction,
		};
		note_piece(&piece);
	}
	scan->older = older;
	scan->newer = newer;
	scan->filled = filled + length;
	scan->offset += length;
	return 0;
}

static __always_inline bool find_peer(struct __sk_buff *skb, enum rl_direction direction, const struct ends *ends,
				      __u64 cookie, __u32 *number)
{
	struct rl_peer_key key = {.cookie = cookie};

	if (!read_port(skb, direction, ends, &key.port))
		return false;
	__builtin_memcpy(key.address, ends->address, 16);
	__u32 *known = bpf_map_lookup_elem(&print_peers, &key);
	if (known)
		*number = *known;
	return known;
}

static __noinline int look(struct __sk_buff *skb, __u64 cookie, struct rl_print_socket *socket,
			  enum rl_direction direction)
{
	struct ends ends = {};
	__u32 number = socket->number, header = UDP_HEADER;
	__u8 words;

	if (!read_ends(skb, direction, &ends))
		return 0;
	if (ends.protocol == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, ends.transport + 12, &words, 1))
			return 0;
		header = (words >> 4) * 4;
	} else if (ends.protocol != IPPROTO_UDP && ends.protocol != IPPROTO_UDPLITE) {
		return 0;
	}
	if (socket->by_peer && !find_peer(skb, direction, &ends, cookie, &number))
		return 0;
	struct rl_print_flow *f = get_flow(number);
	if (!f)
		return 0;
	struct scan scan = {
		.skb = skb,
		.offset = ends.transport + header,
		.end = skb->len,
		.number = number,
		.process = f->process,
		.tick = bpf_ktime_get_coarse_ns() >> RL_PRINT_TICK_SHIFT,
		.direction = direction,
	};
	if (scan.end < scan.offset + LEAST_BYTES)
		return 0;
	__u32 d = direction & 1, second = scan.tick >> TICKS_IN_SECOND_BITS, bytes = scan.end - scan.offset;
	if (f->second[d] != second) {
		f->second[d] = second;
		f->looked[d] = 0;
	}
	if (f->looked[d] >= LOOKED_BYTES) {
		__sync_fetch_and_add(&f->skipped_bytes, bytes);
		return 0;
	}
	f->looked[d] += bytes;
	bpf_loop(CHUNKS, scan_chunk, &scan, 0);
	return 0;
}

static __always_inline int look_at(struct __sk_buff *skb, enum rl_direction direction)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	if (!(print_filter[cookie / 64 % (FILTER_BITS / 64)] >> cookie % 64 & 1))
		return 1;
	struct rl_print_socket *socket = bpf_map_lookup_elem(&print_sockets, &cookie);
	if (socket)
		look(skb, cookie, socket, direction);
	return 1;
}

SEC("cgroup_skb/ingress")
int print_ingress(struct __sk_buff *skb)
{
	return look_at(skb, RL_RX);
}

SEC("cgroup_skb/egress")
int print_egress(struct __sk_buff *skb)
{
	return look_at(skb, RL_TX);
}

char LICENSE[] SEC("license") = "GPL";
