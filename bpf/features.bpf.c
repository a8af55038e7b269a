// SPDX-License-Identifier: GPL-2.0-only
/*
 * What does this kernel allow that types do not tell? Each program is loaded once, when accounting begins, and never
 * attached: whether the verifier takes it is the answer. See agent/load-programs.ts.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>

/* Sends and receives tell what they returned: kernel 6.3. */
SEC("tp_btf/sock_send_length")
int trace_lengths(void *context)
{
	return 0;
}

/* A cgroup program reads more of a packet than __sk_buff has: kernel 6.2. */
extern void *bpf_cast_to_kern_ctx(void *) __ksym __weak;

SEC("cgroup_skb/egress")
int read_packet(struct __sk_buff *skb)
{
	struct sk_buff *packet = bpf_cast_to_kern_ctx(skb);
	return packet->len ? 1 : 0;
}

char LICENSE[] SEC("license") = "GPL";
