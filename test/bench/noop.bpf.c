// SPDX-License-Identifier: GPL-2.0-only
/*
 * What does a hook cost before our programs do anything? Programs that only return, on the hooks that
 * ours run at for each packet and for each send and receive.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/egress")
int skb_egress(struct __sk_buff *skb)
{
	return 1;
}

SEC("cgroup_skb/ingress")
int skb_ingress(struct __sk_buff *skb)
{
	return 1;
}

SEC("tp_btf/net_dev_start_xmit")
int net_dev_start_xmit(void *ctx)
{
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int netif_receive_skb(void *ctx)
{
	return 0;
}

SEC("tp_btf/sock_send_length")
int sock_send_length(void *ctx)
{
	return 0;
}

SEC("tp_btf/sock_recv_length")
int sock_recv_length(void *ctx)
{
	return 0;
}

SEC("tp_btf/tcp_rcv_space_adjust")
int tcp_rcv_space_adjust(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
