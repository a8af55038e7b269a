// SPDX-License-Identifier: GPL-2.0-only
/*
 * A firewall as systemd's IPAddressDeny= is one: refuses each third packet with payload that its cgroup sends.
 * A SYN-ACK has no socket yet by the time it is freed: it stays charged to its listener, and to the kernel as unsent.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} refused SEC(".maps");

static __u64 packets;

SEC("cgroup_skb/egress")
int refuse(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&refused, &zero);

	if (!count || skb->len < 100 || __sync_fetch_and_add(&packets, 1) % 3 != 2)
		return 1;
	__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
