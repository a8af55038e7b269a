/*
 * loaded ID...: which of these are in the kernel. An ID is "prog 12", "map 7" or "link 3", as one argument.
 * loaded --pinned FOLDER: those that are pinned below it, with the programs of its links.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "truth.h"

static int bpf(int command, union bpf_attr attributes) { return syscall(SYS_bpf, command, &attributes, sizeof attributes); }

static int is_loaded(const char *id) {
  unsigned number = atoi(strchr(id, ' ') ? strchr(id, ' ') + 1 : "0");
  int command = id[0] == 'p' ? BPF_PROG_GET_FD_BY_ID : id[0] == 'm' ? BPF_MAP_GET_FD_BY_ID : BPF_LINK_GET_FD_BY_ID;
  int fd = bpf(command, (union bpf_attr){.prog_id = number});
  if (fd < 0 && errno != ENOENT)
    fail(id);
  if (fd >= 0)
    close(fd);
  return fd >= 0;
}

/* The kernel tells the ids of an open object in its fdinfo: "prog_id:\t12". */
static int list_pinned(const char *path, const struct stat *status, int kind, struct FTW *position) {
  (void)position;
  if (kind != FTW_F || !S_ISREG(status->st_mode))
    return 0;
  int fd = bpf(BPF_OBJ_GET, (union bpf_attr){.pathname = (__u64)(unsigned long)path});
  if (fd < 0)
    return 0;
  char info[64], line[256];
  snprintf(info, sizeof info, "/proc/self/fdinfo/%d", fd);
  FILE *file = fopen(info, "r");
  unsigned id;
  while (file && fgets(line, sizeof line, file)) {
    if (sscanf(line, "prog_id: %u", &id) == 1)
      printf("prog %u\n", id);
    else if (sscanf(line, "map_id: %u", &id) == 1)
      printf("map %u\n", id);
    else if (sscanf(line, "link_id: %u", &id) == 1)
      printf("link %u\n", id);
  }
  if (file)
    fclose(file);
  close(fd);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "--pinned") == 0)
    return nftw(arguments[2], list_pinned, 8, FTW_PHYS) < 0;
  for (int i = 1; i < count; i++)
    if (is_loaded(arguments[i]))
      printf("%s\n", arguments[i]);
}
