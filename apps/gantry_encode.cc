// gantry-encode FORMAT RATE: speech to mp3, FLAC or Ogg Opus, line by line (worker/encode.h).
#include <sys/resource.h>

#include <cstdio>
#include <iostream>

#include "worker/encode.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: gantry-encode mp3|flac|opus RATE\n");
    return 2;
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit most{256 << 20, 256 << 20};
  ::setrlimit(RLIMIT_AS, &most);
#endif
  std::ios::sync_with_stdio(false);
  return gantry::encode_lines(std::cin, std::cout, argv[1], argv[2]) ? 0 : 1;
}
