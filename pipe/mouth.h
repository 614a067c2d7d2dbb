// Speaks sentences in their order on a thread of its own, while others are still being thought of.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/sync.h"
#include "foreman/client.h"

namespace gantry {

struct Spoken {
  std::string pcm;  // 16-bit mono
  uint32_t rate = 0;
  uint32_t sentences = 0;
  std::optional<Millis> opened, first_sound;  // of the steady clock; absent: nothing was said
  StepReport report;
};

// The voice's session is opened at the first sentence: it waits in line where the bytes are not
// there, so that it speaks beside whoever thinks or after it. Voices are tried as speak does.
class Mouth {
 public:
  // The foreman outlives it. `voice`: of the model; empty: its first.
  Mouth(ForemanClient& foreman, std::vector<std::string> models, std::string voice);
  ~Mouth();  // stops
  Mouth(const Mouth&) = delete;
  Mouth& operator=(const Mouth&) = delete;

  void say(std::string sentence);
  // Waits until all is said; `cancel` ends it early.
  [[nodiscard]] Result<Spoken> finish(const http::Cancel& cancel);

 private:
  void work();
  [[nodiscard]] Result<void> speak_with(const std::string& model);
  std::optional<std::string> next();  // nothing: there will be no more

  ForemanClient& foreman_;
  const std::vector<std::string> models_;
  const std::string voice_;
  http::Cancel stop_{false};
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> queue_;
  bool whole_ = false;     // no more sentences come
  bool finished_ = false;  // the thread's last word
  Spoken spoken_;          // of the thread until it has finished
  Result<void> outcome_;
  Thread thread_;  // last: it uses the others
};

}  // namespace gantry
