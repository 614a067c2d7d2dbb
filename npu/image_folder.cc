// The two files, key by key.
#include "npu/image_folder.h"

#include <algorithm>

#include "npu/json_file.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr size_t kLabelsMax = 100'000;
constexpr uint32_t kCropBelow = 384;  // ConvNeXT's rule, see read_crop_share

// One file's keys.
struct Keys {
  std::string path;
  json file;

  const json* find(const char* key) const {
    const auto found = file.find(key);
    return found == file.end() || found->is_null() ? nullptr : &*found;
  }
  bool flag(const char* key, bool otherwise) const {
    const json* found = find(key);
    return found != nullptr && found->is_boolean() ? found->get<bool>() : otherwise;
  }
  tl::unexpected<Error> wrong(const std::string& what) const {
    return fail(wrong_file(path, what));
  }
};

Result<uint32_t> side(const Keys& keys, const json& value, const char* key) {
  const bool whole = value.is_number_unsigned() && value > 0;
  if (whole && value <= kImageSideMax) return value.get<uint32_t>();
  return keys.wrong(std::string(key) + " is no number of pixels from 1 to " +
                    std::to_string(kImageSideMax));
}

Result<ImageSize> both_sides(const Keys& keys, const json& value, const char* key) {
  const bool object = value.is_object() && value.contains("height") && value.contains("width");
  const Result<uint32_t> height = side(keys, object ? value["height"] : value, key);
  if (!height) return fail(height.error());
  const Result<uint32_t> width = side(keys, object ? value["width"] : value, key);
  if (!width) return fail(width.error());
  return ImageSize{*width, *height};
}

// 224 is a square, but where the middle is cut out: there it is the shorter side.
Result<void> read_size(const Keys& keys, bool cut, ImageSteps* steps) {
  const json* size = keys.find("size");
  if (size == nullptr) return keys.wrong("size is missing");
  const bool object = size->is_object();
  const bool shortest = object && size->contains("shortest_edge");
  if (object && !shortest && !size->contains("height")) {
    return fail(Code::kUnsupported, keys.path + ": no support for this size",
                "use a model with height and width, or shortest_edge");
  }
  if (shortest || (!object && cut)) {
    const Result<uint32_t> edge = side(keys, shortest ? (*size)["shortest_edge"] : *size, "size");
    if (!edge) return fail(edge.error());
    steps->shortest_edge = *edge;
    return {};
  }
  const Result<ImageSize> whole = both_sides(keys, *size, "size");
  if (!whole) return fail(whole.error());
  steps->resize = *whole;
  return {};
}

// ConvNeXT: a share of a larger picture below 384 pixels, the whole picture from there on.
Result<void> read_crop_share(const Keys& keys, ImageSteps* steps) {
  const json* share = keys.find("crop_pct");
  if (share == nullptr || !steps->shortest_edge) return {};
  if (!share->is_number() || !(*share > 0.1) || !(*share <= 1)) {
    return keys.wrong("crop_pct is no share");
  }
  const ImageSize whole{*steps->shortest_edge, *steps->shortest_edge};
  if (*steps->shortest_edge < kCropBelow) {
    steps->shortest_edge =
        static_cast<uint32_t>(*steps->shortest_edge / share->get<double>());
    steps->crop = whole;
  } else {
    steps->shortest_edge.reset();
    steps->resize = whole;
  }
  return {};
}

Result<void> read_filter(const Keys& keys, ImageSteps* steps) {
  const json* filter = keys.find("resample");
  if (filter == nullptr) {
    steps->resample = Resample::kBilinear;  // of the image processors that do not say
    return {};
  }
  if (filter->is_number_unsigned() && *filter >= 1 && *filter <= 4) {
    steps->resample = static_cast<Resample>(filter->get<int>());
    return {};
  }
  return fail(Code::kUnsupported, keys.path + ": no support for resample " + filter->dump(),
              "1 (Lanczos), 2 (bilinear), 3 (bicubic) or 4 (box)");
}

Result<void> read_three(const Keys& keys, const char* key, std::array<float, 3>* out) {
  const json* list = keys.find(key);
  if (list == nullptr) return keys.wrong(std::string(key) + " is missing");
  for (size_t i = 0; i < 3; ++i) {
    const json& value = list->is_array() && list->size() == 3 ? (*list)[i] : *list;
    if (!value.is_number()) return keys.wrong(std::string(key) + " is no list of three numbers");
    (*out)[i] = value.get<float>();
  }
  return {};
}

Result<void> read_values(const Keys& keys, ImageSteps* steps) {
  if (!keys.flag("do_rescale", true)) steps->scale = 1;
  const json* factor = keys.find("rescale_factor");
  if (keys.flag("do_rescale", true) && factor != nullptr) {
    if (!factor->is_number()) return keys.wrong("rescale_factor is no number");
    steps->scale = factor->get<float>();
  }
  if (!keys.flag("do_normalize", true)) return {};
  if (Result<void> mean = read_three(keys, "image_mean", &steps->mean); !mean) return mean;
  if (Result<void> read = read_three(keys, "image_std", &steps->deviation); !read) return read;
  if (std::ranges::find(steps->deviation, 0.0F) != steps->deviation.end()) {
    return keys.wrong("image_std has a zero");
  }
  return {};
}

Result<ImageSteps> read_steps(const Keys& keys) {
  ImageSteps steps;
  const json* crop = keys.find("crop_size");
  const bool cut = keys.flag("do_center_crop", false);
  if (keys.flag("do_resize", true)) {
    if (Result<void> size = read_size(keys, cut, &steps); !size) return fail(size.error());
    if (Result<void> share = read_crop_share(keys, &steps); !share) return fail(share.error());
    if (Result<void> filter = read_filter(keys, &steps); !filter) return fail(filter.error());
  }
  if (cut) {
    if (crop == nullptr) return keys.wrong("crop_size is missing");
    const Result<ImageSize> size = both_sides(keys, *crop, "crop_size");
    if (!size) return fail(size.error());
    steps.crop = *size;
  }
  if (Result<void> values = read_values(keys, &steps); !values) return fail(values.error());
  return steps;
}

Result<void> read_labels(const Keys& keys, ImageFolder* folder) {
  const json* named = keys.find("id2label");
  const json* kinds = keys.find("architectures");
  const bool said = kinds != nullptr && kinds->is_array() && !kinds->empty();
  for (const json& kind : said ? *kinds : json::array()) {
    folder->classifies = folder->classifies ||
                         (kind.is_string() &&
                          kind.get_ref<const std::string&>().ends_with("ForImageClassification"));
  }
  if (named == nullptr) return {};
  if (!said) folder->classifies = true;
  if (!folder->classifies) return {};
  if (!named->is_object() || named->size() > kLabelsMax) return keys.wrong("id2label is no table");
  folder->labels.resize(named->size());
  for (const auto& [number, label] : named->items()) {
    const bool digits = !number.empty() && number.size() < 7 &&
                        number.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || std::stoul(number) >= folder->labels.size() || !label.is_string()) {
      return keys.wrong("id2label has no label for each number from 0 on");
    }
    folder->labels[std::stoul(number)] = label.get<std::string>();
  }
  return {};
}

constexpr const char* kSteps = "preprocessor_config.json";

}  // namespace

bool is_image_folder(Os& os, const std::string& dir) {
  return os.stat(join_path(dir, kSteps)) && !os.stat(join_path(dir, "openvino_tokenizer.xml"));
}

Result<ImageFolder> read_image_folder(Os& os, const std::string& dir) {
  ImageFolder folder{join_path(dir, "openvino_model.xml")};
  if (!os.stat(folder.model)) {
    return fail(Code::kNotFound, folder.model + " is not there",
                "a picture model's folder has openvino_model.xml with its .bin, and "
                "preprocessor_config.json (docs/npu.md)");
  }
  const std::string steps_file = join_path(dir, kSteps);
  const auto steps = read_json_file(os, steps_file);
  if (!steps) return fail(steps.error());
  if (!*steps || !(*steps)->is_object()) return fail(wrong_file(steps_file, "want an object"));
  const Result<ImageSteps> read = read_steps({steps_file, **steps});
  if (!read) return fail(read.error());
  folder.steps = *read;
  const std::string config_file = join_path(dir, "config.json");
  const auto config = read_json_file(os, config_file);
  if (!config) return fail(config.error());
  if (!*config) return folder;
  if (!(*config)->is_object()) return fail(wrong_file(config_file, "want an object"));
  if (Result<void> labels = read_labels({config_file, **config}, &folder); !labels) {
    return fail(labels.error());
  }
  return folder;
}

}  // namespace gantry
