// Where the bytes of weights lie: in a file, in an image of their own, in the ring. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gantry {

// Where a weight rests. file < 0: in host memory, at `host`.
struct Source {
  int file = -1;
  uint64_t offset = 0;
  const std::byte* host = nullptr;
};

struct Part {
  Source source;
  uint64_t bytes = 0;  // as in the file
  uint64_t space = 0;  // on the device, padding included
};

// A read of the file that brings whole parts: aligned outward to the read alignment.
struct Run {
  int file = -1;
  uint64_t offset = 0;  // aligned
  uint64_t bytes = 0;   // aligned; may reach behind the end of the file
  uint64_t needed = 0;  // bytes that must arrive
  uint64_t at = 0;      // in the image (direct), else in nothing: runs are staged one by one
};

// The image of some parts that are moved together.
struct Image {
  std::vector<uint64_t> at;  // of each part
  std::vector<Run> runs;     // none for parts that rest in host memory
  uint64_t bytes = 0;
};

// direct: the file's bytes are read straight into the image, which lies at an aligned address;
// each part keeps its offset modulo kReadAlign, and neighbours in the file are read as one run.
Image lay_direct(const std::vector<Part>& parts);

// staged: parts lie at multiples of `alignment`, runs are read elsewhere and copied part by part.
Image lay_staged(const std::vector<Part>& parts, uint64_t alignment);

// Every streamed piece gets one place in the ring for good, so that clones of its weights, and with
// them captured graphs, stay as they are. Pieces follow one another in cyclic order; a piece that
// does not fit before the end of the ring starts again at zero.
struct RingPlan {
  std::vector<uint64_t> at;  // of each piece
  uint64_t bytes = 0;        // of the ring, at most what was offered
};
// bytes = 0 when the largest piece does not fit into `most`. Tries several sizes up to `most` and
// keeps the one that can load farthest ahead of use, in bytes, at its worst moment.
RingPlan plan_ring(const std::vector<uint64_t>& sizes, uint64_t most);

// The bytes that can be loaded ahead while piece `used` is in use, under this plan.
uint64_t lookahead(const std::vector<uint64_t>& sizes, const RingPlan& plan, size_t used);

}  // namespace gantry
