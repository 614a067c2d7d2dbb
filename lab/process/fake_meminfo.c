// LD_PRELOAD for tests: /proc/meminfo is read from the file that FAKE_MEMINFO names, so that a test
// decides how much memory the machine has free.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef int (*open_function)(const char*, int, ...);

static const char* path_of(const char* path) {
  const char* fake = getenv("FAKE_MEMINFO");
  return fake != NULL && strcmp(path, "/proc/meminfo") == 0 ? fake : path;
}

static int open_by(const char* name, const char* path, int flags, va_list rest) {
  const open_function real = (open_function)dlsym(RTLD_NEXT, name);
  const int takes_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  if (takes_mode) return real(path, flags, va_arg(rest, mode_t));
  return real(path_of(path), flags);
}

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int fd = open_by("open", path, flags, rest);
  va_end(rest);
  return fd;
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int fd = open_by("open64", path, flags, rest);
  va_end(rest);
  return fd;
}
