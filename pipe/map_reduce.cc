// Parts and levels.
#include "pipe/map_reduce.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pipe/ask.h"

namespace gantry {

namespace {

constexpr uint32_t kContextUnknown = 2048;  // of a model that nobody planned
constexpr uint32_t kAnswerMax = 1024;
constexpr uint32_t kSmallContext = 4096;  // below, an answer gets half of it

std::string_view trimmed(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  return end == text.npos ? std::string_view{} : text.substr(0, end + 1);
}

// The units of one part as the model reads them: who speaks is said again where a turn goes on.
std::string part_text(std::span<const TextUnit> units) {
  std::string text;
  if (!units.empty() && !units.front().speaker.empty()) {
    text = std::string(units.front().speaker) + " ";
  }
  for (const TextUnit& unit : units) text += unit.text;
  return std::string(trimmed(text));
}

nlohmann::json part_params(const std::string& model, const std::string& prompt) {
  return {{"model", model}, {"prompt", prompt}};
}

std::optional<std::vector<std::string>> texts_of(const std::optional<std::string>& kept) {
  if (!kept) return std::nullopt;
  const nlohmann::json array = nlohmann::json::parse(*kept, nullptr, false);
  if (!array.is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const nlohmann::json& text : array) {
    if (!text.is_string()) return std::nullopt;
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

}  // namespace

MapReduce::Window MapReduce::window_of(Session& session) {
  uint32_t context = kContextUnknown;
  for (const ModelStatus& model : context_.foreman().models()) {
    if (model.name == session.model() && model.placement.context > 0) {
      context = model.placement.context;
    }
  }
  Window window;
  window.answer = spec_.answer_tokens;
  if (window.answer == 0) {
    window.answer = context < kSmallContext ? context / 2 : std::min(kAnswerMax, context / 4);
  }
  window.prompt = context > window.answer ? context - window.answer : 0;
  if (spec_.prompt_tokens > 0) window.prompt = std::min(window.prompt, spec_.prompt_tokens);
  return window;
}

Result<std::string> MapReduce::answer(Session& session, const std::string& model,
                                      const std::string& step, const std::string& prompt) {
  const auto work = [&]() -> Result<std::string> {
    const Question question{.prompt = prompt, .tokens_max = window_of(session).answer};
    Result<std::string> text = ask(os_, session, question, context_.cancelled(), {});
    if (!text) return text;
    const std::string list = spec_.tidy(*text);
    context_.event({{"type", "answer"}, {"step", step}, {"text", list}});
    return list;
  };
  return context_.part(step, part_params(model, prompt), work);
}

Result<std::vector<std::string>> MapReduce::cut(Session& session,
                                                std::span<const TextUnit> units) {
  TokenCounter counter(session, context_.cancelled());
  const Window window = window_of(session);
  const Result<uint32_t> around = counter.prompt("", spec_.part_prompt(""));
  if (!around) return fail(around.error());
  if (*around >= window.prompt) {
    return fail(Code::kDoesNotFit,
                fmt::format("the question alone has {} tokens, a prompt may have {}", *around,
                            window.prompt),
                "shorten the question, or give the model more context");
  }
  const uint32_t budget = window.prompt - *around;
  const CountTokens count = [&counter](std::string_view text) { return counter.text(text); };
  std::vector<TextUnit> all;
  std::vector<uint32_t> tokens;
  for (const TextUnit& unit : units) {
    Result<std::vector<TextUnit>> pieces = cut_unit(unit, budget, count);
    if (!pieces) return fail(pieces.error());
    for (const TextUnit& piece : *pieces) {
      Result<uint32_t> n = counter.text(piece.text);
      if (!n) return fail(n.error());
      all.push_back(piece);
      tokens.push_back(*n);
    }
  }
  std::vector<std::string> parts;
  std::span<const TextUnit> left(all);
  for (uint32_t taken : pack_units(tokens, budget, spec_.lines_max)) {
    // What is counted one by one may be a little more together, and a label is said again.
    while (taken > 0) {
      uint32_t fits = taken;
      for (; fits > 1; --fits) {
        const std::string prompt = spec_.part_prompt(part_text(left.subspan(0, fits)));
        Result<uint32_t> whole = counter.prompt("", prompt);
        if (!whole) return fail(whole.error());
        if (*whole <= window.prompt) break;
      }
      const std::string text = part_text(left.subspan(0, fits));
      if (!text.empty()) parts.push_back(text);
      left = left.subspan(fits);
      taken -= fits;
    }
  }
  return parts;
}

Result<std::vector<std::string>> MapReduce::map(std::span<const TextUnit> units) {
  std::vector<std::string> answers;
  bool whole = false;
  if (auto kept = texts_of(context_.checkpoint("cut"))) {
    parts_ = std::move(*kept);
    for (whole = true; answers.size() < parts_.size();) {
      const size_t n = answers.size();
      const auto answer = context_.part_done(
          fmt::format("part-{}", n), part_params(spec_.map_model, spec_.part_prompt(parts_[n])));
      if (!answer) break;
      answers.push_back(*answer);
    }
    if (answers.size() == parts_.size()) return answers;
  }
  if (units.empty()) return answers;
  const auto work = [&](Session& session) -> Result<void> {
    if (!whole) {
      Result<std::vector<std::string>> parts = cut(session, units);
      if (!parts) return fail(parts.error());
      parts_ = std::move(*parts);
      const std::string kept = nlohmann::json(parts_).dump();
      if (auto saved = context_.save_checkpoint("cut", kept); !saved) return saved;
    }
    for (size_t i = answers.size(); i < parts_.size(); ++i) {
      Result<std::string> text =
          answer(session, spec_.map_model, fmt::format("part-{}", i), spec_.part_prompt(parts_[i]));
      if (!text) return fail(text.error());
      answers.push_back(*text);
      steps_.fraction_of_step(static_cast<double>(i + 1) / static_cast<double>(parts_.size()));
    }
    return {};
  };
  Result<void> done = steps_.with_model(spec_.what + " of each part", spec_.map_model, work);
  if (!done) return fail(done.error());
  return answers;
}

Result<std::vector<uint32_t>> MapReduce::groups(TokenCounter& counter,
                                                const std::vector<std::string>& lists,
                                                uint32_t prompt_max) {
  std::vector<uint32_t> sizes;
  const std::span<const std::string> all(lists);
  for (size_t at = 0; at < all.size(); at += sizes.back()) {
    uint32_t taken = 1;
    while (at + taken < all.size() && (spec_.lists_max == 0 || taken < spec_.lists_max)) {
      Result<uint32_t> tokens =
          counter.prompt("", spec_.join_prompt(all.subspan(at, taken + 1)));
      if (!tokens) return fail(tokens.error());
      if (*tokens > prompt_max) break;
      ++taken;
    }
    if (taken == 1 && at + 1 < all.size()) {
      return fail(Code::kDoesNotFit,
                  fmt::format("two answers do not go into one prompt of {} tokens", prompt_max),
                  "let answers be shorter (--answer-tokens), or give the model more context");
    }
    sizes.push_back(taken);
  }
  return sizes;
}

Result<void> MapReduce::level(Session& session, uint32_t number,
                              std::vector<std::string>* lists) {
  TokenCounter counter(session, context_.cancelled());
  Result<std::vector<uint32_t>> sizes = groups(counter, *lists, window_of(session).prompt);
  if (!sizes) return fail(sizes.error());
  std::vector<std::string> joined;
  const std::span<const std::string> all(*lists);
  size_t at = 0;
  for (const uint32_t size : *sizes) {
    const auto group = all.subspan(at, size);
    Result<std::string> text =
        size == 1 ? Result<std::string>(group[0])
                  : answer(session, spec_.reduce_model,
                           fmt::format("join-{}-{}", number, joined.size()),
                           spec_.join_prompt(group));
    if (!text) return fail(text.error());
    if (!text->empty()) joined.push_back(*text);
    at += size;
    steps_.fraction_of_step(static_cast<double>(at) / static_cast<double>(all.size()));
  }
  *lists = std::move(joined);
  return {};
}

Result<void> MapReduce::fold(Session& session, std::vector<std::string>* lists) {
  const size_t taken = std::max(spec_.lists_max, 2U) - 1;
  std::string so_far = lists->front();
  for (size_t at = 1; at < lists->size(); at += taken) {
    std::vector<std::string> group = {so_far};
    const size_t end = std::min(lists->size(), at + taken);
    for (size_t i = at; i < end; ++i) group.push_back((*lists)[i]);
    Result<std::string> joined =
        answer(session, spec_.reduce_model, fmt::format("join-{}", at), spec_.join_prompt(group));
    if (!joined) return fail(joined.error());
    so_far = *joined;
    steps_.fraction_of_step(static_cast<double>(end) / static_cast<double>(lists->size()));
  }
  *lists = {so_far};
  return {};
}

Result<std::string> MapReduce::reduce(const std::vector<std::string>& answers) {
  std::vector<std::string> lists;
  for (const std::string& answer : answers) {
    if (!answer.empty()) lists.push_back(answer);
  }
  levels_ = {static_cast<uint32_t>(answers.size())};
  if (lists.empty()) return std::string();
  if (lists.size() == 1) return lists[0];
  const auto work = [&](Session& session) -> Result<void> {
    for (uint32_t number = 0; lists.size() > 1; ++number) {
      Result<void> done = spec_.fold ? fold(session, &lists) : level(session, number, &lists);
      if (!done) return done;
      levels_.push_back(static_cast<uint32_t>(lists.size()));
    }
    return {};
  };
  const std::string name = fmt::format("join {} answers", lists.size());
  Result<void> done = steps_.with_model(name, spec_.reduce_model, work);
  if (!done) return fail(done.error());
  return lists.empty() ? std::string() : lists[0];
}

}  // namespace gantry
