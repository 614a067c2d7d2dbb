// Inputs and outputs of the graph, batches, and what is made of the vectors.
#include "npu/image_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "npu/shapes.h"

namespace gantry {

namespace {

constexpr size_t kColours = 3;

bool is(const ov::Dimension& dimension, int64_t value) {
  return dimension.is_static() && dimension.get_length() == value;
}

int64_t length_of(const ov::Dimension& dimension) {
  return dimension.is_static() ? dimension.get_length() : 0;
}

void normalise(std::vector<float>* values) {
  double squares = 0;
  for (const float x : *values) squares += double{x} * x;
  const auto length = static_cast<float>(std::sqrt(squares));
  for (float& x : *values) x /= std::max(length, 1e-12F);
}

void softmax(std::vector<float>* values) {
  const float most = *std::ranges::max_element(*values);
  double sum = 0;
  for (float& x : *values) sum += x = std::exp(x - most);
  for (float& x : *values) x = static_cast<float>(x / sum);
}

}  // namespace

Result<std::unique_ptr<ImageModel>> ImageModel::open(Os& os, OvCore& core, const Clock& clock,
                                                     const ImageOptions& options) {
  auto self = std::make_unique<ImageModel>(Private{});
  Result<void> loaded = self->load(os, core, clock, options);
  if (!loaded) return fail(loaded.error());
  self->line_ = std::make_unique<BatchLine<Item>>(BatchRules<Item>{
      .queue_max = options.queue_max,
      .name = options.name,
      .noun = "pictures",
      .rows = kImageRows,
      .together = [](const Item&, const Item&) { return true; },
      .take = [model = self.get()](size_t same) {
        if (model->rows_fixed_ > 0) return std::min<size_t>(same, model->rows_fixed_);
        return model->chain_->fixed() ? rows_for(same, kImageRows) : same;
      },
      .compute = [model = self.get()](std::span<Item> batch) { return model->compute(batch); }});
  return self;
}

Result<void> ImageModel::load(Os& os, OvCore& core, const Clock& clock,
                              const ImageOptions& options) {
  options_ = options;
  Result<ImageFolder> folder = read_image_folder(os, options.dir);
  if (!folder) return fail(folder.error());
  folder_ = std::move(*folder);
  Result<std::shared_ptr<ov::Model>> graph = core.read(folder_.model);
  if (!graph) return fail(graph.error());
  Result<Result<void>> looked = ov_call("cannot look at the model", [&] {
    Result<void> input = look_at_input(**graph);
    return input ? look_at_outputs(**graph) : input;
  });
  if (!looked) return fail(looked.error());
  if (!*looked) return *looked;
  chain_ = std::make_unique<DeviceChain>(
      core, clock, std::move(*graph),
      [this](ov::Model& model, DeviceChain::Shape shape) { give_shape(model, shape); }, options);
  // Which device answers is known before the first question.
  if (Result<void> ready = chain_->prepare({rows_of(1), 0}); !ready) return ready;
  status_.name = options.name;
  status_.classifies = folder_.classifies;
  status_.size = size_;
  status_.width = width_;
  status_.device = chain_->device();
  status_.fixed = chain_->fixed();
  status_.refused = chain_->refused();
  return {};
}

// f32, one picture: (batch, 3, height, width) or (batch, height, width, 3).
Result<void> ImageModel::look_at_input(const ov::Model& model) {
  const Error no{Code::kUnsupported, options_.name + " does not take one picture as floats",
                 "export it for pictures of one size alone, with f32 inputs"};
  if (model.inputs().size() != 1 || model.input().get_element_type() != ov::element::f32) {
    return fail(no);
  }
  const ov::PartialShape shape = model.input().get_partial_shape();
  if (shape.rank().is_dynamic() || shape.rank().get_length() != 4) return fail(no);
  channels_last_ = !is(shape[1], 3) && is(shape[3], 3);
  if (!channels_last_ && length_of(shape[1]) != 3 && shape[1].is_static()) return fail(no);
  const size_t height = channels_last_ ? 1 : 2;
  rows_fixed_ = static_cast<uint32_t>(length_of(shape[0]));
  const ImageSize wanted{static_cast<uint32_t>(length_of(shape[height + 1])),
                         static_cast<uint32_t>(length_of(shape[height]))};
  const ImageSteps& steps = folder_.steps;
  const bool one_size = steps.crop || steps.resize;
  size_ = one_size ? size_after(steps, {1, 1}) : wanted;
  const bool agree = (wanted.width == 0 || wanted.width == size_.width) &&
                     (wanted.height == 0 || wanted.height == size_.height);
  if (size_.width == 0 || size_.height == 0 || rows_fixed_ > kImageQueueMax) return fail(no);
  if (agree) return {};
  return fail(Code::kCorrupt, options_.dir + ": preprocessor_config.json makes pictures of " +
                                  std::to_string(size_.width) + "x" + std::to_string(size_.height) +
                                  ", the model takes " + std::to_string(wanted.width) + "x" +
                                  std::to_string(wanted.height),
              "take the model's folder again");
}

// The vector of a picture: by its name, else an output of one vector, else states to be averaged.
Result<void> ImageModel::look_at_outputs(const ov::Model& model) {
  int best = 0;
  for (size_t i = 0; i < model.outputs().size(); ++i) {
    const ov::Output<const ov::Node> output = model.output(i);
    const ov::PartialShape shape = output.get_partial_shape();
    if (output.get_element_type() != ov::element::f32 || shape.rank().is_dynamic()) continue;
    const int64_t rank = shape.rank().get_length();
    const auto& names = output.get_names();
    const bool pooled = names.contains("image_embeds") || names.contains("pooler_output") ||
                        names.contains("logits");
    const int worth = rank == 2 ? (pooled ? 4 : 3) : rank == 3 ? 2 : rank == 4 ? 1 : 0;
    const bool last = rank == 4 && shape[1].is_static() && !channels_last_;
    const int64_t width = rank < 2 || rank > 4 ? 0 : length_of(shape[last ? 1 : rank - 1]);
    if (worth <= best || width == 0) continue;
    best = worth;
    output_ = i;
    width_ = static_cast<size_t>(width);
    positions_last_ = last;
  }
  if (best == 0 || (folder_.classifies && best < 3)) {
    return fail(Code::kUnsupported, options_.name + " has no output of one vector a picture",
                "export it for classification or feature extraction, with f32 outputs");
  }
  if (folder_.labels.empty() || folder_.labels.size() == width_) return {};
  return fail(Code::kCorrupt, options_.dir + ": config.json names " +
                                  std::to_string(folder_.labels.size()) +
                                  " labels, the model has " + std::to_string(width_) + " classes",
              "take the model's folder again");
}

// NPUs want static shapes.
void ImageModel::give_shape(ov::Model& model, DeviceChain::Shape shape) const {
  const auto rows = static_cast<int64_t>(shape.first);
  const int64_t height = size_.height, width = size_.width;
  model.reshape(channels_last_ ? ov::PartialShape{rows, height, width, 3}
                               : ov::PartialShape{rows, 3, height, width});
}

Result<std::vector<float>> ImageModel::prepare(const PixelView& picture) const {
  const ImageSize size{picture.width, picture.height};
  if (!stays_small(folder_.steps, size)) {
    return fail(Code::kUsage, "a picture is too long for its width", "cut it");
  }
  const ImageSize end = size_after(folder_.steps, size);
  if (end != size_) {
    return fail(Code::kUsage,
                "the model takes pictures of " + std::to_string(size_.width) + "x" +
                    std::to_string(size_.height) + " alone",
                "make the picture of that size");
  }
  return prepared(folder_.steps, picture, channels_last_);
}

Result<std::vector<std::vector<float>>> ImageModel::run(std::vector<std::vector<float>> inputs,
                                                        const std::atomic<bool>& gone) {
  std::vector<std::vector<float>> out(inputs.size());
  std::vector<Item> items;
  for (size_t i = 0; i < inputs.size(); ++i) items.push_back({std::move(inputs[i]), &out[i]});
  if (Result<void> done = line_->run(std::move(items), gone); !done) return fail(done.error());
  return out;
}

size_t ImageModel::rows_of(size_t pictures) const {
  if (rows_fixed_ > 0) return rows_fixed_;
  return pictures > 1 ? kImageRows : 1;
}

void ImageModel::fill(std::span<const Item> batch, float* out) const {
  for (const Item& item : batch) out = std::ranges::copy(item.input, out).out;
}

// (positions, width) or (width, positions) of one picture to its vector.
std::vector<float> ImageModel::finished(const float* values, size_t positions) const {
  std::vector<float> out(width_);
  for (size_t p = 0; p < positions; ++p) {
    for (size_t i = 0; i < width_; ++i) {
      out[i] += values[positions_last_ ? i * positions + p : p * width_ + i];
    }
  }
  for (float& x : out) x /= static_cast<float>(positions);
  if (folder_.classifies) {
    softmax(&out);
  } else {
    normalise(&out);
  }
  return out;
}

Result<void> ImageModel::compute(std::span<Item> batch) {
  const size_t rows = rows_of(batch.size());
  const auto once = [&](DeviceChain::Compiled& on) -> Result<bool> {
    const bool padded = rows_fixed_ > 0 || chain_->fixed_on(on.device);
    return ov_call("the model failed", [&] {
      ov::Shape shape = {padded ? rows : batch.size(), size_.height, size_.width, kColours};
      if (!channels_last_) shape = {shape[0], kColours, size_.height, size_.width};
      ov::Tensor tensor(ov::element::f32, shape);
      std::fill_n(tensor.data<float>(), tensor.get_size(), 0.0F);
      fill(batch, tensor.data<float>());
      on.request.set_input_tensor(tensor);
      on.request.infer();
      const ov::Tensor made = on.request.get_output_tensor(output_);
      const size_t each = made.get_size() / shape[0];
      for (size_t i = 0; i < batch.size(); ++i) {
        *batch[i].out = finished(made.data<float>() + i * each, each / width_);
      }
      return true;
    });
  };
  const Result<bool> done = chain_->run<bool>({rows, 0}, once);
  const std::lock_guard lock(mutex_);
  status_.device = chain_->device();
  status_.fixed = chain_->fixed();
  status_.refused = chain_->refused();
  ++status_.batches;
  status_.pictures += batch.size();
  if (!done) return fail(done.error());
  return {};
}

std::vector<ImageClass> ImageModel::classes(const std::vector<float>& scores, size_t top) const {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, std::greater{}, [&](uint32_t i) { return scores[i]; });
  order.resize(std::min(top, order.size()));
  std::vector<ImageClass> out;
  for (const uint32_t i : order) {
    out.push_back({i, folder_.labels.empty() ? std::to_string(i) : folder_.labels[i], scores[i]});
  }
  return out;
}

ImageStatus ImageModel::status() const {
  const std::lock_guard lock(mutex_);
  ImageStatus out = status_;
  out.queued = line_->queued();
  return out;
}

}  // namespace gantry
