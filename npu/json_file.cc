// Reading with a limit.
#include "npu/json_file.h"

namespace gantry {

namespace {

constexpr Bytes kFolderFileMax = MiB(1);

}  // namespace

Error wrong_file(const std::string& path, const std::string& what) {
  return {Code::kCorrupt, path + ": " + what, "take the model's folder again"};
}

Result<std::optional<nlohmann::json>> read_json_file(Os& os, const std::string& path) {
  if (!os.stat(path)) return std::nullopt;
  const Result<std::string> text = os.read_file(path, kFolderFileMax);
  if (!text) return fail(text.error());
  nlohmann::json value = nlohmann::json::parse(*text, nullptr, false);
  if (value.is_discarded()) {
    return fail(Code::kCorrupt, path + " is not JSON", "take the model's folder again");
  }
  return value;
}

}  // namespace gantry
