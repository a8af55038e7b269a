/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of the kernel's types that our programs read. CO-RE relocates every field at load time,
 * so a struct lists only the fields we name, in any order; `___suffix` marks an older kernel's shape.
 * Hand-kept instead of a whole vmlinux.h, so that a build gives the same object on every machine.
 */
#ifndef RELAYLEDGER_KERNEL_H
#define RELAYLEDGER_KERNEL_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define offsetof(type, member) __builtin_offsetof(type, member)

/* include/uapi/linux/bpf.h: only what the programs name. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_F_NO_PREALLOC = 1U << 0, BPF_F_CLONE = 1U << 9, BPF_F_MMAPABLE = 1U << 10 };
enum { BPF_SK_STORAGE_GET_F_CREATE = 1ULL << 0 };
enum bpf_func_id { BPF_FUNC_skc_to_mptcp_sock = 196 };
enum { BPF_RB_NO_WAKEUP = 1ULL << 0 };

struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
	__be16 dst_port;
	__u16 : 16;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

#define __bpf_md_ptr(type, name) \
	union { \
		type name; \
		__u64 : 64; \
	} __attribute__((aligned(8)))

struct bpf_flow_keys;

struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	__bpf_md_ptr(struct bpf_flow_keys *, flow_keys);
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	__bpf_md_ptr(struct bpf_sock *, sk);
	__u32 gso_size;
	__u8 tstamp_type;
	__u32 : 24;
	__u64 hwtstamp;
};

struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	__bpf_md_ptr(struct bpf_sock *, sk);
};

struct bpf_sock_ops {
	__u32 op;
	union {
		__u32 args[4];
		__u32 reply;
		__u32 replylong[4];
	};
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 is_fullsock;
	__u32 snd_cwnd;
	__u32 srtt_us; /* << 3 */
	__u32 bpf_sock_ops_cb_flags;
	__u32 state;
	__u32 rtt_min;
	__u32 snd_ssthresh;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 mss_cache;
	__u32 ecn_flags;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 packets_out;
	__u32 retrans_out;
	__u32 total_retrans;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 segs_out;
	__u32 data_segs_out;
	__u32 lost_out;
	__u32 sacked_out;
	__u32 sk_txhash;
	__u64 bytes_received;
	__u64 bytes_acked;
	__bpf_md_ptr(struct bpf_sock *, sk);
	__bpf_md_ptr(void *, skb_data);
	__bpf_md_ptr(void *, skb_data_end);
	__u32 skb_len;
	__u32 skb_tcp_flags;
};
enum {
	BPF_SOCK_OPS_RWND_INIT = 2,
	BPF_SOCK_OPS_TCP_CONNECT_CB = 3,
	BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB = 4,
	BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB = 5,
	BPF_SOCK_OPS_TCP_LISTEN_CB = 11,
	BPF_SOCK_OPS_RTT_CB = 12,
	BPF_SOCK_OPS_HDR_OPT_LEN_CB = 14,
};
enum { BPF_SOCK_OPS_RTT_CB_FLAG = 1 << 3, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG = 1 << 6 };
enum { BPF_WRITE_HDR_TCP_CURRENT_MSS = 1 };
enum { SOL_SOCKET = 1, SO_MAX_PACING_RATE = 47 };
enum { SOL_TCP = 6, TCP_WINDOW_CLAMP = 10, TCP_CONGESTION = 13, TCP_BPF_IW = 1001, TCP_BPF_SNDCWND_CLAMP = 1002 };
enum { TCP_BPF_SOCK_OPS_CB_FLAGS = 1008 };

struct bpf_sk_lookup {
	__bpf_md_ptr(struct bpf_sock *, sk);
	__u32 family;
	__u32 protocol;
	__u32 remote_ip4;
	__u32 remote_ip6[4];
	__be16 remote_port;
	__u16 : 16;
	__u32 local_ip4;
	__u32 local_ip6[4];
	__u32 local_port;
	__u32 ingress_ifindex;
};

enum { AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_PACKET = 17 };
enum { SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3 };
enum { IPPROTO_HOPOPTS = 0, IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17, IPPROTO_ICMPV6 = 58, IPPROTO_UDPLITE = 136, IPPROTO_MPTCP = 262 };
enum { ETH_P_IP = 0x0800, ETH_P_IPV6 = 0x86DD };
enum { MSG_OOB = 0x1, MSG_PEEK = 0x2, MSG_ERRQUEUE = 0x2000 };
/* include/net/tcp_states.h; BPF_TCP_* in the uapi have the same numbers. */
enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_CLOSE = 7, TCP_LISTEN = 10 };
enum { PF_KTHREAD = 0x00200000 };
enum { S_IFMT = 0170000, S_IFIFO = 0010000, FMODE_READ = 1, FMODE_WRITE = 2 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;
typedef struct {
	s64 counter;
} atomic64_t;
typedef struct {
	u32 val;
} kuid_t;

struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
	u64 net_cookie;
};
typedef struct {
	struct net *net;
} possible_net_t;

struct nsproxy {
	struct net *net_ns;
};

struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};
struct vfsmount {
	struct dentry *mnt_root;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct inode;
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_mode;
};
struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

struct kernfs_node {
	struct kernfs_node *__parent; /* 6.15: RCU-protected and renamed */
	const char *name;
	u64 id;
};
struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct css_set {
	struct cgroup *dfl_cgrp;
};

struct cred {
	kuid_t uid;
};
struct signal_struct {
	atomic_t live;
};
struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	u64 start_boottime;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct nsproxy *nsproxy;
	struct files_struct *files;
	unsigned long nvcsw;
	struct css_set *cgroups;
	const struct cred *cred;
	char comm[16];
};

struct linux_binprm;

struct in6_addr {
	union {
		u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};
struct proto;
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_ipv6only : 1;
	int skc_bound_dev_if;
	struct proto *skc_prot;
	unsigned long skc_flags; /* sk_flags */
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};
struct msghdr;
struct page;
struct proto___before_6_5 {
	void *sendpage;
};
struct socket {
	struct sock *sk;
};
struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};
struct bpf_local_storage_map {
	u16 cache_idx;
};
struct bpf_local_storage_data {
	struct bpf_local_storage_map *smap;
	u8 data[];
};
struct bpf_local_storage {
	struct bpf_local_storage_data *cache[16];
};
struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};
struct sock {
	struct sock_common __sk_common;
	struct bpf_local_storage *sk_bpf_storage;
	u16 sk_type;
	u16 sk_protocol;
	struct socket *sk_socket;
	kuid_t sk_uid;
};
enum sock_flags { SOCK_DEAD, SOCK_DONE, SOCK_URGINLINE };
/* Kernel 5.17; the numbers differ between releases and are relocated. */
enum skb_drop_reason {
	SKB_DROP_REASON_NEIGH_CREATEFAIL = 1,
	SKB_DROP_REASON_CPU_BACKLOG = 2,
	SKB_DROP_REASON_BPF_CGROUP_EGRESS = 3,
};

struct unix_sock {
	struct sock *peer;
};

struct tcp_ulp_ops {
	char name[16];
};
struct inet_connection_sock {
	const struct tcp_ulp_ops *icsk_ulp_ops;
	void *icsk_ulp_data;
};
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 copied_seq;
	u32 rcv_nxt;
	u64 bytes_received;
	u32 urg_seq;
	u16 urg_data;
	u32 mss_cache;
	u32 srtt_us; /* << 3 */
	u32 snd_cwnd;
};
struct udp_sock;
struct tls_context {
	u8 rx_conf : 3;
};
struct mptcp_sock;

struct device_driver {
	const char *name;
};
struct device {
	struct device *parent;
	struct device_driver *driver;
};
struct rtnl_link_ops {
	const char *kind;
};
struct net_device {
	char name[16];
	int ifindex;
	unsigned int mtu;
	unsigned short type;
	unsigned short hard_header_len;
	possible_net_t nd_net;
	struct rtnl_link_ops *rtnl_link_ops;
	struct device dev;
};

struct skb_shared_info {
	unsigned short gso_size;
	unsigned short gso_segs;
	unsigned int gso_type;
};
struct ipv6hdr {
	u8 nexthdr;
};
struct tcphdr {
	__be16 source;
};
struct dst_metrics {
	u32 metrics[17];
};
struct dst_entry {
	unsigned long _metrics;
	unsigned long expires;
};
struct rtable {
	struct dst_entry dst;
	u32 rt_pmtu : 31;
};
struct inet_skb_parm {
	u16 frag_max_size;
};
struct inet6_skb_parm {
	u16 frag_max_size;
};
struct sk_buff {
	struct sock *sk;
	struct net_device *dev;
	char cb[48];
	unsigned int len;
	int skb_iif;
	unsigned long _skb_refdst;
	u8 pkt_type : 3;
	u32 vlan_all;
	__be16 protocol;
	u16 network_header;
	u16 mac_header;
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
};

struct sk_buff___before_6_2 {
	u8 vlan_present : 1;
};

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};
struct bpf_map;
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	u32 uid;
};
struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
	u32 uid;
};
struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
};

#pragma clang attribute pop

#endif
