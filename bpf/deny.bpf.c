// SPDX-License-Identifier: GPL-2.0-only
/*
 * May anybody begin to talk to this process, or it to others? What is established goes on, and so do replies.
 *
 * Hooks:  refuses_call(), by owners.bpf.c, for connect and for each datagram of a socket that is not connected (TCP
 *         Fast Open, sendmmsg and io_uring come by there too); refuses_packet(), by caps.bpf.c, for a SYN that comes
 *         with its listener, for a datagram from somebody to whom the socket has sent nothing yet, and for each packet
 *         that a raw or an ICMP socket sends.
 * Cost:   nothing for a process without policies but one test; a look-up a policy for others.
 * Blind:  packet sockets, whose frames pass neither a cgroup nor a socket hook, and what raw sockets receive, which is
 *         a copy of what others get anyway; answers to a broadcast, which come from addresses that nothing was sent to.
 *         What is to be rejected is so by reject.bpf.c; what comes past that is dropped here.
 */

enum { EPERM = 1, ECONNREFUSED = 111 };

/* Of raw sockets: only who denies every port means what has none. */
#define NO_PORT 0

static __always_inline bool is_port_meant(struct rl_policy *policy, __u16 port)
{
	if (port == NO_PORT)
		return policy->first_port <= 1 && policy->last_port == 0xffff;
	return port >= policy->first_port && port <= policy->last_port;
}

enum { LET_BE = 0, DENIED = 1, SPENT_QUOTA = 2 };

/* One policy's answer to something that begins: `flag` is that of its direction, `port` what its range is about. */
static __always_inline int refusal_of(struct rl_policy *policy, __u32 flag, __u16 port)
{
	if (policy->flags & flag && is_port_meant(policy, port))
		return is_over(policy) ? LET_BE : DENIED;
	return is_spent(policy) && !(policy->flags & RL_POLICY_RELAY) ? SPENT_QUOTA : LET_BE;
}

/* 0 to let it be; else the error that the caller of connect or sendto gets. */
__noinline int refuses_call(__u64 held_to, __u32 port)
{
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		int refusal = refusal_of(policy, RL_POLICY_DENY_OUTBOUND, port);
		if (refusal == LET_BE)
			continue;
		__sync_fetch_and_add(&policy->refused_calls, 1);
		policy->allowances[RL_TX].last_held_back_ns = bpf_ktime_get_ns();
		return refusal == DENIED && policy->flags & RL_POLICY_REJECT ? ECONNREFUSED : EPERM;
	}
	return 0;
}

/* For a packet that begins something: whether a policy keeps it from the process. */
__noinline int refuses_packet(__u64 held_to, __u32 port, enum rl_direction direction)
{
	__u32 flag = direction == RL_RX ? RL_POLICY_DENY_INBOUND : RL_POLICY_DENY_OUTBOUND;

	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		int refusal = refusal_of(policy, flag, port);
		if (refusal == LET_BE)
			continue;
		struct rl_allowance *a = get_allowance(policy, direction);
		__sync_fetch_and_add(refusal == DENIED ? &a->denied_packets : &a->quota_packets, 1);
		a->last_held_back_ns = bpf_ktime_get_ns();
		return true;
	}
	return false;
}

/* Whether some policy cares how conversations begin. */
static __always_inline bool may_refuse(__u64 held_to, enum rl_direction direction)
{
	__u32 flag = direction == RL_RX ? RL_POLICY_DENY_INBOUND : RL_POLICY_DENY_OUTBOUND;

	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (policy && (policy->flags & flag || policy->exhausted))
			return true;
	}
	return false;
}

/* Whether it answers who calls this port by a refusal. */
static __always_inline bool rejects_at(struct rl_policy *policy, __u32 port)
{
	const __u32 wanted = RL_POLICY_DENY_INBOUND | RL_POLICY_REJECT;

	return (policy->flags & wanted) == wanted && is_port_meant(policy, port) && !is_over(policy);
}

/* The policy that rejects what comes to this port; 0 for none. */
static __always_inline __u32 rejecting_policy(__u64 held_to, __u32 port)
{
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (policy && rejects_at(policy, port))
			return policy_number(held_to, place);
	}
	return 0;
}

static __always_inline void count_noted(struct rl_rejection *rejection, __u8 noted, __s32 change)
{
	if (noted == RL_NOTED_REJECTED)
		__sync_fetch_and_add(&rejection->rejected, change);
	else if (noted == RL_NOTED_OTHER)
		__sync_fetch_and_add(&rejection->others, change);
}

/*
 * Keeps `rejected_listeners` as the policies of the listener's process want it. Several may listen on a port
 * (SO_REUSEPORT, or by address): it stays there as long as one of them is rejected.
 */
__noinline int note_listener(struct rl_socket *s, __u64 held_to, __u32 netns, __u32 port, bool listens)
{
	struct rl_listener listener = {.netns = netns, .port = port};

	if (!s)
		return 0;
	__u32 number = listens ? rejecting_policy(held_to, port) : 0;
	__u8 wanted = number ? RL_NOTED_REJECTED : listens ? RL_NOTED_OTHER : RL_NOTED_NOT;
	struct rl_rejection *rejection = bpf_map_lookup_elem(&rejected_listeners, &listener);
	if (!rejection) {
		if (!number)
			return 0;
		struct rl_rejection first = {.id = bpf_ktime_get_ns() | 1, .policy = number};
		bpf_map_update_elem(&rejected_listeners, &listener, &first, BPF_NOEXIST);
		rejection = bpf_map_lookup_elem(&rejected_listeners, &listener);
		if (!rejection)
			return 0;
	}
	if (number)
		rejection->policy = number;
	if (s->noted_in != rejection->id)
		s->noted = RL_NOTED_NOT;
	if (s->noted != wanted) {
		count_noted(rejection, s->noted, -1);
		count_noted(rejection, wanted, 1);
		s->noted = wanted;
		s->noted_in = rejection->id;
	}
	if (rejection->rejected <= 0)
		bpf_map_delete_elem(&rejected_listeners, &listener);
	return 0;
}

/* A UDP socket whose strangers are rejected has closed: its port may be another's next. */
__noinline int forget_datagrams(struct rl_socket *s, __u64 cookie)
{
	if (!s)
		return 0;
	struct rl_datagram_port place = {.netns = s->noted_in, .port = s->noted_port};
	for (int i = 0; i < 2; i++) {
		place.family = i ? AF_INET6 : AF_INET;
		struct rl_datagram_socket *noted = bpf_map_lookup_elem(&rejected_datagrams, &place);
		if (noted && noted->cookie == cookie)
			bpf_map_delete_elem(&rejected_datagrams, &place);
	}
	return 0;
}
