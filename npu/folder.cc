// The files of a folder, each of which may be missing but for the graphs.
#include "npu/folder.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "npu/json_file.h"

namespace gantry {

namespace {

using nlohmann::json;

Result<Pooling> pooling_of(const json& file, const std::string& path) {
  constexpr std::array<std::pair<const char*, Pooling>, 3> kKnown = {
      {{"pooling_mode_cls_token", Pooling::kCls},
       {"pooling_mode_mean_tokens", Pooling::kMean},
       {"pooling_mode_lasttoken", Pooling::kLast}}};
  std::optional<Pooling> found;
  if (!file.is_object()) return fail(wrong_file(path, "want an object"));
  for (const auto& [key, value] : file.items()) {
    if (!key.starts_with("pooling_mode_") || !value.is_boolean() || !value.get<bool>()) continue;
    const auto* known =
        std::ranges::find(kKnown, key, [](const auto& pair) { return pair.first; });
    if (known == kKnown.end() || found) {
      return fail(Code::kUnsupported, path + ": no support for " + key,
                  "use a model that pools by cls, mean or last token alone");
    }
    found = known->second;
  }
  if (!found) return fail(wrong_file(path, "no pooling_mode is true"));
  return *found;
}

// modules.json lists the steps; "normalize" is one of them.
Result<bool> normalizes(const json& file, const std::string& path) {
  if (!file.is_array()) return fail(wrong_file(path, "want a list"));
  for (const json& module : file) {
    const auto type = module.is_object() ? module.find("type") : module.end();
    if (!module.is_object() || type == module.end() || !type->is_string()) {
      return fail(wrong_file(path, "a module has no type"));
    }
    const auto& name = type->get_ref<const std::string&>();
    if (name.ends_with(".Normalize")) return true;
    if (!name.ends_with(".Transformer") && !name.ends_with(".Pooling")) {
      return fail(Code::kUnsupported, path + ": no support for the module " + name,
                  "use a model of a transformer, pooling and normalisation");
    }
  }
  return false;
}

// RoBERTa and its kin give places from the padding token's number on, and none to that token: so
// many of config.json's places no text can use. MPNet's padding is 1, whatever the file says.
double places_before_text(const json& config, std::string_view key) {
  constexpr std::array<std::string_view, 3> kKin = {"roberta", "xlm-roberta", "camembert"};
  const json type = config.value("model_type", json()), pad = config.value("pad_token_id", json());
  const std::string kind = type.is_string() ? type.get<std::string>() : "";
  if (key != "max_position_embeddings") return 0;
  if (kind == "mpnet") return 2;
  if (std::ranges::find(kKin, kind) == kKin.end()) return 0;
  return pad.is_number() ? pad.get<double>() + 1 : 2;
}

Result<void> lower_limit(Os& os, const std::string& path, const char* key, uint32_t* limit) {
  const auto file = read_json_file(os, path);
  if (!file) return fail(file.error());
  if (!*file || !(*file)->is_object()) return {};
  const auto value = (*file)->find(key);
  if (value == (*file)->end() || value->is_null()) return {};
  // Tokenizers without a limit say 1e30.
  const double tokens =
      value->is_number() ? value->get<double>() - places_before_text(**file, key) : 0;
  if (tokens < 1) return fail(wrong_file(path, std::string(key) + " is no number of tokens"));
  const double most = std::min<double>(tokens, *limit);
  *limit = static_cast<uint32_t>(most);
  return {};
}

}  // namespace

Result<EmbedFolder> read_embed_folder(Os& os, const std::string& dir) {
  EmbedFolder folder{join_path(dir, "openvino_model.xml"),
                     join_path(dir, "openvino_tokenizer.xml")};
  for (const std::string& file : {folder.model, folder.tokenizer}) {
    if (os.stat(file)) continue;
    return fail(Code::kNotFound, file + " is not there",
                "a model folder has openvino_model.xml and openvino_tokenizer.xml, each with its "
                ".bin (docs/npu.md says how to make them)");
  }
  const std::string pooling_file = join_path(dir, "1_Pooling/config.json");
  const auto pooling = read_json_file(os, pooling_file);
  if (!pooling) return fail(pooling.error());
  if (*pooling) {
    const Result<Pooling> kind = pooling_of(**pooling, pooling_file);
    if (!kind) return fail(kind.error());
    folder.pooling = *kind;
  }
  const std::string modules_file = join_path(dir, "modules.json");
  const auto modules = read_json_file(os, modules_file);
  if (!modules) return fail(modules.error());
  if (*modules) {
    const Result<bool> normalize = normalizes(**modules, modules_file);
    if (!normalize) return fail(normalize.error());
    folder.normalize = *normalize;
  }
  folder.tokens_max = kEmbedTokensMax;
  for (const auto& [name, key] : {std::pair{"sentence_bert_config.json", "max_seq_length"},
                                  std::pair{"config.json", "max_position_embeddings"},
                                  std::pair{"tokenizer_config.json", "model_max_length"}}) {
    Result<void> read = lower_limit(os, join_path(dir, name), key, &folder.tokens_max);
    if (!read) return fail(read.error());
  }
  return folder;
}

}  // namespace gantry
