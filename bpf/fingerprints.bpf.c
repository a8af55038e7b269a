// SPDX-License-Identifier: GPL-2.0-only
/*
 * Are the bytes that go out the very bytes that came in? Asked only where the agent runs with --fingerprints, and only
 * of flows that the ledger suspects: lags and sizes can't tell a relayed call that is held from two calls of one's own.
 *
 * Of the payload, pieces of 16 bytes are taken at places that the content itself chooses (one in 64, by a keyed hash),
 * so that it doesn't matter how it is cut into packets. What is kept of a piece is a keyed hash, in a table of fixed
 * size. The key is made at each start of the agent, which tells it to nobody; only counts leave the kernel.
 * When a piece counts: pieces.bpf.h.
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
#include "pieces.bpf.h"

/* One place in 64: calls of 160 bytes give 125 pieces a second. */
#define PLACE_BITS 6
#define PIECE 16
/* A shorter message has few pieces, which a clock or a counter in it may make new every time. */
#define LEAST_BYTES 64
#define TICKS_IN_SECOND_BITS 2
/* A call has 8 KB a second. Of more than this what comes first in each second is enough. */
#define LOOKED_BYTES (256 << 10)
/* The stack holds a chunk, not a packet. */
#define CHUNK 128
#define CHUNKS (65536 / CHUNK)

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
