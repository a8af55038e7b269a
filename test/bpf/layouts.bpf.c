// SPDX-License-Identifier: GPL-2.0-only
/* Every kind of field that may cross to user space. Compiled with -DCHANGED it is a later version of itself. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

enum rl_color {
	RL_COLOR_RED = 0,
	RL_COLOR_DARK_BLUE = 5,
	RL_TRANSPARENT = 6,
};

enum rl_sign { RL_SIGN_MINUS = -1, RL_SIGN_PLUS = 1 };

struct rl_point {
	__s32 x;
	__s32 y;
};

struct plain_key {
	__u64 cookie;
	__be32 address;
	__be16 port;
	__u16 family;
};

struct rl_everything {
	__u64 unsigned_64;
	__s64 signed_64;
	__u32 unsigned_32;
	__s32 signed_32;
	__u16 unsigned_16;
	__s16 signed_16;
	__u8 unsigned_8;
	__s8 signed_8;
	_Bool yes_or_no;
	__u8 _pad[5];
	enum rl_color color;
	enum rl_sign sign;
	__be16 port;
	__be32 address __attribute__((aligned(4)));
	__be64 big __attribute__((aligned(8)));
	char name[8];
	__u8 bytes[4];
	__u16 shorts[3];
	__u8 pad2[6];
	__u64 table[2][3];
	struct rl_point point;
	struct rl_point points[2];
	union {
		__u32 v4;
		__u32 v6[2];
	};
	struct bpf_spin_lock lock;
#ifdef CHANGED
	__u32 added;
#else
	__u32 reserved;
#endif
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, struct plain_key);
	__type(value, struct rl_everything);
} everything SEC(".maps");

struct rl_event {
	__u32 type;
};

/* Nothing reads it: it puts into the BTF what no map or function mentions, and is not loaded. */
struct {
	struct rl_event event;
	enum { RL_LIMIT = 12, RL_OTHER_LIMIT = 13 } limits;
} exported SEC("rl_boundary");

char LICENSE[] SEC("license") = "GPL";
