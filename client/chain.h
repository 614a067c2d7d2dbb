// One door after another until somebody answers.
#pragma once

#include <memory>

#include "client/messages.h"
#include "client/options.h"
#include "cloud/relay.h"

namespace gantry {

// Thread-safe. The cloud's step is the daemon's own relay, without a process of its own: breaker,
// prices and cap are the same code, and its ledger may be the same file.
class Chain {
 public:
  Chain(ClientOptions options, const Clock& clock);

  // The error has the last one's code, and tells of all who were asked: also after a refusal, for
  // limits differ. kCancelled: on_piece wanted no more. Once a part was handed on, nobody else is
  // asked.
  [[nodiscard]] Result<Given> ask(const Order& order);

 private:
  [[nodiscard]] Result<Given> ask_door(const Order& order, Door door, bool* begun);
  [[nodiscard]] Result<void> may_leave(const Order& order) const;

  const ClientOptions options_;
  const Clock& clock_;
  Breaker npu_, local_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Relay> relay_;
};

}  // namespace gantry
