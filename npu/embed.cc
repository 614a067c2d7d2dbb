// The line and the thread that computes.
#include "npu/embed.h"

#include <algorithm>

#include "npu/bert.h"
#include "npu/folder.h"
#include "npu/shapes.h"

namespace gantry {

namespace {

constexpr Millis kLookAgain{50};  // whether the caller is still there

bool is_gguf(const std::string& path) { return path.ends_with(".gguf"); }

}  // namespace

Result<std::unique_ptr<EmbedModel>> EmbedModel::open(Os& os, OvCore& core, const Clock& clock,
                                                     const EmbedOptions& options) {
  auto self = std::make_unique<EmbedModel>(Private{});
  Result<void> loaded = self->load(os, core, clock, options);
  if (!loaded) return fail(loaded.error());
  self->thread_ = std::thread([model = self.get()] { model->work(); });
  return self;
}

EmbedModel::~EmbedModel() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  more_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<void> EmbedModel::load(Os& os, OvCore& core, const Clock& clock,
                              const EmbedOptions& options) {
  options_ = options;
  EncoderOptions encoding{options.chain, options.fixed_on_cpu};
  encoding.faulty = options.faulty;
  std::shared_ptr<ov::Model> graph;
  Result<std::unique_ptr<TextTokenizer>> tokenizer = nullptr;
  if (is_gguf(options.path)) {
    const Result<std::unique_ptr<MappedFile>> file = os.map_file(options.path);
    if (!file) return fail(file.error());
    Result<BertGraph> bert = bert_graph((*file)->bytes());
    if (!bert) return fail(bert.error());
    graph = std::move(bert->model);
    encoding.pooling = bert->facts.pooling;
    tokens_max_ = std::min(bert->facts.context, kEmbedTokensMax);
    tokenizer = open_gguf_tokenizer(options.path);
  } else {
    const Result<EmbedFolder> folder = read_embed_folder(os, options.path);
    if (!folder) return fail(folder.error());
    Result<std::shared_ptr<ov::Model>> read = core.read(folder->model);
    if (!read) return fail(read.error());
    graph = std::move(*read);
    encoding.pooling = folder->pooling;
    encoding.normalize = folder->normalize;
    tokens_max_ = folder->tokens_max;
    tokenizer = open_ov_tokenizer(core, folder->tokenizer);
  }
  if (!tokenizer) return fail(tokenizer.error());
  tokenizer_ = std::move(*tokenizer);
  if (options_.buckets.empty()) options_.buckets = default_buckets(tokens_max_);
  status_.pooling = encoding.pooling;
  status_.normalize = encoding.normalize;
  Result<std::unique_ptr<Encoder>> encoder =
      Encoder::open(core, clock, std::move(graph), std::move(encoding));
  if (!encoder) return fail(encoder.error());
  encoder_ = std::move(*encoder);
  // Which device answers is known before the first question.
  if (Result<void> ready = encoder_->prepare(1, options_.buckets.front()); !ready) return ready;
  status_.name = options_.name;
  status_.tokens_max = tokens_max_;
  status_.width = encoder_->width();
  status_.device = encoder_->device();
  status_.fixed = encoder_->fixed();
  status_.refused = encoder_->refused();
  return {};
}

Result<std::vector<EmbedModel::Item>> EmbedModel::cut(std::span<const std::string> texts,
                                                      std::vector<Embedding>* out, Call* call) {
  std::vector<Item> items;
  for (size_t i = 0; i < texts.size(); ++i) {
    Result<Tokens> tokens = tokenizer_->encode(texts[i], tokens_max_);
    if (!tokens) return fail(tokens.error());
    if (tokens->ids.empty()) {
      return fail(Code::kUsage, "text " + std::to_string(i) + " has no token in it");
    }
    Embedding& embedding = (*out)[i];
    embedding.tokens = static_cast<uint32_t>(tokens->ids.size());
    embedding.truncated = tokens->truncated;
    const uint32_t bucket = bucket_of(options_.buckets, tokens->ids.size());
    items.push_back({std::move(*tokens), bucket, &embedding, call});
  }
  return items;
}

Result<std::vector<Embedding>> EmbedModel::embed(std::span<const std::string> texts,
                                                 const std::atomic<bool>& gone) {
  std::vector<Embedding> out(texts.size());
  Call call;
  Result<std::vector<Item>> items = cut(texts, &out, &call);
  if (!items) return fail(items.error());
  std::unique_lock lock(mutex_);
  if (line_.size() + items->size() > options_.queue_max) {
    return fail(Code::kBusy,
                "the line of " + options_.name + " is full (" + std::to_string(line_.size()) +
                    " texts wait, at most " + std::to_string(options_.queue_max) + ")",
                "try again later");
  }
  call.left = items->size();
  std::ranges::move(*items, std::back_inserter(line_));
  more_.notify_one();
  bool left = false;
  while (call.left > 0) {
    done_.wait_for(lock, kLookAgain);
    if (!gone || left) continue;
    // Those that are being computed have our addresses: they are waited for.
    left = true;
    call.left -= std::erase_if(line_, [&](const Item& item) { return item.call == &call; });
  }
  if (left) return fail(Code::kCancelled, "the caller left");
  if (call.error) return fail(*call.error);
  return out;
}

// The oldest, and those that wait with the same length.
std::vector<EmbedModel::Item> EmbedModel::take() {
  std::vector<size_t> same;
  for (size_t i = 0; i < line_.size() && same.size() < options_.rows; ++i) {
    if (line_[i].bucket == line_.front().bucket) same.push_back(i);
  }
  const bool fixed = status_.fixed;
  const size_t rows = fixed ? rows_for(same.size(), options_.rows) : same.size();
  same.resize(std::min(rows, same.size()));
  std::vector<Item> batch;
  for (const size_t i : same) batch.push_back(std::move(line_[i]));
  for (size_t i = same.size(); i-- > 0;) {
    line_.erase(line_.begin() + static_cast<std::ptrdiff_t>(same[i]));
  }
  return batch;
}

void EmbedModel::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [&] { return stopping_ || !line_.empty(); });
    if (stopping_) return;
    std::vector<Item> batch = take();
    lock.unlock();
    compute(batch);
    lock.lock();
    for (const Item& item : batch) --item.call->left;
    done_.notify_all();
  }
}

void EmbedModel::compute(std::vector<Item>& batch) {
  std::vector<const Tokens*> texts;
  for (const Item& item : batch) texts.push_back(&item.tokens);
  const size_t rows = batch.size() > 1 ? options_.rows : 1;
  Result<std::vector<std::vector<float>>> vectors =
      encoder_->run(texts, rows, batch.front().bucket);
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < batch.size(); ++i) {
    if (vectors) {
      batch[i].out->values = std::move((*vectors)[i]);
    } else {
      batch[i].call->error = vectors.error();
    }
  }
  note(encoder_->fixed() ? rows : batch.size(), batch);
}

void EmbedModel::note(size_t computed_rows, const std::vector<Item>& batch) {
  status_.device = encoder_->device();
  status_.fixed = encoder_->fixed();
  status_.refused = encoder_->refused();
  ++status_.batches;
  status_.texts += batch.size();
  status_.padded += computed_rows * batch.front().bucket;
  for (const Item& item : batch) status_.tokens += item.tokens.ids.size();
}

EmbedStatus EmbedModel::status() const {
  const std::lock_guard lock(mutex_);
  EmbedStatus out = status_;
  out.queued = line_.size();
  return out;
}

}  // namespace gantry
