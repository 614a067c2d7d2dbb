// Bytes that are lent without a model.
#pragma once

#include "foreman/records.h"

namespace gantry {

// A right to bytes without a model, for a decoder. Gives them back when destroyed, which must come
// after its process is gone.
class Hold {
 public:
  virtual ~Hold() = default;
  virtual void started(int pid) = 0;  // watched from here on
  virtual Token token() const = 0;
  // When this is destroyed, the process goes on with the bytes until it ends, or we do.
  virtual void leave_to(int pid, uint64_t start_ticks) = 0;
  virtual Bytes measured() const = 0;
};

}  // namespace gantry
