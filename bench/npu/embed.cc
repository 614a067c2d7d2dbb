// Embeddings per second of one model, several ways side by side in alternating rounds: bench-npu
// MODEL.gguf TEXTS ROUNDS. Prints JSON with each round's seconds.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "npu/bert.h"
#include "npu/embed.h"

namespace {

using namespace gantry;

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

[[noreturn]] void give_up(const Error& error) {
  std::fprintf(stderr, "bench-npu: %s\n", describe(error).c_str());
  std::exit(1);
}

template <class T>
T need(Result<T> result) {
  if (!result) give_up(result.error());
  return std::move(*result);
}

// A text of exactly so many tokens: a word is added, or a letter where that is too much.
std::string text_of(TextTokenizer& tokenizer, size_t tokens, std::mt19937& rng) {
  const std::vector<std::string> words = {" the", " a", " of", " and", " to", " in", " it", " is"};
  std::string text = "a";
  while (true) {
    const size_t now = need(tokenizer.encode(text, 100'000)).ids.size();
    if (now >= tokens) return text;
    text += tokens - now > 4 ? words[rng() % words.size()] : " a";
  }
}

float worst(const std::vector<Embedding>& a, const std::vector<Embedding>& b) {
  float most = 0;
  for (size_t t = 0; t < a.size(); ++t) {
    for (size_t i = 0; i < a[t].values.size(); ++i) {
      most = std::max(most, std::abs(a[t].values[i] - b[t].values[i]));
    }
  }
  return most;
}

// What stands for benchmark_app, which is not in the wheel: one compiled model of that static
// shape, one request, inferred again and again.
class TightLoop {
 public:
  TightLoop(OvCore& core, const BertGraph& graph, int64_t tokens) {
    const ov::PartialShape shape = {1, tokens};
    graph.model->reshape({{"input_ids", shape}, {"attention_mask", shape}});
    compiled_ = need(core.compile(graph.model, {"CPU"}));
    request_ = compiled_.model.create_infer_request();
    for (const char* name : {"input_ids", "attention_mask"}) {
      ov::Tensor tensor(ov::element::i64, {1, static_cast<size_t>(tokens)});
      std::fill_n(tensor.data<int64_t>(), tensor.get_size(), 1);
      request_.set_tensor(name, tensor);
    }
  }
  void run(size_t times) {
    for (size_t i = 0; i < times; ++i) request_.infer();
  }

 private:
  OvCompiled compiled_;
  ov::InferRequest request_;
};

int run(const std::string& file, size_t count, size_t rounds) {
  const std::unique_ptr<Os> os = make_real_os();
  const RealClock clock;
  const std::atomic<bool> stay{false};
  const auto core = need(OvCore::open(*os, {}));
  const auto tokenizer = need(open_gguf_tokenizer(file));
  EmbedOptions options{"model", file, {"CPU"}};
  const auto buckets = need(EmbedModel::open(*os, *core, clock, options));
  const uint32_t longest = buckets->status().tokens_max;
  options.fixed_on_cpu = true;
  const auto fixed = need(EmbedModel::open(*os, *core, clock, options));
  options.buckets = {longest};
  const auto padded = need(EmbedModel::open(*os, *core, clock, options));
  const auto mapped = need(os->map_file(file));
  TightLoop loop(*core, need(bert_graph(mapped->bytes())), longest);

  std::mt19937 rng(7);
  std::vector<std::string> mixed, full;
  for (size_t i = 0; i < count; ++i) mixed.push_back(text_of(*tokenizer, 8 + rng() % 121, rng));
  const size_t whole = std::max<size_t>(4, count / 8);
  for (size_t i = 0; i < whole; ++i) full.push_back(text_of(*tokenizer, longest, rng));
  std::map<std::string, std::vector<Embedding>> answers;
  const std::map<std::string, std::function<void()>> ways = {
      {"buckets", [&] { answers["buckets"] = need(buckets->embed(mixed, stay)); }},
      {"buckets_static", [&] { answers["static"] = need(fixed->embed(mixed, stay)); }},
      {"padded_to_largest", [&] { answers["padded"] = need(padded->embed(mixed, stay)); }},
      {"full_length", [&] { need(buckets->embed(full, stay)); }},
      {"full_length_loop", [&] { loop.run(whole); }}};
  nlohmann::json out = {{"texts", count}, {"texts_full", whole}, {"tokens_max", longest}};
  for (const auto& [name, work] : ways) work();  // compiles, and touches everything once
  for (size_t i = 0; i < rounds; ++i) {
    for (const auto& [name, work] : ways) out["seconds"][name].push_back(seconds(work));
  }
  out["difference_static"] = worst(answers["buckets"], answers["static"]);
  out["difference_padded"] = worst(answers["buckets"], answers["padded"]);
  out["mixed"] = mixed;
  for (const Embedding& one : answers["buckets"]) out["embeddings"].push_back(one.values);
  std::printf("%s\n", out.dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench-npu MODEL.gguf TEXTS ROUNDS\n");
    return 2;
  }
  return run(argv[1], static_cast<size_t>(std::atoi(argv[2])),
             static_cast<size_t>(std::atoi(argv[3])));
}
