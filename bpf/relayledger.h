/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every struct that crosses between the kernel's programs and the agent. The TypeScript side is
 * generated from the object's BTF (bpf/layouts.ts): fixed widths, explicit padding, no bitfields.
 * Times are CLOCK_BOOTTIME nanoseconds. Byte order is the host's unless the field says otherwise.
 */
#ifndef RELAYLEDGER_H
#define RELAYLEDGER_H

enum rl_limits {
	RL_NAME_LENGTH = 16,
	RL_EXECUTABLE_LENGTH = 512,
	RL_COMMAND_LENGTH = 256,
	RL_CGROUP_LENGTH = 512,
	RL_COMPONENT_LENGTH = 256, /* NAME_MAX and its NUL */
	RL_DRIVER_LENGTH = 16,
	RL_MAX_PROCESSES = 32768,
	RL_INTERFACE_SETS = 256,
	RL_INTERFACE_WAYS = 8,
	RL_MAX_INTERFACES = RL_INTERFACE_SETS * RL_INTERFACE_WAYS,
	RL_MAX_INTERFACE_NAMES = 16384,
	RL_MAX_FLOWS = 32768,
	RL_MAX_THREADS = 16384, /* a power of two */
	RL_MAX_PAIRS = 65536,
	RL_LAG_BUCKETS = 26,
	RL_SHORT_GAPS = 20,
	RL_OUTGO_MOVES = 6,
	RL_SIZE_CLASSES = 16,
	RL_SMALL_CLASSES = 4,
	RL_TUNNEL_SIZES = 1 + 2 * RL_SMALL_CLASSES,
	RL_THREAD_SOURCES = 4,
	RL_PROCESS_SOURCES = 8,
	RL_FIFOS = 4,
};

/* Bytes. Inner IPv4 and TCP headers with timestamps; IPv6's least MTU, which a tunnel's full datagram is not below. */
enum rl_tunnel_datagram { RL_TUNNEL_EMPTY = 52, RL_TUNNEL_FULL = 1280 };

#include "enforcement.h"

enum rl_direction { RL_RX = 0, RL_TX = 1, RL_DIRECTIONS = 2 };

/* RL_OTHER: neither TCP (MPTCP included) nor UDP: ICMP, raw IP, AF_PACKET. */
enum rl_protocol { RL_TCP = 0, RL_UDP = 1, RL_OTHER = 2, RL_PROTOCOLS = 3 };

/* Where the peer is: this host; a private, link-local or multicast address; any other. */
enum rl_scope { RL_LOOPBACK = 0, RL_PRIVATE = 1, RL_PUBLIC = 2, RL_SCOPES = 3 };

/* Why a packet that crossed the IP layer has no process. */
enum rl_unattributed {
	RL_KERNEL_SOCKET = 0, /* the kernel's own sockets: resets, TIME_WAIT, ICMP errors, NFS */
	RL_UNCLAIMED = 1,     /* accepted connections that no process has touched yet; falls as they are claimed */
	RL_LATE = 2,          /* the owner ended so long ago that its record is gone */
	RL_TABLE_FULL = 3,    /* the owner came when the process table was full */
	RL_UNSENT = 4,        /* of RL_KERNEL_SOCKET and RL_LATE, sent: dropped before a device had them */
	RL_UNATTRIBUTED = 5,
};

/* Something that should have been recorded and could not be. */
enum rl_lost {
	RL_LOST_PROCESS = 0, /* process table full: its bytes go to RL_TABLE_FULL */
	RL_LOST_SOCKET,      /* no socket storage: its packets go to RL_KERNEL_SOCKET */
	RL_LOST_INTERFACE,   /* interface table full: its packets are missing from the books */
	RL_LOST_DETAILS,     /* no room for name, path or command of a process */
	RL_LOST_EVENT,       /* event ring full: the agent finds the process by scanning instead */
	RL_LOST_FLOW,        /* flow table full: its bytes are counted, but it cannot be seen to relay */
	RL_LOST_PAIR,        /* pair table full: likewise */
	RL_LOST_THREAD,      /* no place for a thread's record: what it sent just then has no source */
	RL_LOSSES,
};

struct rl_wire {
	__u64 bytes;
	__u64 packets;
};

/*
 * One process that touched the network: slot in the `processes` array. Slot 0 is the kernel's.
 * `generation` rises each time the slot changes hands, so that a socket's stale reference shows.
 */
struct rl_process {
	__u64 start_ns; /* the thread group leader's start; with tgid, the identity */
	__u64 exit_ns;  /* 0 while it lives */
	__u32 tgid;     /* in the initial pid namespace */
	__u32 generation;
	__u32 uid;
	__u32 reserved;
	char name[RL_NAME_LENGTH];
	__u64 reserved_line;
	__u64 policies; /* that hold for it: RL_PROCESS_POLICIES numbers of 16 bits, the lowest first; 0: none */
	/* Packets come in and go out on other CPUs than the process runs on: cache lines of their own. */
	struct rl_wire wire_rx;
	__u64 reserved_rx[6];
	struct rl_wire wire_tx;
	struct rl_wire unsent; /* of wire_tx: dropped on this host before a device had them */
	__u64 reserved_tx[4];
	__u64 payload[RL_DIRECTIONS][RL_PROTOCOLS][RL_SCOPES];
	__u64 reserved_payload[6];
};

/* A pipe or FIFO among a process's first file descriptors. */
struct rl_fifo {
	__u64 inode;
	__u32 modes; /* 1: open for reading, 2: for writing */
	__u32 reserved;
};

/* What is read once, at a process's first touch of the network, and again when it calls exec. */
struct rl_process_details {
	__u64 start_ns;
	__u64 cgroup_id;
	__u32 tgid;
	__u32 parent_tgid;
	__u32 netns; /* inode number, as in /proc/PID/ns/net */
	__u32 uid;
	__u16 executable_length;
	__u16 command_length;
	__u16 cgroup_length;
	__u16 fifo_count;
	__u16 cut; /* the root's side of executable (1) or cgroup (2) had no room */
	__u16 reserved[3];
	struct rl_fifo fifos[RL_FIFOS];
	__u8 executable[RL_EXECUTABLE_LENGTH]; /* path components from the file up to the root, each NUL-terminated */
	__u8 command[RL_COMMAND_LENGTH];       /* argv, NUL-separated, cut at the end */
	__u8 cgroup[RL_CGROUP_LENGTH];         /* cgroup2 path components from the leaf up, each NUL-terminated */
};

enum rl_process_event_type { RL_PROCESS_SEEN = 0, RL_PROCESS_EXEC = 1, RL_PROCESS_EXIT = 2 };

struct rl_process_event {
	__u32 slot;
	__u32 generation;
	enum rl_process_event_type type;
	__u32 reserved;
};

struct rl_process_key {
	__u64 start_ns;
	__u32 tgid;
	__u32 reserved;
};


/*
 * The relay ledger's evidence. A flow is what one process does on one socket with one peer: (socket, process) and,
 * where the socket is not connected, (socket, process, peer). Its id is generation << 32 | index in `flows`.
 */
enum rl_opened { RL_OPENED_UNKNOWN = 0, RL_OPENED_ACCEPTED = 1, RL_OPENED_CONNECTED = 2 };

/* What went from one flow to another. Lags by log2: bucket 0 is below 1.024 us, bucket b from 2^(b-1) to 2^b of them. */
struct rl_pair {
	__u64 moved;    /* bytes sent on the destination that were received on the source, each once */
	__u64 position; /* how far into what the source received this pair has come; of a flow's first pair, see rl_outgo */
	__u32 moves;
	__u32 settled;  /* moves that left nothing of the source to pass on */
	__u32 direct;   /* moves that were the thread's next socket call after the receive */
	__u32 same_run; /* moves in the same run of the thread (without a sleep in between) as the receive */
	__u32 lags[RL_LAG_BUCKETS]; /* since the source's last receive; the short ones share a cache line with the above */
	/* Sizes of direct moves, x received and y sent, for a regression; messages below 4 KB. */
	__u64 size_count;
	__u64 sum_x;
	__u64 sum_y;
	__u64 sum_xx;
	__u64 sum_yy;
	__u64 sum_xy;
	__u64 copied;   /* bytes sent again that another destination was sent already */
	__u32 copies;
	__u32 reserved;
};

struct rl_pair_key {
	__u64 source;
	__u64 destination;
};

/*
 * What a flow has received, as far as the sends of other flows need it: one cache line for each flow, by its index.
 * All that a receive writes is here; gaps of half a second and longer, and every 256th of a shorter length, are added
 * to the flow itself.
 */
struct rl_income {
	__u64 credit; /* received and not passed on yet */
	__u64 last_receive_ns;
	__u64 received;
	__u32 generation;
	__u32 host; /* of the flow's host_hash */
	__u32 last_receive_bytes;
	__u32 last_run;
	__u32 listed; /* when it was last put into the process's sources, in 2^20 ns */
	__u8 gaps[RL_SHORT_GAPS];
};

/*
 * What a flow has sent and its record may not have yet. TCP keeps it with the socket, in a line that is at hand when
 * a send is counted, as the flow's record is not. It is added to the record after some moves or sends, at each poll of
 * the agent (`settle_sockets`), and when the socket is closed.
 */
struct rl_outgo {
	__u64 partner; /* the flow that paid for the last send */
	__u64 last_send_ns;
	/* The low halves of what the record has once it is settled: settling twice, or at once on two CPUs, adds nothing. */
	__u32 sent;
	__u32 moved; /* of `first` */
	__u32 unmatched;
	__u32 self_matched;
	__u32 position; /* of `first`: how far into what its source received this pair has come */
	__u8 sends;     /* since it was settled */
	__u8 moves;     /* likewise, of `first`: in `log` */
	__u8 rivals;    /* sends that answer another flow than the partner, since one answered it */
	__u8 is_first;  /* the partner is first_source */
	__u32 log[RL_OUTGO_MOVES]; /* a move each: see log_move() */
};

struct rl_flow {
	__u64 first_ns;
	__u32 generation;
	__u32 closed; /* its socket was closed, or its process ended */
	__u64 expired; /* credit that was too old when more came */
	__u64 sent;
	__u64 unmatched;    /* sent, and nothing received accounts for it */
	__u64 self_matched; /* sent back to where it came from */
	__u64 first_source;
	__u64 last_send_ns;
	__u32 sends;
	__u32 gaps[RL_LAG_BUCKETS]; /* between receives; those of `rl_income` are to be added */
	__u16 received_sizes[RL_SIZE_CLASSES]; /* datagrams by a hash of their size */
	__u16 sent_sizes[RL_SIZE_CLASSES];
	/*
	 * Datagrams that a tunnel's TCP segments would make: full ones; then, by classes of 32 bytes, those that an empty
	 * acknowledgement in its wrapping would be; then by how much in all the latter exceed the least of their class.
	 */
	__u32 tunnel_sizes[RL_TUNNEL_SIZES];
	struct rl_pair first; /* with first_source: one-to-one relays need no look-up */
	struct rl_outgo outgo; /* of what is not TCP; always settled */
	/* Who it is; written once. */
	__u64 host_hash; /* of the peer's address; whatever has the same is the same host */
	__u64 cookie;
	__u64 local_socket; /* AF_UNIX: kernel addresses, which only serve to find the other end */
	__u64 remote_socket;
	__u32 slot;
	__u32 process_generation;
	__u32 netns;
	__u16 family;
	__u16 protocol; /* IPPROTO_* */
	__u16 local_port;
	__u16 remote_port;
	__u8 opened; /* enum rl_opened */
	__u8 scope;  /* enum rl_scope */
	__u8 reserved[2];
	__u8 local_address[16]; /* network byte order; IPv4 as v4-mapped IPv6 */
	__u8 remote_address[16];
};

struct rl_peer_key {
	__u64 cookie;
	__u32 slot;
	__u16 port;
	__u16 reserved;
	__u8 address[16];
};

struct rl_source {
	__u64 flow;
	__u64 ns;
};

/* The flows a process received on last, newest first: where a send looks for what it passes on. */
struct rl_sources {
	struct rl_source source[RL_PROCESS_SOURCES];
};

/*
 * What a thread did last. Nothing in it matters for longer than a thread's reach but its slot, which can be found again:
 * threads share the places of `threads`. A line of the cache for itself, another for its sources.
 */
struct rl_thread {
	__u64 identity; /* identity_of() in processes.bpf.c; 0 for nobody's */
	__u32 slot; /* of its process, so that no send or receive needs a hash look-up */
	__u32 run;  /* nvcsw at the last event: a run is what a thread does between two sleeps */
	__u64 now_ns; /* the clock, read once a run and every few events */
	__u32 events;
	__u8 last_was_receive;
	__u8 has_peer; /* the peer of the message that is being sent or received, from sendmsg4/6 and recvmsg4/6 */
	__u16 peer_port;
	__u64 newest; /* the flow it received on last */
	__u64 newest_ns;
	__u64 last; /* the flow of its last event */
	__u64 reserved;
	struct rl_sources sources; /* of which it uses RL_THREAD_SOURCES */
	__u8 peer_address[16];
	__u8 unused[48];
};

/* How a socket came by its owner. */
enum rl_claim {
	RL_CLAIM_NONE = 0,     /* nobody yet */
	RL_CLAIM_CREATED = 1,  /* the process that made, bound or connected it */
	RL_CLAIM_LISTENER = 2, /* the process that listens; what its children inherit until they are touched */
	RL_CLAIM_TOUCHED = 3,  /* the process that last sent or received on it */
};

/*
 * A socket's account, kept in its own storage; a child starts as a copy of its listener's. It begins 8 bytes into a
 * cache line. Packets come in on other CPUs than the process reads on: they read the first line, which sends and
 * receives therefore leave as it is. What these write is in the second, which comes along with the first; of `outgo` the
 * log lies in the third, as nobody waits for what is only stored. 184 bytes fill what the kernel allocates for it.
 */
struct rl_socket {
	__u32 owner; /* slot in `processes`, 0 for none */
	__u32 owner_generation;
	__u8 claim;    /* enum rl_claim */
	__u8 protocol; /* enum rl_protocol */
	__u8 scope[RL_DIRECTIONS]; /* enum rl_scope */
	__u8 accepted; /* came from a listener */
	__u8 connected; /* this host connected it */
	__u8 nameless;  /* unconnected UDP, read without asking who sent it: its packets tell */
	__u8 noted;     /* enum rl_noted */
	__u64 flow;       /* its flow, for the process in flow_owner; 0 for none */
	__u16 flow_owner; /* slot */
	__u16 peer_port;  /* unconnected UDP: whom it spoke with last; where it is nameless, who sent it a packet last */
	__u16 pending_since; /* 2^24 ns; 0 for never */
	__u16 noted_port; /* UDP: where it was noted in rejected_datagrams; 0 for nowhere */
	__u32 noted_in; /* rl_rejection.id of the entry that counts this listener; UDP: network namespace */
	__u32 urgent_seq; /* TCP: the last urgent byte that was left out of what was read */
	__u8 peer_address[16]; /* as peer_port */
	__u64 payload[RL_DIRECTIONS];
	__u32 copied_seq; /* TCP: what was received is counted up to here */
	__u8 copied_valid;
	__u8 urgent_valid;
	__u8 before_urgent; /* TCP: the next byte to read is an urgent one */
	__u8 reserved;
	struct rl_outgo outgo;
	__u64 peer_flow; /* unconnected UDP: its flow with that peer */
	struct rl_wire pending[RL_DIRECTIONS]; /* packets that wait for an owner */
};

struct rl_interface_key {
	__u64 net_cookie;
	__u32 ifindex;
	__u32 reserved;
};

/* One direction of one interface, as the device hooks saw it. */
struct rl_interface_direction {
	__u64 device_bytes;     /* as the driver is handed them: link header included, super-packets as one */
	__u64 device_packets;
	__u64 segmented_bytes;  /* link header included, super-packets as the packets they become */
	struct rl_wire ip;      /* IPv4 and IPv6: from the IP header on, super-packets as the packets they become */
	struct rl_wire non_ip;  /* ARP and all else, less the link header */
	struct rl_wire forwarded; /* of ip, transmitted only: came in by another interface */
	__u64 looped_packets;     /* of ip, received only: own multicast and broadcast, which the device never had */
	__u64 reserved;
};

/* One line of a per-CPU, set-associative table: the same interface may have another line on each CPU. */
struct rl_interface {
	struct rl_interface_key key;
	struct rl_interface_direction direction[RL_DIRECTIONS];
};

struct rl_interface_name {
	__u32 netns; /* inode number, as in /proc/PID/ns/net */
	__u16 type;  /* ARPHRD_* (include/uapi/linux/if_arp.h) */
	__u16 hard_header_length;
	char name[RL_NAME_LENGTH];
	char driver[RL_DRIVER_LENGTH]; /* empty for a device made by software */
	char kind[RL_NAME_LENGTH];     /* of such a device: bridge, veth … */
};

/* The interface's own counters when its account began; what came before is not ours to explain. */
struct rl_interface_baseline {
	__u64 rx_bytes;
	__u64 rx_packets;
	__u64 tx_bytes;
	__u64 tx_packets;
};

/* One line of the socket table (`sockets` iterator). */
struct rl_socket_record {
	__u64 cookie;
	__u64 inode;
	__u64 payload[RL_DIRECTIONS];
	struct rl_wire pending[RL_DIRECTIONS];
	__u32 owner;
	__u32 owner_generation;
	__u32 netns;
	__u32 uid;
	__u16 family;
	__u16 protocol; /* IPPROTO_* */
	__u16 local_port;
	__u16 remote_port;
	__u8 state; /* include/net/tcp_states.h */
	__u8 claim;
	__u8 scope;
	__u8 type;
	__u32 ifindex; /* of the interface that it is bound to; 0 for none */
	__u64 flow;    /* as in rl_socket */
	__u8 local_address[16]; /* network byte order; IPv4 in the first four */
	__u8 remote_address[16];
};

/* Counters without a key of their own. */
struct rl_totals {
	__u64 object_id; /* which build of the programs these maps belong to; stays the first field */
	struct rl_wire unattributed[RL_UNATTRIBUTED][RL_DIRECTIONS];
	__u64 lost[RL_LOSSES];
	__u64 slots_used; /* slots ever handed out by counting up; freed ones come back through `free_slots` */
	__u64 flows_used; /* likewise, through `free_flows` */
	__u64 since_ns; /* when the accounting began */
	__u64 since_wall_ms; /* the same on the wall clock, which may be set later */
	struct rl_wire uncovered[RL_DIRECTIONS]; /* counted before the device hooks were attached; written by the agent */
	struct rl_wire no_socket[RL_DIRECTIONS]; /* as told at the latest, for the next agent; written by the agent */
	__u64 early_policies; /* how many policies match processes that start later; written by the agent */
};

#endif
