// Text longer than a model's window: asked about part by part (map), the answers then joined until
// one is left (reduce). Budgets are in the model's own tokens; each answer is a part of the job,
// and a job itself.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipe/cut.h"
#include "pipe/step.h"
#include "pipe/tokens.h"

namespace gantry {

struct MapReduceSpec {
  std::string what;  // "minutes", for the names of steps
  std::string map_model, reduce_model;  // the first may be the small, static one
  std::function<std::string(std::string_view part)> part_prompt;
  std::function<std::string(std::span<const std::string> lists)> join_prompt;
  std::function<std::string(std::string_view answer)> tidy;
  uint32_t lines_max = 0;  // units in a part; 0: as many as its tokens allow
  uint32_t lists_max = 0;  // answers joined at once, 0: likewise
  // The list so far and the next ones become the new list so far, instead of level upon level.
  bool fold = false;
  uint32_t prompt_tokens = 0;  // of one prompt; 0: what the answer leaves of the context
  uint32_t answer_tokens = 0;  // of one answer; 0: a quarter of the context, 1,024 at most
};

// One thread. A checkpoint: cut. Parts: part-N, then join-N or join-LEVEL-N.
class MapReduce {
 public:
  MapReduce(Os& os, JobContext& context, Steps& steps, MapReduceSpec spec)
      : os_(os), context_(context), steps_(steps), spec_(std::move(spec)) {}

  // An answer for each part, in order. kDoesNotFit where a prompt has no room for any text.
  [[nodiscard]] Result<std::vector<std::string>> map(std::span<const TextUnit> units);
  // Empty answers are left out. kDoesNotFit where not even two go into one prompt.
  [[nodiscard]] Result<std::string> reduce(const std::vector<std::string>& answers);

  const std::vector<std::string>& parts() const { return parts_; }  // the texts, once mapped
  const std::vector<uint32_t>& levels() const { return levels_; }   // answers at each level

 private:
  struct Window {
    uint32_t prompt = 0, answer = 0;  // tokens
  };
  Window window_of(Session& session);
  [[nodiscard]] Result<std::string> answer(Session& session, const std::string& model,
                                           const std::string& step, const std::string& prompt);
  [[nodiscard]] Result<std::vector<std::string>> cut(Session& session,
                                                     std::span<const TextUnit> units);
  [[nodiscard]] Result<std::vector<uint32_t>> groups(TokenCounter& counter,
                                                     const std::vector<std::string>& lists,
                                                     uint32_t prompt_max);
  [[nodiscard]] Result<void> level(Session& session, uint32_t number,
                                   std::vector<std::string>* lists);
  [[nodiscard]] Result<void> fold(Session& session, std::vector<std::string>* lists);

  Os& os_;
  JobContext& context_;
  Steps& steps_;
  const MapReduceSpec spec_;
  std::vector<std::string> parts_;
  std::vector<uint32_t> levels_;
};

}  // namespace gantry
