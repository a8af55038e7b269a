/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the agent tells the kernel to hold processes to, and what the kernel has done about it. Part of relayledger.h.
 * A policy's number is its index in `policies`; a process has up to four of them in rl_process.policies, 16 bits each.
 */
#ifndef RELAYLEDGER_ENFORCEMENT_H
#define RELAYLEDGER_ENFORCEMENT_H

enum rl_enforcement_limits {
	RL_MAX_POLICIES = 128, /* the first is none */
	RL_PROCESS_POLICIES = 4,
	RL_POLICY_NAME_LENGTH = 128,
	RL_COST_SHIFT = 16,
	RL_MAX_PROTECTED_PROGRAMS = 1024,
};

enum rl_policy_flag {
	RL_POLICY_RELAY = 1 << 0, /* holds ruled flows only */
	RL_POLICY_SENT = 1 << 1,
	RL_POLICY_RECEIVED = 1 << 2,
	RL_POLICY_QUOTA = 1 << 3,
	RL_POLICY_QUOTA_THROTTLE = 1 << 4,
	RL_POLICY_QUOTA_DENY = 1 << 5,
	RL_POLICY_DENY_INBOUND = 1 << 6,
	RL_POLICY_DENY_OUTBOUND = 1 << 7,
	RL_POLICY_REJECT = 1 << 8,
	RL_POLICY_EARLY = 1 << 9,
	RL_POLICY_INSTALLED = 1 << 10,
};

/* Terms of an early match: all that are set must hold. */
enum rl_early_term { RL_EARLY_NAME = 1, RL_EARLY_EXECUTABLE = 2, RL_EARLY_EXECUTABLE_NAME = 4, RL_EARLY_UID = 8 };

/* 0 bytes per second: no limit. */
struct rl_limit {
	__u64 rate_bytes_per_second;
	__u64 cost; /* ns a byte, << RL_COST_SHIFT */
};

/*
 * One direction's allowance of a policy; all flows that it holds write here. The first cache line is what each packet
 * needs. Times are CLOCK_MONOTONIC.
 */
struct rl_allowance {
	__u64 used_until_ns; /* virtual time: when what has passed is paid for */
	__u64 passed_bytes;
	__u64 fair_cost; /* as rl_limit.cost, for one active flow */
	__u64 limit_rate; /* the limit that all this was worked out for */
	__u64 epoch_ends_ns;
	__u64 tick; /* jiffies, when the coarse clock was read */
	__u64 tick_ns; /* what it said */
	__u32 epoch;
	__u32 active_flows; /* in this epoch so far */
	__u64 throttled_bytes;
	__u64 last_held_back_ns;
	__u64 fair_rate;
	__u32 active_streams; /* of active_flows: TCP */
	__u32 present_streams;
	__u32 present_flows; /* of this epoch or the last one, and not ended */
	__u32 epoch_drops;
	__u64 epoch_began_ns;
	__u64 epoch_passed_bytes; /* passed_bytes when it began */
	__u64 dropped_packets;
	__u64 denied_packets;
	__u64 quota_packets;
	__u32 epoch_packet_bytes; /* the greatest of the packets that its flows send at least */
	__u32 reserved_epoch;
	__u64 reserved[5];
};

struct rl_policy {
	/* Written by the agent. */
	enum rl_policy_flag flags; /* any of them; 0: free, as the kernel writes when it has expired */
	__u16 first_port;
	__u16 last_port;
	struct rl_limit limits[2]; /* the second one counts while the quota is used up */
	__u64 quota_bytes;
	__u64 quota_period_ns; /* 0: the agent sets each end */
	__u64 expires_ns; /* CLOCK_BOOTTIME; 0: never */
	enum rl_early_term early_terms;
	__u32 early_uid;
	__u64 early_executable; /* hashes of the path as rl_process_details has it */
	__u64 early_executable_name;
	char early_name[RL_NAME_LENGTH];
	__u64 reserved_early[3];
	char name[RL_POLICY_NAME_LENGTH]; /* NUL-terminated UTF-8 */
	/* Written by the kernel; the agent writes when it installs. */
	__u64 quota_used_bytes;
	__u64 quota_ends_ns; /* CLOCK_BOOTTIME; 0: never */
	__u64 refused_calls;
	__u32 exhausted;
	__u32 unpaced; /* packets of TCP connections without a pace, or an answer: the agent goes round once more */
	__u64 quota_passed_bytes[2]; /* by enum rl_direction; over all periods */
	__s64 quota_clock_ns; /* CLOCK_REALTIME less CLOCK_BOOTTIME as quota_ends_ns was worked out */
	__u64 reserved_state;
	struct rl_allowance allowances[2]; /* by enum rl_direction */
};

/* By flow index. Ruled as relayed where the generation is the flow's. */
struct rl_ruling {
	__u32 generation;
	__u32 owed_bytes; /* moved before the ruling and not charged yet */
};

/* One direction of one flow under one policy. */
struct rl_share {
	__u64 used_until_ns; /* as in rl_allowance, of the flow's own share */
	__u32 epoch;         /* when it was active last */
	__u32 reserved;
};

/* Kept with each socket that a rate policy holds. */
struct rl_held {
	struct rl_share shares[2][RL_PROCESS_POLICIES]; /* by enum rl_direction, and the policy's place */
	__u64 own_pacing; /* what its program had asked for by SO_MAX_PACING_RATE */
	__u32 pacing;     /* what we have asked for; 0: nothing */
	__u32 clamp;      /* of the congestion window; 0: none */
	__u32 window;     /* TCP_WINDOW_CLAMP that we have set; 0: none */
	__u32 own_window; /* what it was before */
	__u8 is_wide;     /* its congestion window is from before the clamp, and greater */
	__u8 has_asked;   /* its sender has had to ask for a window that was closed */
	__u16 unanswered; /* packets that have come since a window was offered last */
	__u32 offered_ms; /* when a window was offered last, modulo 2^32 */
};

/* Who calls a listener that policies hold, from its SYN to the making of its request. */
struct rl_call {
	__u64 held_to; /* as rl_process.policies */
	__u16 local_port;
	__u16 remote_port;
	__u32 reserved;
};

/* A port that is rejected. */
struct rl_listener {
	__u32 netns; /* inode number, as in /proc/PID/ns/net */
	__u32 port;
};

enum rl_noted { RL_NOTED_NOT = 0, RL_NOTED_REJECTED = 1, RL_NOTED_OTHER = 2 };

/* Those who listen there. */
struct rl_rejection {
	__u32 id; /* tells it from an earlier entry for the same port */
	__u32 policy;
	__s32 rejected; /* listeners that the policy rejects */
	__s32 others;
};

/* A port that strangers' datagrams are rejected at. */
struct rl_datagram_port {
	__u32 netns;
	__u16 port;
	__u16 family; /* of the datagrams: AF_INET, AF_INET6 */
};

/* The socket that is bound there. */
struct rl_datagram_socket {
	__u64 cookie;
	__u32 slot; /* of its owner */
	__u32 generation;
	__u32 shared; /* others are bound there, too: nothing tells whose a datagram would be */
	__u32 reserved;
};

/* Whose connections the destroy iterators take, and what they took. */
struct rl_destroy {
	__u32 slot;
	__u32 generation;
	__u32 ruled_only;
	__u32 destroyed;
};

#endif
