// SPDX-License-Identifier: GPL-2.0-only
/*
 * All programs as one object, so that they share their maps and are pinned and adopted together.
 * Each file below answers one question and can be read alone; maps.bpf.h comes first.
 */
#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "relayledger.h"

#include "maps.bpf.h"
#include "packets.bpf.h"

#include "policies.bpf.c"
#include "processes.bpf.c"
#include "flows.bpf.h"
#include "quotas.bpf.c"
#include "deny.bpf.c"
#include "owners.bpf.c"
#include "flow-peers.bpf.h"
#include "payments.bpf.h"
#include "ledger.bpf.c"
#include "payload.bpf.c"
#include "calls.bpf.c"
#include "fair-rate.bpf.h"
#include "caps.bpf.c"
#include "wire.bpf.c"
#include "interfaces.bpf.c"
#include "sockets.bpf.c"
#include "windows.bpf.h"
#include "pacing.bpf.c"
#include "disconnect.bpf.c"
#include "reject.bpf.c"

char LICENSE[] SEC("license") = "GPL";
