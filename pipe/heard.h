// A transcript as far as it is: the parts that are done are checkpoints of the job, so that one
// that was interrupted goes on behind the last of them.
#pragma once

#include <string>
#include <vector>

#include "foreman/client.h"

namespace gantry {

// A part is kept once this much of the recording is complete: what a crash costs, and a window of
// the models that have long ones.
constexpr Millis kHeardPart{30'000};

// One thread.
class Heard {
 public:
  // Takes what was kept: "heard 0", "heard 1", ..., each beginning where the one before it ended.
  explicit Heard(JobContext& context);

  Millis until() const { return until_; }  // where the parts end: what is to be heard begins there
  // Of the parts and of what was added since, in order.
  const std::vector<Segment>& segments() const { return segments_; }

  // What the worker says next. A part that cannot be kept costs nothing but the time to hear it
  // again: told once, as an event.
  void add(const Segment& segment, Millis heard);

 private:
  void keep(Millis until);

  JobContext& context_;
  std::vector<Segment> segments_;
  size_t kept_ = 0;   // of the segments
  size_t parts_ = 0;  // that there are
  Millis until_{0};
  bool warned_ = false;
};

}  // namespace gantry
