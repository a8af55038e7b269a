/* loaded: one line for each BPF program, map and link in the kernel: "prog 12", "map 7", "link 3". */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "truth.h"

static void list(const char *kind, int command) {
  union bpf_attr attributes;
  for (__u32 id = 0;; id = attributes.next_id) {
    memset(&attributes, 0, sizeof attributes);
    attributes.start_id = id;
    if (syscall(SYS_bpf, command, &attributes, sizeof attributes) < 0) {
      if (errno == ENOENT)
        return;
      fail(kind);
    }
    printf("%s %u\n", kind, attributes.next_id);
  }
}

int main(void) {
  list("prog", BPF_PROG_GET_NEXT_ID);
  list("map", BPF_MAP_GET_NEXT_ID);
  list("link", BPF_LINK_GET_NEXT_ID);
}
