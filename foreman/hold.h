// Bytes that are lent without a model.
#pragma once

#include "base/result.h"
#include "foreman/ledger.h"
#include "foreman/records.h"

namespace gantry {

struct HoldWish {
  Shares shares;
  bool program = false;  // of the user's, which may outlive this process
  Millis limit{0};       // then a program is told to end, and ended; 0: none
};

// A right to bytes without a model, for a decoder. Gives them back when destroyed, which must come
// after its process is gone.
class Hold {
 public:
  virtual ~Hold() = default;
  // Written down and watched from here on. Before the process has any memory.
  [[nodiscard]] virtual Result<void> started(int pid) = 0;
  virtual Token token() const = 0;
  // When this is destroyed, the process goes on with the bytes until it ends, or we do.
  virtual void leave() = 0;
  virtual Bytes measured() const = 0;
};

}  // namespace gantry
