// LD_PRELOAD for the fault tests: reads that fail or come short, memory that is not there, io_uring
// that is not allowed, and a ggml of another version. Each fault is asked for by a variable; without one nothing changes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kBlocksMax = 256 };
static const size_t kLargeBlock = 256 << 10;

// A file of this name ending, read while the file SHIM_READ_ERROR names exists, fails.
static int is_model(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 5) return 0;
  path[length] = '\0';
  return strcmp(path + length - 5, ".gguf") == 0;
}

static int read_fails(int fd) {
  const char* flag = getenv("SHIM_READ_ERROR");
  return flag != NULL && access(flag, F_OK) == 0 && is_model(fd);
}

// SHIM_READ_MOST: no read of a model brings more bytes than that.
static size_t read_most(int fd, size_t size) {
  const char* most = getenv("SHIM_READ_MOST");
  if (most == NULL || !is_model(fd)) return size;
  const size_t limit = (size_t)atoll(most);
  return size < limit ? size : limit;
}

typedef ssize_t (*Read)(int, void*, size_t, off_t);
static ssize_t read_through(const char* name, int fd, void* to, size_t size, off_t from) {
  if (read_fails(fd)) {
    errno = EIO;
    return -1;
  }
  return ((Read)dlsym(RTLD_NEXT, name))(fd, to, read_most(fd, size), from);
}

ssize_t pread(int fd, void* to, size_t size, off_t from) {
  return read_through("pread", fd, to, size, from);
}
ssize_t pread64(int fd, void* to, size_t size, off_t from) {
  return read_through("pread64", fd, to, size, from);
}

typedef ssize_t (*ReadVector)(int, const struct iovec*, int, off_t);
ssize_t preadv(int fd, const struct iovec* parts, int count, off_t from) {
  if (count == 1) return read_through("pread", fd, parts->iov_base, parts->iov_len, from);
  if (read_fails(fd)) {
    errno = EIO;
    return -1;
  }
  return ((ReadVector)dlsym(RTLD_NEXT, "preadv"))(fd, parts, count, from);
}

// SHIM_MEMORY: so many bytes of large aligned blocks, which is how ggml's CPU buffers are made.
static _Atomic size_t used;
static struct {
  _Atomic(void*) at;
  size_t size;
} blocks[kBlocksMax];

typedef int (*Align)(void**, size_t, size_t);
int posix_memalign(void** out, size_t alignment, size_t size) {
  const char* most = getenv("SHIM_MEMORY");
  const int counted = most != NULL && size >= kLargeBlock;
  if (counted && atomic_fetch_add(&used, size) + size > (size_t)atoll(most)) {
    atomic_fetch_sub(&used, size);
    return ENOMEM;
  }
  const int status = ((Align)dlsym(RTLD_NEXT, "posix_memalign"))(out, alignment, size);
  for (int i = 0; counted && status == 0 && i < kBlocksMax; i++) {
    void* empty = NULL;
    if (!atomic_compare_exchange_strong(&blocks[i].at, &empty, *out)) continue;
    blocks[i].size = size;
    break;
  }
  return status;
}

typedef void (*Free)(void*);
void free(void* at) {
  static _Atomic(Free) real;
  if (at != NULL && atomic_load(&used) != 0) {
    for (int i = 0; i < kBlocksMax; i++) {
      if (atomic_load(&blocks[i].at) != at) continue;
      atomic_fetch_sub(&used, blocks[i].size);
      atomic_store(&blocks[i].at, NULL);
      break;
    }
  }
  if (atomic_load(&real) == NULL) atomic_store(&real, (Free)dlsym(RTLD_NEXT, "free"));
  atomic_load(&real)(at);
}

// SHIM_GGML_VERSION: what ggml says of itself.
typedef const char* (*Version)(void);
const char* ggml_version(void) {
  const char* other = getenv("SHIM_GGML_VERSION");
  if (other != NULL) return other;
  const Version real = (Version)dlsym(RTLD_NEXT, "ggml_version");
  return real == NULL ? "" : real();
}

// SHIM_NO_URING: io_uring_setup is not permitted, as in most containers.
__attribute__((constructor)) static void forbid_uring(void) {
  if (getenv("SHIM_NO_URING") == NULL) return;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {sizeof code / sizeof code[0], code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("shim: seccomp");
    abort();
  }
}
