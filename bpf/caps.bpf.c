// SPDX-License-Identifier: GPL-2.0-only
/*
 * May this packet pass? Every policy of the packet's process has one allowance a direction, shared by all flows that
 * it holds: a bucket kept in virtual time, and the rate that is fair for one active flow. TCP is paced to that rate
 * (pacing.bpf.c), so that the bucket hardly ever says no; what is not TCP is dropped beyond it.
 *
 * Hooks:  hold_packet(), called by wire.bpf.c for packets of processes that have policies.
 * Cost:   nothing for a process without policies but one test; two look-ups and four atomic additions for others.
 * Blind:  MPTCP's subflows and packets without an owner are not held. A multiplexed connection that carries both own
 *         and relayed traffic is held whole once it is ruled.
 */

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define JUMBO_OPTION 8

/* What cgroup_skb/egress may answer. */
enum { DROP = 0, PASS = 1, DROP_AS_FULL = 2 /* as a full queue does: UDP's send does not fail */ };

/* How much unused allowance is kept. */
#define BUCKET_NS 200000000ULL
/* Where the controller wants the bucket: half full, so that it neither runs dry nor over. */
#define RESERVE_NS 100000000ULL
/* How far it may be overdrawn by flows that are below their own share. */
#define DEBT_NS 450000000ULL
/* How much of its own share a flow may save up. */
#define OWN_BUCKET_NS 20000000ULL
/* What is received: also what its window may offer, to a sender that asks again every 200 ms. */
#define OWN_WINDOW_NS 400000000ULL
#define EPOCH_MIN_NS 100000000ULL
#define SECOND_NS 1000000000ULL
#define NOMINAL_SEGMENT 1448

/* What is held of a packet: its payload, by whose rules, on which socket. */
struct parcel {
	__u64 now;
	__u32 payload;
	__u32 is_stream; /* TCP */
};

static __always_inline __u64 cost_of(__u64 bytes, __u64 cost)
{
	return bytes * cost >> RL_COST_SHIFT;
}

static __always_inline const struct rl_limit *get_limit(struct rl_policy *policy)
{
	return policy->exhausted && policy->flags & RL_POLICY_QUOTA_THROTTLE ? &policy->limits[1] : &policy->limits[0];
}

static __always_inline bool limits(struct rl_policy *policy, enum rl_direction direction)
{
	__u32 both = RL_POLICY_SENT | RL_POLICY_RECEIVED;
	__u32 flags = policy->flags;
	if (flags & RL_POLICY_QUOTA_THROTTLE && policy->exhausted)
		flags |= flags & RL_POLICY_RELAY ? RL_POLICY_SENT : both;
	return flags & (direction == RL_TX ? RL_POLICY_SENT : RL_POLICY_RECEIVED);
}

static __always_inline __u64 fair_epoch_ns(__u64 fair_rate)
{
	__u64 ns = 6ULL * NOMINAL_SEGMENT * SECOND_NS / (fair_rate | 1);
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
	__u64 flows = a->last_active_flows ? a->last_active_flows : 1;
	if (!a->limit_rate)
		flows = 1;
	a->limit_rate = rate;
	set_fair(a, rate / flows);
	a->used_until_ns = now - RESERVE_NS;
	a->epoch_began_ns = now;
	a->epoch_passed_bytes = a->passed_bytes;
	a->epoch_drops = 0;
	a->epoch_ends_ns = now + fair_epoch_ns(a->fair_rate);
	return 0;
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
	__u64 active = a->active_flows ? a->active_flows : 1;
	__u64 fair = a->fair_rate;
	__s64 level = (__s64)(now - RESERVE_NS - a->used_until_ns);
	if (level < -(__s64)SECOND_NS)
		level = -(__s64)SECOND_NS;
	if (level > (__s64)(BUCKET_NS - 20000000))
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
		__u64 owed = level < 0 ? (share >> 10) * (__u64)-level / (fair_epoch_ns(share) >> 10) : 0;
		__u64 floor = share - (owed < share / 8 ? owed : share / 8);
		fair = next < floor ? floor : next > ceiling ? ceiling : next;
	}
	set_fair(a, fair);
	a->epoch++;
	a->last_active_flows = a->active_flows;
	a->last_active_streams = a->active_streams;
	a->active_flows = 0;
	a->active_streams = 0;
	a->epoch_drops = 0;
	a->epoch_began_ns = now;
	a->epoch_passed_bytes = a->passed_bytes;
	a->epoch_ends_ns = now + fair_epoch_ns(fair);
	return 0;
}

/* A flow that was not active an epoch ago takes its share from the others at once, not at the epoch's end. */
__noinline int join(struct rl_allowance *a, struct rl_held *held, __u32 place, enum rl_direction direction,
		    const struct parcel *parcel)
{
	if (!a || !held || !parcel || place >= RL_PROCESS_POLICIES || direction >= RL_DIRECTIONS)
		return 0;
	__u32 epoch = a->epoch + 1; /* 0 is never */
	__u32 last = held->epochs[direction][place];
	held->epochs[direction][place] = epoch;
	__u32 active = __sync_fetch_and_add(&a->active_flows, 1);
	if (parcel->is_stream)
		__sync_fetch_and_add(&a->active_streams, 1);
	if (last && last + 1 == epoch)
		return 0;
	/* Connections that come and go leave the bucket full: nobody has to give way. */
	__s64 level = (__s64)(parcel->now - a->used_until_ns);
	if (level > (__s64)(BUCKET_NS - 20000000))
		return 0;
	if (active < a->last_active_flows)
		active = a->last_active_flows;
	__u64 fair = a->fair_rate;
	if (active)
		fair = fair * active / (active + 1);
	if (level < 0 && fair > a->limit_rate / (active + 1))
		fair = a->limit_rate / (active + 1);
	set_fair(a, fair);
	return 0;
}

static __always_inline void note_held_back(struct rl_allowance *a, __u64 now, __u32 payload)
{
	a->last_held_back_ns = now;
	__sync_fetch_and_add(&a->throttled_bytes, payload);
}

static __always_inline bool has_allowance(struct rl_allowance *a, struct rl_held *held, enum rl_direction direction,
					  const struct parcel *parcel)
{
	__u64 now = parcel->now;
	__u64 used = a->used_until_ns;
	__u64 earliest = now - BUCKET_NS;

	if ((__s64)(earliest - used) > 0) {
		__sync_val_compare_and_swap(&a->used_until_ns, used, earliest);
		used = earliest;
	}
	/* A segment's worth early: a connection that is refused waits for a timer of 200 ms and more. */
	__u64 early = cost_of(NOMINAL_SEGMENT, a->fair_cost);
	bool below_share = (__s64)(now + early - held->used_until_ns[direction]) >= 0;
	if ((__s64)(now - used) >= 0)
		return parcel->is_stream || below_share || !(a->last_active_streams | a->active_streams);
	if (!parcel->is_stream)
		return false;
	/* What is received of a stream is held by its window; a drop, which is sent again, is for where that fails. */
	return (below_share || direction == RL_RX) && (__s64)(used - now) < (__s64)DEBT_NS;
}

static __always_inline void use_allowance(struct rl_allowance *a, struct rl_held *held, enum rl_direction direction,
					  const struct parcel *parcel, __u64 cost, __u64 owed)
{
	__u64 own = held->used_until_ns[direction];
	bool by_window = direction == RL_RX && parcel->is_stream;
	__u64 earliest = parcel->now - (by_window ? OWN_WINDOW_NS : OWN_BUCKET_NS);
	__u64 own_cost = cost_of(parcel->payload, a->fair_cost);

	if ((__s64)(earliest - own) > 0)
		own = earliest;
	held->used_until_ns[direction] = own + own_cost;
	__sync_fetch_and_add(&a->used_until_ns, cost_of(parcel->payload, cost) + owed);
	__sync_fetch_and_add(&a->passed_bytes, parcel->payload);
	/* It had used up its share when it came: it was made to wait. */
	if ((__s64)(own + own_cost - parcel->now) > 0)
		note_held_back(a, parcel->now, parcel->payload);
}

/* Payload of an IPv4 or IPv6 packet; 0 where it has none or can't be read. */
static __always_inline __u32 payload_of(struct __sk_buff *skb, enum rl_protocol protocol)
{
	__u8 *data = (void *)(long)skb->data;
	__u8 *end = (void *)(long)skb->data_end;
	__u32 header = IPV6_HEADER;

	if (data + IPV6_HEADER + UDP_HEADER > end && data + IPV4_HEADER + UDP_HEADER > end)
		return 0;
	if (data[0] >> 4 == 4)
		header = (data[0] & 15) * 4;
	else if (data[6] == IPPROTO_HOPOPTS)
		header += JUMBO_OPTION;
	if (protocol != RL_TCP) {
		header += protocol == RL_UDP ? UDP_HEADER : 0;
		return skb->len > header ? skb->len - header : 0;
	}
	__u8 *tcp = data + header;
	if (tcp + 20 > end)
		return 0;
	header += (tcp[12] >> 4) * 4;
	return skb->len > header ? skb->len - header : 0;
}

/* The flow that a packet belongs to; of a socket that is not connected, by the packet's own addresses. */
static __always_inline __u64 flow_of(struct __sk_buff *skb, struct rl_socket *s, enum rl_direction direction)
{
	struct bpf_sock *sk = skb->sk;
	if (s->protocol != RL_UDP || !sk || sk->dst_port)
		return s->flow;
	struct rl_peer_key key = {.slot = s->owner};
	__u8 *data = (void *)(long)skb->data;
	__u8 *end = (void *)(long)skb->data_end;
	__u32 header = IPV6_HEADER;
	if (data + IPV4_HEADER > end)
		return 0;
	if (data[0] >> 4 == 4) {
		__be32 mapped = bpf_htonl(0xffff);
		header = (data[0] & 15) * 4;
		__builtin_memcpy(key.address + 8, &mapped, 4);
		__builtin_memcpy(key.address + 12, data + (direction == RL_TX ? 16 : 12), 4);
	} else {
		if (data + IPV6_HEADER > end)
			return 0;
		__builtin_memcpy(key.address, data + (direction == RL_TX ? 24 : 8), 16);
	}
	__u8 *udp = data + header + (direction == RL_TX ? 2 : 0);
	if (udp + 2 > end)
		return 0;
	key.port = udp[0] << 8 | udp[1];
	key.cookie = bpf_get_socket_cookie(skb);
	__u64 *flow = bpf_map_lookup_elem(&peer_flows, &key);
	return flow ? *flow : 0;
}

/* Whether somebody who was never sent to wants to talk to a socket that is not connected. */
static __always_inline bool is_stranger(struct __sk_buff *skb, struct rl_socket *s)
{
	struct rl_flow *f = get_flow(flow_of(skb, s, RL_RX));
	return !f || !f->sent;
}

/* SYN, and no acknowledgement: the first packet of a TCP connection. */
static __always_inline bool is_first_of_stream(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data;
	__u8 *end = (void *)(long)skb->data_end;
	__u32 header = IPV6_HEADER;

	if (data + IPV4_HEADER > end)
		return false;
	if (data[0] >> 4 == 4)
		header = (data[0] & 15) * 4;
	__u8 *tcp = data + header;
	return tcp + 14 <= end && (tcp[13] & 0x12) == 2;
}

static __always_inline bool is_refused(struct __sk_buff *skb, struct rl_socket *s, __u64 held_to,
				       enum rl_direction direction)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk || !may_refuse(held_to, direction))
		return false;
	if (direction == RL_TX) /* MPTCP's subflows connect without passing cgroup/connect */
		return s->protocol == RL_TCP && is_first_of_stream(skb) &&
		       refuses_packet(held_to, bpf_ntohs(sk->dst_port), direction);
	if (s->protocol == RL_TCP)
		return sk->state == TCP_LISTEN && is_first_of_stream(skb) && refuses_packet(held_to, sk->src_port, direction);
	return s->protocol == RL_UDP && !sk->dst_port && is_stranger(skb, s) &&
	       refuses_packet(held_to, sk->src_port, direction);
}

/*
 * Passes, or not. A packet without payload always passes: acknowledgements, SYN and FIN hold nobody up, and TCP would
 * not send them again.
 */
__noinline int hold_packet(struct __sk_buff *skb, struct rl_socket *s, __u64 held_to, enum rl_direction direction)
{
	struct bpf_sock *sk = skb->sk;
	struct rl_ruling *ruling = NULL;
	bool looked = false;

	if (!s || !sk || direction >= RL_DIRECTIONS)
		return PASS;
	if (is_refused(skb, s, held_to, direction))
		return DROP;
	struct parcel parcel = {.is_stream = s->protocol == RL_TCP};
	parcel.payload = payload_of(skb, s->protocol);
	if (!parcel.payload)
		return PASS;
	/* What TCP sends carries the time at which it left: no clock to read. */
	parcel.now = direction == RL_TX && parcel.is_stream ? skb->tstamp : 0;
	if (!parcel.now)
		parcel.now = bpf_ktime_get_ns();
	struct rl_held *held = bpf_sk_storage_get(&held_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!held) {
		count_lost(RL_LOST_SOCKET);
		return PASS;
	}
	__u32 holding = 0;
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		__u32 number = policy_number(held_to, place);
		if (!number)
			break;
		struct rl_policy *policy = get_policy(number);
		if (!policy)
			break;
		bool spent = is_spent(policy);
		if (!spent && !limits(policy, direction))
			continue;
		if (policy->flags & RL_POLICY_RELAY) {
			if (!looked) {
				ruling = find_ruling(flow_of(skb, s, direction));
				looked = true;
			}
			if (!ruling)
				continue;
		}
		struct rl_allowance *a = get_allowance(policy, direction);
		if (spent) {
			__sync_fetch_and_add(&a->quota_packets, 1);
			note_held_back(a, parcel.now, parcel.payload);
			return DROP;
		}
		__u64 rate = get_limit(policy)->rate_bytes_per_second;
		if (!rate)
			continue;
		if (a->limit_rate != rate)
			begin_allowance(a, rate, parcel.now);
		__u64 ends = a->epoch_ends_ns;
		if ((__s64)(parcel.now - ends) >= 0 &&
		    __sync_val_compare_and_swap(&a->epoch_ends_ns, ends, parcel.now + SECOND_NS) == ends)
			end_epoch(a, rate, parcel.now);
		if (!has_allowance(a, held, direction, &parcel)) {
			__sync_fetch_and_add(&a->dropped_packets, 1);
			note_held_back(a, parcel.now, parcel.payload);
			if (!parcel.is_stream)
				return direction == RL_TX ? DROP_AS_FULL : DROP;
			__sync_fetch_and_add(&a->epoch_drops, 1);
			return DROP; /* TCP takes it as not sent, and tries again */
		}
		if (held->epochs[direction][place] != a->epoch + 1)
			join(a, held, place, direction, &parcel);
		if (parcel.is_stream && direction == RL_TX && !held->pacing)
			policy->unpaced++;
		holding |= 1U << place;
	}
	if (!holding)
		return PASS;
	__u64 owed_bytes = ruling && ruling->owed_bytes ? __sync_lock_test_and_set(&ruling->owed_bytes, 0) : 0;
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = holding >> place & 1 ? get_policy(policy_number(held_to, place)) : NULL;
		if (!policy)
			continue;
		__u64 cost = get_limit(policy)->cost;
		__u64 owed = cost_of(owed_bytes, cost);
		use_allowance(get_allowance(policy, direction), held, direction, &parcel, cost, owed < DEBT_NS / 2 ? owed : DEBT_NS / 2);
	}
	return PASS;
}
