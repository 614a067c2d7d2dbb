// Which model a request may use at which endpoint.
#include "serve/select.h"

#include <algorithm>

#include "http/message.h"

namespace gantry {

namespace {

constexpr size_t kNameMax = 512;
constexpr size_t kNamesShown = 20;

const ModelStatus* find(std::span<const ModelStatus> models, const std::string& name) {
  const auto found = std::find_if(models.begin(), models.end(),
                                  [&](const ModelStatus& model) { return model.name == name; });
  return found == models.end() ? nullptr : &*found;
}

std::string_view endpoint_of(std::string_view kind) {
  if (kind == "speech") return "/v1/audio/transcriptions";
  if (kind == "voice") return "/v1/audio/speech";
  if (kind == "diarization") return "/v1/audio/diarization";
  if (kind == "embedding") return "/v1/embeddings";
  return "/v1/chat/completions";
}

std::string known_names(std::span<const ModelStatus> models) {
  std::string names;
  for (size_t i = 0; i < std::min(models.size(), kNamesShown); ++i) {
    names += (i == 0 ? "" : ", ") + models[i].name;
  }
  if (models.size() > kNamesShown) names += ", ...";
  return names.empty() ? "none" : names;
}

}  // namespace

bool looks_like_path(std::string_view name) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; };
  if (std::any_of(name.begin(), name.end(), control)) return true;
  if (name.starts_with('/') || name.starts_with('.') || name.starts_with('~')) return true;
  if (name.find("..") != name.npos || name.find('\\') != name.npos) return true;
  if (name.find("://") != name.npos) return true;
  return name.ends_with(".gguf") || name.ends_with(".bin");
}

std::optional<ApiError> refuse_kind(std::span<const ModelStatus> models, const std::string& name,
                                    const Use& use) {
  const ModelStatus* model = find(models, name);
  if (model == nullptr) return std::nullopt;
  if (std::find(use.kinds.begin(), use.kinds.end(), model->kind) != use.kinds.end()) {
    return std::nullopt;
  }
  return bad_request(name + " is a " + model->kind + " model, which " + std::string(use.endpoint) +
                         " cannot use (send the request to " +
                         std::string(endpoint_of(model->kind)) + ")",
                     "model");
}

std::optional<ApiError> refuse_name(std::span<const ModelStatus> models, const std::string& name,
                                    const Use& use, bool local) {
  if (find(models, name) != nullptr) return refuse_kind(models, name, use);
  if (name.size() > kNameMax && !local) return bad_request("the model's name is too long", "model");
  if (local || !looks_like_path(name)) return std::nullopt;
  return bad_request("model must be a name, not a file: " + http::printable(name) +
                         " (known models: " + known_names(models) + ")",
                     "model");
}

ApiError open_error(const Error& error, std::span<const ModelStatus> models,
                    const std::string& name) {
  if (error.code != Code::kNotFound) return api_error(error);
  return {404,
          "there is no model " + http::printable(name) + " (known models: " + known_names(models) +
              ")",
          "model_not_found", "model"};
}

}  // namespace gantry
