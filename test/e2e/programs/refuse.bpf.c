// SPDX-License-Identifier: GPL-2.0-only
/*
 * A firewall as systemd's IPAddressDeny= is one: refuses each third packet with payload that its cgroup sends.
 * A SYN-ACK has no socket yet by the time it is freed: it stays charged to its listener, and to the kernel as unsent.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

static __u64 packets;

SEC("cgroup_skb/egress")
int refuse(struct __sk_buff *skb)
{
	return skb->len < 100 || __sync_fetch_and_add(&packets, 1) % 3 != 2;
}

char LICENSE[] SEC("license") = "GPL";
