/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The controller of one allowance: a bucket in virtual time for what passes, and the rate that is fair for one active
 * flow. It runs in the packet path, once an epoch of 100 ms or of some packets of the slowest pace.
 */

/* How much unused allowance is kept. */
#define BUCKET_NS 150000000ULL
/* From here on nobody has to give way, or to wait. */
#define FULL_NS (BUCKET_NS - 20000000ULL)
/* Where the controller wants the bucket: half full, so that it neither runs dry nor over. */
#define RESERVE_NS 75000000ULL
/* How far it may be overdrawn by flows that are below their own share. */
#define DEBT_NS 350000000ULL
/* How much of its own share a flow may save up. */
#define OWN_BUCKET_NS 20000000ULL
/*
 * What is received: also what its window may offer. A sender that has used it up asks again after 200 ms and some ticks,
 * and once more: it is the answer to the second question that offers what was saved (windows.bpf.h).
 */
#define OWN_WINDOW_NS 450000000ULL
#define EPOCH_MIN_NS 100000000ULL
#define SECOND_NS 1000000000ULL
#define NOMINAL_SEGMENT 1448

/* What is held of a packet: its payload, by whose rules, on which socket. */
struct parcel {
	__u64 now;
	__u32 payload;
	__u32 unit;     /* the least that its flow sends at a time, as far as it shows; 0: unknown */
	bool is_stream; /* TCP */
	bool by_window; /* TCP received: held by what is offered, some time before it comes */
	__u16 caller;   /* of a SYN without an acknowledgement: its source port */
	bool begins;    /* such a SYN */
	__u8 ends;      /* FIN or RST: nothing new follows; a bool would be two ways for the verifier */
};

static __always_inline __u64 cost_of(__u64 bytes, __u64 cost)
{
	return bytes * cost >> RL_COST_SHIFT;
}

static __always_inline const struct rl_limit *get_limit(struct rl_policy *policy)
{
	return policy->flags & RL_POLICY_QUOTA_THROTTLE && policy->exhausted ? &policy->limits[1] : &policy->limits[0];
}

static __always_inline bool limits(struct rl_policy *policy, enum rl_direction direction)
{
	__u32 both = RL_POLICY_SENT | RL_POLICY_RECEIVED;
	__u32 flags = policy->flags;
	if (flags & RL_POLICY_QUOTA_THROTTLE && policy->exhausted)
		flags |= flags & RL_POLICY_RELAY ? RL_POLICY_SENT : both;
	return flags & (direction == RL_TX ? RL_POLICY_SENT : RL_POLICY_RECEIVED);
}

/*
 * Three packets of a flow at this rate: in less, flows would seem to come and go. TCP sends two segments at a time at
 * the least, but no more than 64 KB: one on loopback.
 */
static __always_inline __u64 fair_epoch_ns(__u64 fair_rate, __u64 packet_bytes)
{
	__u64 least = 2 * NOMINAL_SEGMENT;
	__u64 ns = 3 * (packet_bytes < least ? least : packet_bytes) * SECOND_NS / (fair_rate | 1);
	return ns < EPOCH_MIN_NS ? EPOCH_MIN_NS : ns > 10 * SECOND_NS ? 10 * SECOND_NS : ns;
}

static __always_inline void set_fair(struct rl_allowance *a, __u64 rate)
{
	a->fair_rate = rate ? rate : 1;
	a->fair_cost = (SECOND_NS << RL_COST_SHIFT) / a->fair_rate;
}

/* A limit that is new, or was changed: what was learnt under the old one is scaled. */
__noinline int begin_allowance(struct rl_allowance *a, __u64 rate, __u64 now)
{
	if (!a || !rate)
		return 0;
	__u64 flows = a->present_flows ? a->present_flows : 1;
	if (!a->limit_rate)
		flows = 1;
	a->limit_rate = rate;
	set_fair(a, rate / flows);
	a->used_until_ns = now - RESERVE_NS;
	a->epoch_began_ns = now;
	a->epoch_passed_bytes = a->passed_bytes;
	a->epoch_drops = 0;
	a->epoch_ends_ns = now + fair_epoch_ns(a->fair_rate, a->epoch_packet_bytes);
	return 0;
}

/*
 * Where the bucket is not full, the limit is what its streams go by: what passed in this epoch has waited, most of it in
 * its sender's own stack, where none of us sees it wait. Datagrams don't: those that may not pass are dropped.
 */
static __always_inline void note_delayed(struct rl_allowance *a, __u64 passed, __u64 active, __u64 now)
{
	__u64 streams = (__s32)a->active_streams > 0 ? a->active_streams : 0;

	if (!streams || (__s64)(now - a->used_until_ns) > (__s64)FULL_NS)
		return;
	__sync_fetch_and_add(&a->throttled_bytes, streams < active ? passed * streams / active : passed);
	a->last_held_back_ns = now;
}

/*
 * The fair rate follows what was measured: up where active flows left something of the limit, down where they took
 * more. The bucket's level is the integral of all errors so far, and bounded as the bucket is.
 */
__noinline int end_epoch(struct rl_allowance *a, __u64 rate, __u64 now)
{
	if (!a || !rate)
		return 0;
	__u64 took = now - a->epoch_began_ns;
	__u64 passed = a->passed_bytes - a->epoch_passed_bytes;
	__u64 active = (__s32)a->active_flows > 0 ? a->active_flows : 1; /* below 0 where a flow ended meanwhile */
	__u64 fair = a->fair_rate;
	__s64 level = (__s64)(now - RESERVE_NS - a->used_until_ns);
	if (level < -(__s64)SECOND_NS)
		level = -(__s64)SECOND_NS;
	if (level > (__s64)FULL_NS)
		level = RESERVE_NS;
	/* In ns of the limit: what should pass in an epoch like this one, and a quarter of what is missing. */
	__s64 wanted = (__s64)took + (level >> 2);
	if (wanted < (__s64)(took >> 2))
		wanted = took / 4;
	__u64 used = cost_of(passed, (SECOND_NS << RL_COST_SHIFT) / rate);
	if (used) {
		__u64 next = fair * ((__u64)wanted >> 10) / ((used >> 10) | 1);
		__u64 most = fair + fair / 4, least = fair - fair / 3;
		if (a->epoch_drops) /* bursts that met: no reason to go below an equal share */
			most = fair > rate / active ? fair : rate / active;
		next = next > most ? most : next < least ? least : next;
		/* Below an equal share only as far as what is owed asks for, by the end of an epoch of this length. */
		__u64 share = rate / active, ceiling = rate + rate / 8;
		__u64 owed = level < 0 ? (share >> 10) * (__u64)-level / (fair_epoch_ns(share, a->epoch_packet_bytes) >> 10) : 0;
		__u64 floor = share - (owed < share / 5 ? owed : share / 5);
		fair = next < floor ? floor : next > ceiling ? ceiling : next;
	}
	set_fair(a, fair);
	note_delayed(a, passed, active, now);
	a->epoch++;
	a->present_flows = active;
	a->present_streams = (__s32)a->active_streams > 0 ? a->active_streams : 0;
	a->active_flows = 0;
	a->active_streams = 0;
	a->epoch_drops = 0;
	a->epoch_began_ns = now;
	a->epoch_passed_bytes = a->passed_bytes;
	a->epoch_ends_ns = now + fair_epoch_ns(fair, a->epoch_packet_bytes);
	a->epoch_packet_bytes = 0;
	return 0;
}

/* A flow that was not active an epoch ago takes its share from the others at once, not at the epoch's end. */
__noinline int join(struct rl_allowance *a, struct rl_share *own, const struct parcel *parcel)
{
	if (!a || !own || !parcel)
		return 0;
	__u32 epoch = a->epoch + 1; /* 0 is never */
	if (!own->used_until_ns)
		own->used_until_ns = parcel->now - OWN_BUCKET_NS;
	__u32 last = own->epoch;
	own->epoch = epoch;
	__sync_fetch_and_add(&a->active_flows, 1);
	if (parcel->is_stream)
		__sync_fetch_and_add(&a->active_streams, 1);
	if (parcel->unit > a->epoch_packet_bytes)
		a->epoch_packet_bytes = parcel->unit;
	if (last && last + 1 == epoch)
		return 0;
	__s32 present = __sync_fetch_and_add(&a->present_flows, 1);
	if (parcel->is_stream)
		__sync_fetch_and_add(&a->present_streams, 1);
	/* Connections that come and go leave the bucket full: nobody has to give way. Not so where all may offer at once. */
	__s64 level = (__s64)(parcel->now - a->used_until_ns);
	if (level > (__s64)FULL_NS && !parcel->by_window)
		return 0;
	__u64 fair = a->fair_rate;
	if (present < 0)
		present = 0;
	if (present)
		fair = fair * present / (present + 1);
	/* Flows that begin together run the bucket down: an equal share at once. */
	if (level < (__s64)(RESERVE_NS / 2) && fair > a->limit_rate / (present + 1))
		fair = a->limit_rate / (present + 1);
	set_fair(a, fair);
	return 0;
}

/* A flow that ends leaves its share to the others at once; else those that come and go would count for an epoch each. */
__noinline int leave(struct rl_allowance *a, struct rl_share *own, __u64 now)
{
	if (!a || !own)
		return 0;
	__u32 epoch = a->epoch + 1;
	__u32 last = own->epoch;
	own->epoch = 0;
	if (!last || epoch - last > 1)
		return 0;
	if (last == epoch) {
		__sync_fetch_and_sub(&a->active_flows, 1);
		__sync_fetch_and_sub(&a->active_streams, 1);
	}
	__s32 present = __sync_fetch_and_sub(&a->present_flows, 1);
	__sync_fetch_and_sub(&a->present_streams, 1);
	if (present < 2)
		return 0;
	__u64 fair = a->fair_rate, next = fair * present / (present - 1);
	/* As for those that join: no more than an equal share while the bucket is low. */
	bool is_low = (__s64)(now - a->used_until_ns) < (__s64)(RESERVE_NS / 2);
	__u64 ceiling = is_low ? a->limit_rate / (present - 1) : a->limit_rate + a->limit_rate / 8;
	if (next > ceiling)
		next = ceiling;
	if (next > fair)
		set_fair(a, next);
	return 0;
}
