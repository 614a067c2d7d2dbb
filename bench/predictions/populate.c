// Loaded before llama-server by bench/predictions: makes every page of ggml's buffers present when
// they are allocated, as they are after the fullest batch. Otherwise a short question would leave
// most of the compute buffer untouched, and memory seen from outside would be smaller than what a
// long one takes. ggml allocates its CPU buffers by posix_memalign (ggml.c), and little else does.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

typedef int (*Allocate)(void**, size_t, size_t);
enum { kLarge = 1 << 16 };  // smaller ones come from the heap, and are touched soon

int posix_memalign(void** out, size_t alignment, size_t size) {
  static Allocate next;
  if (next == NULL) next = (Allocate)dlsym(RTLD_NEXT, "posix_memalign");
  if (next == NULL) return ENOMEM;
  const int failed = next(out, alignment, size);
  if (failed == 0 && size >= kLarge) memset(*out, 0, size);
  return failed;
}
