// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much of its quota has a policy used? Payload bytes of both directions, as the system calls returned them, counted
 * on in the kernel whether an agent runs or not; so does a period that ends.
 *
 * Hooks:  use_quota(), called by payload.bpf.c for processes that have policies.
 * Cost:   nothing for others but one test; else a look-up, an atomic addition and the clock.
 * Blind:  what is in flight when the quota is used up passes: up to a socket buffer a connection.
 */

/* Begins a new period where one has ended. Periods of unequal length (months) are set by the agent. */
__noinline int roll_over(struct rl_policy *policy)
{
	__u64 ends = policy ? policy->quota_ends_ns : 0;
	if (!ends)
		return 0;
	__u64 now = bpf_ktime_get_boot_ns();
	if (now < ends)
		return 0;
	__u64 period = policy->quota_period_ns;
	__u64 next = period ? ends + ((now - ends) / period + 1) * period : 0;
	if (__sync_val_compare_and_swap(&policy->quota_ends_ns, ends, next) != ends)
		return 0; /* another CPU has done it */
	policy->quota_used_bytes = 0;
	policy->exhausted = 0;
	return 0;
}

/* Whether the quota is used up, and nothing passes until its period ends. */
static __always_inline bool is_spent(struct rl_policy *policy)
{
	if (!(policy->flags & RL_POLICY_QUOTA_DENY) || !policy->exhausted)
		return false;
	if (is_over(policy))
		return false;
	roll_over(policy);
	return policy->exhausted;
}

__noinline int use_quota(__u64 held_to, __u64 flow, __u64 bytes, enum rl_direction direction)
{
	for (int place = 0; place < RL_PROCESS_POLICIES; place++) {
		struct rl_policy *policy = policy_at(held_to, place);
		if (!policy)
			break;
		if (!(policy->flags & RL_POLICY_QUOTA))
			continue;
		if (policy->flags & RL_POLICY_RELAY && !find_ruling(flow))
			continue;
		roll_over(policy);
		__u64 used = __sync_fetch_and_add(&policy->quota_used_bytes, bytes) + bytes;
		__sync_fetch_and_add(direction == RL_RX ? &policy->quota_passed_bytes[RL_RX] : &policy->quota_passed_bytes[RL_TX],
				     bytes);
		if (used >= policy->quota_bytes)
			policy->exhausted = 1;
	}
	return 0;
}
