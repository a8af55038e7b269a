// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refuses connections to listeners that a policy rejects: the caller gets a reset, as from a closed port.
 *
 * Hooks:  sk_lookup, attached to each network namespace that has such a listener, while there is one. The program can't
 *         tell in which namespace it runs (kernel 6.18), so each has its own copy with the number in `reject_netns`.
 *         note_listener(), by owners.bpf.c when a socket listens, and by pacing.bpf.c for those that did before.
 * Cost:   a hash look-up for each packet that looks for a listener, in those namespaces only.
 * Blind:  where others listen on the same port, who comes to the rejected listener is dropped instead (deny.bpf.c), as
 *         nothing tells here to whom a caller would come. Where no agent runs, a namespace that has had no
 *         such listener before drops instead.
 */

const volatile __u32 reject_netns = 0;

enum { SK_DROP_LOOKUP = 0, SK_PASS_LOOKUP = 1 };

SEC("sk_lookup")
int reject_lookup(struct bpf_sk_lookup *ctx)
{
	struct rl_listener listener = {.netns = reject_netns, .port = ctx->local_port};

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS_LOOKUP;
	struct rl_rejection *rejection = bpf_map_lookup_elem(&rejected_listeners, &listener);
	if (!rejection || rejection->others > 0)
		return SK_PASS_LOOKUP;
	struct rl_policy *policy = get_policy(rejection->policy);
	if (!policy || !(policy->flags & RL_POLICY_DENY_INBOUND))
		return SK_PASS_LOOKUP;
	__sync_fetch_and_add(&policy->allowances[RL_RX].denied_packets, 1);
	policy->allowances[RL_RX].last_held_back_ns = bpf_ktime_get_ns();
	return SK_DROP_LOOKUP;
}
