/* SPDX-License-Identifier: GPL-2.0-only */
/* What crosses between fingerprints.bpf.c and the agent. The rest of what is said in relayledger.h holds here, too. */
#ifndef RELAYLEDGER_FINGERPRINTS_H
#define RELAYLEDGER_FINGERPRINTS_H

enum rl_print_limits {
	RL_PRINT_FLOWS = 128,
	RL_PRINT_SETS = 16384,
	RL_PRINT_WAYS = 4,
	RL_PRINT_HALVES = 32768,
	RL_PRINT_TICK_SHIFT = 28, /* a tick is 2^28 ns, about a quarter of a second */
};

/* In the place of a flow's number: content that was sent here, or came more than once. It is no evidence. */
#define RL_PRINT_COMMON 0xffffU

/* A piece that was seen, by the keyed hash of its content. */
struct rl_print {
	__u64 tag;   /* 0: none */
	/*
	 * tick << 32 | number of the flow that it came in on << 16 | a bit for each flow that it went out on, by the low
	 * four bits of its number: of two with the same the second is not counted.
	 */
	__u64 state;
};

/* One cache line. */
struct rl_print_set {
	struct rl_print way[RL_PRINT_WAYS];
};

struct rl_print_socket {
	__u32 number;  /* of its flow */
	__u32 by_peer; /* UDP: its flows are found by the packet's other end, as struct rl_peer_key */
};

/* A flow that is looked at. Counters are of pieces, since it has been. */
struct rl_print_flow {
	__u32 process; /* slot; written by the agent: content is compared within one process */
	__u32 reserved;
	__u64 received;
	__u64 sent;
	__u64 evicted;       /* came in, and had to make room before they were looked for long enough */
	__u64 skipped_bytes; /* beyond what is looked at in a second */
	__u32 second[2];     /* by direction (enum rl_direction): what is looked at in this second, and how much it was */
	__u32 looked[2];
	__u32 matched_from[RL_PRINT_FLOWS]; /* of what was sent, by the flow that it came in on */
};

#endif
