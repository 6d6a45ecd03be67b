/*
 * Preloaded into a replica process: kills it at the k-th call of a kind, before the call, after it, or (for writes) after half of
 * its bytes; or has the disk fail or stand still from that call on. The product has no part in it: its calls to the C library pass
 * through here.
 *
 * KILL_PLAN names a file of PLAN_BYTES that is mapped: byte 0 is 0 while nothing is planned, and is changed last. From byte 8 there is
 * "<call> <file> <when> <k>" with
 *   call  write, sync: of records; fill, fillSync: of the zeros that a file begins as; rename: to this name; send: of a datagram
 *   file  pattern of the file's name; "." is the data directory itself; "-" for a datagram
 *   when  before, half, after: killed; fail-<errno>: this call and later ones fail so; slow-<ms>: they take so much longer
 * KILL_DIRECTORY is the data directory, resolved; files elsewhere do not count.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PLAN_BYTES = 256, PLAN_TEXT = 8, FILES_MAX = 4096 };

static volatile const char *plan;
static const char *directory;
static atomic_long counted;
/* Whether the last write to a file was of zeros. */
static atomic_char filled[FILES_MAX];

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("KILL_PLAN");
  directory = getenv("KILL_DIRECTORY");
  int fd = path == NULL || directory == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, PLAN_BYTES, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) plan = mapped;
}

static int planned(void) { return plan != NULL && plan[0] != 0; }

static _Noreturn void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* The name below the data directory; NULL for anything else. */
static const char *name_in_directory(const char *path) {
  size_t length = strlen(directory);
  if (strncmp(path, directory, length) != 0) return NULL;
  if (path[length] == 0) return ".";
  return path[length] == '/' ? path + length + 1 : NULL;
}

/* What a disk in trouble does: an error, or milliseconds. */
static atomic_int trouble;

/* What is to be done at this call: 0 nothing, else the first letter of `when`. */
static char due(const char *call, const char *name) {
  char wanted[32], pattern[128], when[16];
  long k;
  if (name == NULL || sscanf((const char *)plan + PLAN_TEXT, "%31s %127s %15s %ld", wanted, pattern, when, &k) != 4) return 0;
  if (strcmp(call, wanted) != 0 || fnmatch(pattern, name, 0) != 0) return 0;
  long now = atomic_fetch_add(&counted, 1) + 1;
  if (when[0] != 'f' && when[0] != 's') return now == k ? when[0] : 0;
  atomic_store(&trouble, atoi(when + 5));
  return now >= k ? when[0] : 0;
}

static void stand_still(void) { usleep((useconds_t)atomic_load(&trouble) * 1000); }

/* `call`, or where the last write to the file was of zeros, `fill`. A directory has the number of a file that was closed. */
static char due_at_file(const char *call, const char *fill, int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  const char *name = name_in_directory(path);
  int fills = fd < FILES_MAX && atomic_load(&filled[fd]) && name != NULL && strcmp(name, ".") != 0;
  return due(fills ? fill : call, name);
}

static char due_at_path(const char *call, const char *path) {
  char parent[PATH_MAX];
  const char *name = strrchr(path, '/');
  if (name == NULL || (size_t)(name - path) >= sizeof parent) return 0;
  memcpy(parent, path, name - path);
  parent[name - path] = 0;
  char *real = realpath(parent, NULL);
  int ours = real != NULL && strcmp(real, directory) == 0;
  free(real);
  return ours ? due(call, name + 1) : 0;
}

static char due_at_socket(int fd) {
  int domain = 0, type = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || (domain != AF_INET && domain != AF_INET6)) return 0;
  length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_DGRAM) return 0;
  return due("send", "-");
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
/* Looked up once: dlsym is not for hot paths. */
#define REAL(name)                                   \
  static __typeof__(&name) real;                     \
  if (real == NULL) real = NEXT(name)

/* The call itself, between the deaths before and after it. */
#define AROUND(due_here, type, call)  \
  char now = planned() ? due_here : 0; \
  if (now == 'b') die();               \
  if (now == 's') stand_still();       \
  if (now == 'f') {                    \
    errno = atomic_load(&trouble);     \
    return -1;                         \
  }                                    \
  type result = call;                  \
  if (now == 'a') die();               \
  return result

static int is_fill(const void *bytes, size_t count) {
  static const char zeros[8];
  return count >= sizeof zeros && memcmp(bytes, zeros, sizeof zeros) == 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  REAL(pwrite64);
  if (fd >= 0 && fd < FILES_MAX) atomic_store(&filled[fd], is_fill(bytes, count));
  char now = planned() ? due_at_file("write", "fill", fd) : 0;
  if (now == 'b') die();
  if (now == 's') stand_still();
  if (now == 'f') {
    errno = atomic_load(&trouble);
    return -1;
  }
  ssize_t result = real(fd, bytes, now == 'h' ? count / 2 : count, offset);
  if (now == 'h' || now == 'a') die();
  return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }

int fdatasync(int fd) {
  REAL(fdatasync);
  AROUND(due_at_file("sync", "fillSync", fd), int, real(fd));
}

int fsync(int fd) {
  REAL(fsync);
  AROUND(due_at_file("sync", "fillSync", fd), int, real(fd));
}

int rename(const char *from, const char *to) {
  REAL(rename);
  AROUND(due_at_path("rename", to), int, real(from, to));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(sendmsg);
  AROUND(due_at_socket(fd), ssize_t, real(fd, message, flags));
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags) {
  REAL(sendmmsg);
  AROUND(due_at_socket(fd), int, real(fd, messages, count, flags));
}

ssize_t sendto(int fd, const void *bytes, size_t count, int flags, const struct sockaddr *to, socklen_t length) {
  REAL(sendto);
  AROUND(due_at_socket(fd), ssize_t, real(fd, bytes, count, flags, to, length));
}
