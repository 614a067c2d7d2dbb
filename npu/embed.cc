// Texts cut into tokens, and batches of one length computed.
#include "npu/embed.h"

#include <algorithm>

#include "npu/bert.h"
#include "npu/folder.h"
#include "npu/shapes.h"

namespace gantry {

namespace {

bool is_gguf(const std::string& path) { return path.ends_with(".gguf"); }

}  // namespace

Result<std::unique_ptr<EmbedModel>> EmbedModel::open(Os& os, OvCore& core, const Clock& clock,
                                                     const EmbedOptions& options) {
  auto self = std::make_unique<EmbedModel>(Private{});
  Result<void> loaded = self->load(os, core, clock, options);
  if (!loaded) return fail(loaded.error());
  self->line_ = std::make_unique<BatchLine<Item>>(self->rules());
  return self;
}

Result<void> EmbedModel::load(Os& os, OvCore& core, const Clock& clock,
                              const EmbedOptions& options) {
  options_ = options;
  EncoderOptions encoding{{options.chain, options.fixed_on_cpu, options.faulty}};
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
                                                      std::vector<Embedding>* out) {
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
    items.push_back({std::move(*tokens), bucket, &embedding});
  }
  return items;
}

Result<std::vector<Embedding>> EmbedModel::embed(std::span<const std::string> texts,
                                                 const std::atomic<bool>& gone) {
  std::vector<Embedding> out(texts.size());
  Result<std::vector<Item>> items = cut(texts, &out);
  if (!items) return fail(items.error());
  if (Result<void> done = line_->run(std::move(*items), gone); !done) return fail(done.error());
  return out;
}

BatchRules<EmbedModel::Item> EmbedModel::rules() {
  return {.queue_max = options_.queue_max,
          .name = options_.name,
          .noun = "texts",
          .rows = options_.rows,
          .together = [](const Item& one, const Item& other) { return one.bucket == other.bucket; },
          .take = [this](size_t same) {
            return encoder_->fixed() ? rows_for(same, options_.rows) : same;
          },
          .compute = [this](std::span<Item> batch) { return compute(batch); }};
}

Result<void> EmbedModel::compute(std::span<Item> batch) {
  std::vector<const Tokens*> texts;
  for (const Item& item : batch) texts.push_back(&item.tokens);
  const size_t rows = batch.size() > 1 ? options_.rows : 1;
  Result<std::vector<std::vector<float>>> vectors =
      encoder_->run(texts, rows, batch.front().bucket);
  for (size_t i = 0; vectors && i < batch.size(); ++i) {
    batch[i].out->values = std::move((*vectors)[i]);
  }
  const std::lock_guard lock(mutex_);
  note(encoder_->fixed() ? rows : batch.size(), batch);
  if (!vectors) return fail(vectors.error());
  return {};
}

void EmbedModel::note(size_t computed_rows, std::span<const Item> batch) {
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
  out.queued = line_->queued();
  return out;
}

}  // namespace gantry
