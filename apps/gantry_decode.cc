// gantry-decode IN OUT: one recording to the wav that recognition reads, in little memory.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "worker/decode.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: gantry-decode IN OUT\n");
    return 2;
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // A header may ask for any amount of memory; the decoders here never need a tenth of this.
  const rlimit most{256 << 20, 256 << 20};
  ::setrlimit(RLIMIT_AS, &most);
#endif
  const gantry::Result<gantry::Millis> length = gantry::decode_file(argv[1], argv[2]);
  if (length) return 0;
  const gantry::Error& error = length.error();
  std::fprintf(stderr, "%s\n%s\n", error.message.c_str(), error.remedy.c_str());
  const auto status =
      std::ranges::find(gantry::kDecodeStatus, error.code, &std::pair<gantry::Code, int>::first);
  return status == gantry::kDecodeStatus.end() ? 1 : status->second;
}
