// Stands between a program and libc: counts named steps, kills at one of them, lets calls fail, and
// journals every change to files under one folder. lab/faults/shim.h says how it is told to.
//
// A file operation and its record are made under one lock, so that the journal's order is the
// order in which things happened. Sockets and pipes block, and are counted only.
#define _GNU_SOURCE
#include "lab/faults/shim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kFdsMax = 1024, kPathMax = 512 };
enum Kind { kUnknown, kFile, kFolder, kPipe, kServed, kWorker };
enum Role { kDbRole, kWalRole, kJournalRole, kResultRole, kCheckpointRole, kOtherRole, kRoles };
enum Operation { kOpen, kRead, kWrite, kSync, kTruncate, kRename, kUnlink, kOperations };
enum Verdict { kGo, kFail, kHalf, kHalfThenDie, kGoThenDie };

static const uint8_t kStepOf[kRoles][kOperations] = {
    {kStoreOpen, kStoreRead, kDbWrite, kDbSync, kDbTruncate, kOtherFile, kStoreUnlink},
    {kStoreOpen, kStoreRead, kWalWrite, kWalSync, kWalTruncate, kOtherFile, kStoreUnlink},
    {kStoreOpen, kStoreRead, kJournalWrite, kJournalSync, kWalTruncate, kOtherFile, kStoreUnlink},
    {kResultCreate, kResultRead, kResultWrite, kResultSync, kOtherFile, kResultRename, kSweep},
    {kCheckpointCreate, kCheckpointRead, kCheckpointWrite, kCheckpointSync, kOtherFile,
     kCheckpointRename, kSweep},
    {kOtherFile, kOtherFile, kOtherFile, kOtherFile, kOtherFile, kOtherFile, kSweep},
};

static const char* const kNames[kFaultSteps] = {
    "none",           "store open",        "wal write",        "wal sync",
    "wal truncate",   "db write",          "db sync",          "db truncate",
    "journal write",  "journal sync",      "store unlink",     "store read",
    "result create",  "result write",      "result sync",      "result rename",
    "result read",    "checkpoint create", "checkpoint write", "checkpoint sync",
    "checkpoint rename", "checkpoint read", "folder make",     "folder sync",
    "folder open",    "sweep",             "other file",       "thread start",
    "spawn",          "pipe read",         "pipe write",       "socket accept",
    "socket read",    "socket write",      "worker connect",   "worker read",
    "worker write",   "allocate"};

const char* fault_step_name(int step) {
  return step >= 0 && step < kFaultSteps ? kNames[step] : "unknown";
}

struct Fd {
  uint8_t kind, role;
  uint64_t inode;
  char path[kPathMax];
};

static struct FaultControl* _Atomic control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct Fd fds[kFdsMax];

void fault_attach(struct FaultControl* block) { control = block; }

static struct FaultControl* attached(void) {
  return atomic_load_explicit(&control, memory_order_acquire);
}

static void* next(const char* name) { return dlsym(RTLD_NEXT, name); }

static void journal(uint32_t kind, uint64_t inode, int64_t at, const void* bytes, size_t size) {
  struct FaultControl* c = attached();
  if (c == NULL || c->journal_max == 0) return;
  const struct FaultRecord record = {kind, (uint32_t)size, inode, at};
  const uint64_t whole = (sizeof record + size + 7) / 8 * 8;
  if (c->journal_used + whole > c->journal_max) {
    c->journal_used = c->journal_max + 1;
    return;
  }
  char* to = (char*)c + kFaultJournalAt + c->journal_used;
  memcpy(to, &record, sizeof record);
  if (size > 0) memcpy(to + sizeof record, bytes, size);
  c->journal_used += whole;
}

void fault_note(const char* text, size_t size) {
  pthread_mutex_lock(&lock);
  journal(kRecordNote, 0, 0, text, size);
  pthread_mutex_unlock(&lock);
}

static void die(struct FaultControl* c, int step) {
  c->hit = (uint32_t)step;
  if (c->kill_parent != 0) syscall(SYS_kill, getppid(), SIGKILL);
  for (;;) syscall(SYS_kill, getpid(), SIGKILL);
}

// Counts one operation and says what becomes of it; errno is set where it fails.
static enum Verdict meet(struct FaultControl* c, int step, int group, int has_half) {
  const uint64_t nth = __atomic_add_fetch(&c->seen[step], 1, __ATOMIC_RELAXED);
  const uint64_t of_group = __atomic_add_fetch(&c->of_group[group], 1, __ATOMIC_RELAXED);
  if (c->kill_step == (uint32_t)step && nth == c->kill_at) {
    if (c->kill_when == kAfter) return kGoThenDie;
    if (c->kill_when == kTorn && has_half) return kHalfThenDie;
    die(c, step);
  }
  if (c->fail_group != (uint32_t)group) return kGo;
  if (of_group != c->fail_at && !(c->fail_for_ever && of_group > c->fail_at)) return kGo;
  if (__atomic_fetch_add(&c->failed, 1, __ATOMIC_RELAXED) == 0) c->failed_step = (uint32_t)step;
  if (c->fail_errno == kFaultShort && has_half) return kHalf;
  errno = c->fail_errno == kFaultShort ? EIO : c->fail_errno;
  return kFail;
}

static size_t part(enum Verdict verdict, size_t size) {
  return verdict == kHalf || verdict == kHalfThenDie ? (size + 1) / 2 : size;
}

static void after(struct FaultControl* c, enum Verdict verdict, int step) {
  if (verdict == kHalfThenDie || verdict == kGoThenDie) die(c, step);
}

// Files.

static int role_of(const char* path) {
  const size_t length = strlen(path);
  if (strstr(path, "/steps/") != NULL) return kCheckpointRole;
  if (strstr(path, "/result.") != NULL || strstr(path, "/.result.") != NULL) return kResultRole;
  if (length > 4 && strcmp(path + length - 4, "-wal") == 0) return kWalRole;
  if (length > 8 && strcmp(path + length - 8, "-journal") == 0) return kJournalRole;
  if (length > 3 && strcmp(path + length - 3, ".db") == 0) return kDbRole;
  if (length > 5 && strcmp(path + length - 5, ".lock") == 0) return kDbRole;
  return kOtherRole;
}

// Whether the path is the root or under it, and the whole of it.
static int locate(struct FaultControl* c, int dir, const char* path, char* whole) {
  if (c == NULL || path == NULL) return 0;
  if (path[0] == '/') {
    if (snprintf(whole, kPathMax, "%s", path) >= kPathMax) return 0;
  } else {
    char link[64], base[kPathMax];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    const ssize_t length = dir < 0 ? -1 : readlink(link, base, sizeof base - 1);
    if (length <= 0) return 0;
    base[length] = '\0';
    if ((size_t)length + strlen(path) + 2 > kPathMax) return 0;
    memcpy(whole, base, (size_t)length);
    whole[length] = '/';
    strcpy(whole + length + 1, path);
  }
  const size_t root = strlen(c->root);
  return root > 0 && strncmp(whole, c->root, root) == 0 && (whole[root] == '/' || !whole[root]);
}

static struct Fd* known(int fd, enum Kind kind) {
  return fd >= 0 && fd < kFdsMax && fds[fd].kind == kind ? &fds[fd] : NULL;
}

static void forget(int fd) {
  if (fd >= 0 && fd < kFdsMax) fds[fd].kind = kUnknown;
}

static void remember(int fd, enum Kind kind) {
  if (fd >= 0 && fd < kFdsMax && attached() != NULL) fds[fd].kind = (uint8_t)kind;
}

static void opened(int fd, const char* path, int made, int flags) {
  struct stat st;
  if (fd < 0 || fd >= kFdsMax || fstat(fd, &st) != 0) return;
  struct Fd* slot = &fds[fd];
  slot->role = (uint8_t)role_of(path);
  slot->inode = st.st_ino;
  strcpy(slot->path, path);
  slot->kind = S_ISDIR(st.st_mode) ? kFolder : S_ISREG(st.st_mode) ? kFile : kUnknown;
  if (made) {
    journal(kRecordCreate, st.st_ino, 0, path, strlen(path));
  } else if (flags & O_TRUNC) {
    journal(kRecordTruncate, st.st_ino, 0, NULL, 0);
  }
}

static int open_step(const char* path, int made) {
  struct stat st;
  if (!made && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return kFolderOpen;
  const int role = role_of(path);
  if (role == kResultRole && !made) return kResultRead;
  if (role == kCheckpointRole && !made) return kCheckpointRead;
  return kStepOf[role][kOpen];
}

static int open_through(int dir, const char* path, int flags, mode_t mode) {
  char whole[kPathMax];
  struct FaultControl* c = attached();
  if (!locate(c, dir, path, whole)) {
    const int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (c != NULL) forget(fd);
    return fd;
  }
  pthread_mutex_lock(&lock);
  const int made = (flags & O_CREAT) && access(whole, F_OK) != 0;
  const int step = open_step(whole, made);
  const enum Verdict verdict = meet(c, step, kGroupFile, 0);
  int fd = -1;
  if (verdict != kFail) {
    fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    const int why = errno;
    opened(fd, whole, made, flags);
    after(c, verdict, step);
    errno = why;
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

static mode_t mode_from(int flags, va_list rest) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                        \
  int name(const char* path, int flags, ...) {            \
    va_list rest;                                         \
    va_start(rest, flags);                                \
    const mode_t mode = mode_from(flags, rest);           \
    va_end(rest);                                         \
    return open_through(AT_FDCWD, path, flags, mode);     \
  }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                      \
  int name(int dir, const char* path, int flags, ...) {   \
    va_list rest;                                         \
    va_start(rest, flags);                                \
    const mode_t mode = mode_from(flags, rest);           \
    va_end(rest);                                         \
    return open_through(dir, path, flags, mode);          \
  }
OPENAT(openat)
OPENAT(openat64)
int __open_2(const char* path, int flags) { return open_through(AT_FDCWD, path, flags, 0); }
int __open64_2(const char* path, int flags) { return open_through(AT_FDCWD, path, flags, 0); }

int close(int fd) {
  if (attached() != NULL) forget(fd);
  return (int)syscall(SYS_close, fd);
}

// `at` below 0: at the descriptor's own place.
static ssize_t write_file(struct FaultControl* c, struct Fd* slot, int fd, const void* from,
                          size_t size, off_t at) {
  pthread_mutex_lock(&lock);
  const int step = kStepOf[slot->role][kWrite];
  const enum Verdict verdict = meet(c, step, kGroupFile, size > 1);
  ssize_t done = -1;
  if (verdict != kFail) {
    const size_t most = part(verdict, size);
    done = at < 0 ? syscall(SYS_write, fd, from, most) : syscall(SYS_pwrite64, fd, from, most, at);
    const int why = errno;
    if (done > 0) {
      const off_t place = at < 0 ? lseek(fd, 0, SEEK_CUR) - done : at;
      journal(kRecordWrite, slot->inode, place, from, (size_t)done);
    }
    after(c, verdict, step);
    errno = why;
  }
  pthread_mutex_unlock(&lock);
  return done;
}

static ssize_t read_file(struct FaultControl* c, struct Fd* slot, int fd, void* to, size_t size,
                         off_t at) {
  const int step = kStepOf[slot->role][kRead];
  const enum Verdict verdict = meet(c, step, kGroupFile, size > 1);
  if (verdict == kFail) return -1;
  const size_t most = part(verdict, size);
  const ssize_t done =
      at < 0 ? syscall(SYS_read, fd, to, most) : syscall(SYS_pread64, fd, to, most, at);
  after(c, verdict, step);
  return done;
}

// Sockets and pipes: which step an operation on one of them is; 0: it is none of ours.
static int talk_step(int fd, int writes) {
  if (fd < 0 || fd >= kFdsMax) return 0;
  switch (fds[fd].kind) {
    case kPipe: return writes ? kPipeWrite : kPipeRead;
    case kServed: return writes ? kSocketWrite : kSocketRead;
    case kWorker: return writes ? kWorkerWrite : kWorkerRead;
    default: return 0;
  }
}

ssize_t pwrite64(int fd, const void* from, size_t size, off64_t at) {
  struct FaultControl* c = attached();
  struct Fd* slot = c == NULL ? NULL : known(fd, kFile);
  if (slot == NULL) return syscall(SYS_pwrite64, fd, from, size, at);
  return write_file(c, slot, fd, from, size, at);
}
ssize_t pwrite(int fd, const void* from, size_t size, off_t at) {
  return pwrite64(fd, from, size, at);
}
ssize_t pread64(int fd, void* to, size_t size, off64_t at) {
  struct FaultControl* c = attached();
  struct Fd* slot = c == NULL ? NULL : known(fd, kFile);
  if (slot == NULL) return syscall(SYS_pread64, fd, to, size, at);
  return read_file(c, slot, fd, to, size, at);
}
ssize_t pread(int fd, void* to, size_t size, off_t at) { return pread64(fd, to, size, at); }

// One call on a socket or pipe, of a single buffer.
static ssize_t talk(long number, int fd, void* buffer, size_t size, int flags, int writes) {
  struct FaultControl* c = attached();
  const int step = c == NULL ? 0 : talk_step(fd, writes);
  const int plain = number == SYS_read || number == SYS_write;
  enum Verdict verdict = kGo;
  if (step != 0) verdict = meet(c, step, kGroupTalk, size > 1);
  if (verdict == kFail) return -1;
  const size_t most = part(verdict, size);
  const ssize_t done = plain ? syscall(number, fd, buffer, most)
                             : syscall(number, fd, buffer, most, flags, NULL, 0);
  if (step != 0) after(c, verdict, step);
  return done;
}

ssize_t write(int fd, const void* from, size_t size) {
  struct FaultControl* c = attached();
  struct Fd* slot = c == NULL ? NULL : known(fd, kFile);
  if (slot != NULL) return write_file(c, slot, fd, from, size, -1);
  return talk(SYS_write, fd, (void*)from, size, 0, 1);
}
ssize_t read(int fd, void* to, size_t size) {
  struct FaultControl* c = attached();
  struct Fd* slot = c == NULL ? NULL : known(fd, kFile);
  if (slot != NULL) return read_file(c, slot, fd, to, size, -1);
  return talk(SYS_read, fd, to, size, 0, 0);
}
ssize_t recv(int fd, void* to, size_t size, int flags) {
  return talk(SYS_recvfrom, fd, to, size, flags, 0);
}
ssize_t send(int fd, const void* from, size_t size, int flags) {
  return talk(SYS_sendto, fd, (void*)from, size, flags, 1);
}

// The same with several buffers: a half is the first buffer's half.
static ssize_t talk_parts(long number, int fd, struct msghdr* message, int flags, int writes) {
  struct FaultControl* c = attached();
  const int step = c == NULL ? 0 : talk_step(fd, writes);
  if (step == 0) return syscall(number, fd, message, flags);
  const int has_half = message->msg_iovlen > 0 && message->msg_iov[0].iov_len > 1;
  const enum Verdict verdict = meet(c, step, kGroupTalk, has_half);
  if (verdict == kFail) return -1;
  struct msghdr less = *message;
  struct iovec first;
  if (verdict == kHalf || verdict == kHalfThenDie) {
    first = message->msg_iov[0];
    first.iov_len = part(verdict, first.iov_len);
    less.msg_iov = &first;
    less.msg_iovlen = 1;
  }
  const ssize_t done = syscall(number, fd, &less, flags);
  message->msg_flags = less.msg_flags;
  after(c, verdict, step);
  return done;
}

ssize_t recvmsg(int fd, struct msghdr* message, int flags) {
  return talk_parts(SYS_recvmsg, fd, message, flags, 0);
}
ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  struct msghdr copy = *message;
  return talk_parts(SYS_sendmsg, fd, &copy, flags, 1);
}

ssize_t writev(int fd, const struct iovec* parts, int count) {
  // A short write is a right answer: the caller goes on with the rest.
  if (attached() != NULL && known(fd, kFile) != NULL && count > 0) {
    for (int i = 0; i < count; i++) {
      if (parts[i].iov_len > 0) return write(fd, parts[i].iov_base, parts[i].iov_len);
    }
  }
  return syscall(SYS_writev, fd, parts, count);
}

static int sync_through(int fd, long number) {
  struct FaultControl* c = attached();
  struct Fd* slot = c == NULL ? NULL : known(fd, kFile);
  struct Fd* folder = c == NULL ? NULL : known(fd, kFolder);
  if (slot == NULL && folder == NULL) return (int)syscall(number, fd);
  pthread_mutex_lock(&lock);
  const int step = slot != NULL ? kStepOf[slot->role][kSync] : kFolderSync;
  const enum Verdict verdict = meet(c, step, kGroupFile, 0);
  int done = -1;
  if (verdict != kFail) {
    done = (int)syscall(number, fd);
    if (done == 0 && slot != NULL) journal(kRecordSync, slot->inode, 0, NULL, 0);
    if (done == 0 && slot == NULL) {
      journal(kRecordSyncFolder, 0, 0, folder->path, strlen(folder->path));
    }
    after(c, verdict, step);
  }
  pthread_mutex_unlock(&lock);
  return done;
}
int fsync(int fd) { return sync_through(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_through(fd, SYS_fdatasync); }

int ftruncate64(int fd, off64_t size) {
  struct FaultControl* c = attached();
  struct Fd* slot = c == NULL ? NULL : known(fd, kFile);
  if (slot == NULL) return (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_lock(&lock);
  const int step = kStepOf[slot->role][kTruncate];
  const enum Verdict verdict = meet(c, step, kGroupFile, 0);
  int done = -1;
  if (verdict != kFail) {
    done = (int)syscall(SYS_ftruncate, fd, size);
    if (done == 0) journal(kRecordTruncate, slot->inode, size, NULL, 0);
    after(c, verdict, step);
  }
  pthread_mutex_unlock(&lock);
  return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

// Names. `second` is a rename's target.
static int name_through(int step, int kind, const char* whole, const char* second, long number,
                        int dir, const char* path, long argument) {
  struct FaultControl* c = attached();
  pthread_mutex_lock(&lock);
  const enum Verdict verdict = meet(c, step, kGroupFile, 0);
  int done = -1;
  if (verdict != kFail) {
    done = second != NULL
               ? (int)syscall(SYS_renameat2, AT_FDCWD, whole, AT_FDCWD, second, argument)
               : (int)syscall(number, dir, path, argument);
    const int why = errno;
    if (done == 0) {
      char both[2 * kPathMax];
      const size_t size = strlen(whole) + 1;
      memcpy(both, whole, size);
      if (second != NULL) strcpy(both + size, second);
      journal((uint32_t)kind, 0, 0, both, second == NULL ? size - 1 : size + strlen(second));
    }
    after(c, verdict, step);
    errno = why;
  }
  pthread_mutex_unlock(&lock);
  return done;
}

int renameat2(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) {
  char whole[kPathMax], second[kPathMax];
  struct FaultControl* c = attached();
  if (!locate(c, from_dir, from, whole) || !locate(c, to_dir, to, second)) {
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
  }
  return name_through(kStepOf[role_of(second)][kRename], kRecordRename, whole, second, 0, 0, NULL,
                      (long)flags);
}
int renameat(int from_dir, const char* from, int to_dir, const char* to) {
  return renameat2(from_dir, from, to_dir, to, 0);
}
int rename(const char* from, const char* to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char* path, int flags) {
  char whole[kPathMax];
  struct FaultControl* c = attached();
  // A name that is not there is not a change: libc's own answer.
  if (!locate(c, dir, path, whole) || access(whole, F_OK) != 0) {
    return (int)syscall(SYS_unlinkat, dir, path, flags);
  }
  const int folder = (flags & AT_REMOVEDIR) != 0;
  struct stat st;
  if (!folder && lstat(whole, &st) == 0 && S_ISDIR(st.st_mode)) {
    errno = EISDIR;
    return -1;
  }
  const int step = folder ? kSweep : kStepOf[role_of(whole)][kUnlink];
  return name_through(step, folder ? kRecordDropFolder : kRecordUnlink, whole, NULL, SYS_unlinkat,
                      dir, path, flags);
}
int unlink(const char* path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) {
  if (unlinkat(AT_FDCWD, path, 0) == 0) return 0;
  return errno == EISDIR ? rmdir(path) : -1;
}

int mkdirat(int dir, const char* path, mode_t mode) {
  char whole[kPathMax];
  if (!locate(attached(), dir, path, whole)) return (int)syscall(SYS_mkdirat, dir, path, mode);
  return name_through(kFolderMake, kRecordMakeFolder, whole, NULL, SYS_mkdirat, dir, path,
                      (long)mode);
}
int mkdir(const char* path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

// Talking: what kind a descriptor is.

int pipe2(int pair[2], int flags) {
  const int done = (int)syscall(SYS_pipe2, pair, flags);
  if (done == 0) {
    remember(pair[0], kPipe);
    remember(pair[1], kPipe);
  }
  return done;
}

static int accept_through(int fd, struct sockaddr* address, socklen_t* size, int flags) {
  struct FaultControl* c = attached();
  enum Verdict verdict = kGo;
  if (c != NULL) verdict = meet(c, kSocketAccept, kGroupTalk, 0);
  if (verdict == kFail) return -1;
  const int got = (int)syscall(SYS_accept4, fd, address, size, flags);
  remember(got, kServed);
  if (c != NULL) after(c, verdict, kSocketAccept);
  return got;
}
int accept(int fd, struct sockaddr* address, socklen_t* size) {
  return accept_through(fd, address, size, 0);
}
int accept4(int fd, struct sockaddr* address, socklen_t* size, int flags) {
  return accept_through(fd, address, size, flags);
}

int connect(int fd, const struct sockaddr* address, socklen_t size) {
  struct FaultControl* c = attached();
  enum Verdict verdict = kGo;
  if (c != NULL) verdict = meet(c, kWorkerConnect, kGroupTalk, 0);
  if (verdict == kFail) return -1;
  remember(fd, kWorker);
  const int done = (int)syscall(SYS_connect, fd, address, size);
  if (c != NULL) after(c, verdict, kWorkerConnect);
  return done;
}

// Processes and threads.

typedef pid_t (*Fork)(void);
pid_t fork(void) {
  struct FaultControl* c = attached();
  enum Verdict verdict = kGo;
  if (c != NULL) verdict = meet(c, kSpawn, kGroupSpawn, 0);
  if (verdict == kFail) return -1;
  const pid_t pid = ((Fork)next("fork"))();
  if (pid == 0) {
    control = NULL;  // the child is another process, and nobody holds the lock for it
  } else if (c != NULL) {
    after(c, verdict, kSpawn);
  }
  return pid;
}

typedef int (*Create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) {
  struct FaultControl* c = attached();
  enum Verdict verdict = kGo;
  if (c != NULL) verdict = meet(c, kThreadStart, kGroupSpawn, 0);
  if (verdict == kFail) return errno;
  const int done = ((Create)next("pthread_create"))(thread, attributes, run, argument);
  if (c != NULL) after(c, verdict, kThreadStart);
  return done;
}

// Memory. glibc gives its allocator under these names too, so that no look-up is needed.

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* at, size_t size);

static int has_memory(void) {
  struct FaultControl* c = attached();
  if (c == NULL) return 1;
  if (meet(c, kAllocate, kGroupAllocate, 0) != kFail) return 1;
  errno = ENOMEM;
  return 0;
}

void* malloc(size_t size) { return has_memory() ? __libc_malloc(size) : NULL; }
void* calloc(size_t count, size_t size) {
  return has_memory() ? __libc_calloc(count, size) : NULL;
}
void* realloc(void* at, size_t size) { return has_memory() ? __libc_realloc(at, size) : NULL; }

__attribute__((constructor)) static void attach_by_name(void) {
  const char* file = getenv("FAULT_CONTROL");
  const char* program = getenv("FAULT_PROGRAM");
  if (file == NULL || program == NULL || strcmp(program, program_invocation_short_name) != 0) {
    return;
  }
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  void* block = mmap(NULL, sizeof(struct FaultControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (block != MAP_FAILED) control = block;
}
