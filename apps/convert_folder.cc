// One line of JSON to the child, then its lines until the report.
#include "apps/convert_folder.h"

#include <csignal>
#include <string_view>

#include "apps/convert_program.h"
#include "apps/paths.h"

namespace gantry {

namespace {

constexpr Millis kSlice{100};  // how soon an interrupt is noticed
constexpr Millis kCleanUp{10'000};
constexpr Bytes kLineMax = KiB(256);
constexpr const char* kPackagesSize = "300 MB to fetch and 900 MB on the disk";

Result<std::string> cache_of(Os& os) {
  const std::optional<std::string> xdg = os.env("XDG_CACHE_HOME"), home = os.env("HOME");
  if (xdg && !xdg->empty()) return join_path(*xdg, "gantry/convert");
  if (home && !home->empty()) return join_path(*home, ".cache/gantry/convert");
  return fail(Code::kUsage, "HOME is not set", "name a --cache-dir");
}

Error parse_error(const nlohmann::json& said) {
  return {code_from_name(said.value("code", "internal")), said.value("message", "no message"),
          said.value("remedy", "")};
}

}  // namespace

Result<FolderWord> parse_folder_word(const std::string& line) {
  try {
    const nlohmann::json said = nlohmann::json::parse(line);
    if (said.contains("error")) return fail(parse_error(said["error"]));
    if (said.contains("report") && said["report"].is_object()) {
      return FolderWord{"", said["report"]};
    }
    return FolderWord{said.at("step").get<std::string>(), nullptr};
  } catch (const nlohmann::json::exception&) {
    return fail(Code::kWorkerFailed, "the conversion said what is no report: " +
                                         line.substr(0, 200));
  }
}

Result<FolderOrder> complete(Os& os, FolderOrder order) {
  order.source = absolute_path(order.source);
  while (order.source.size() > 1 && order.source.ends_with('/')) order.source.pop_back();
  if (Result<FileInfo> there = os.stat(order.source); !there) return fail(there.error());
  if (order.out.empty()) {
    std::string stem = order.source;
    for (const std::string_view end : {".onnx", ".safetensors"}) {
      if (stem.ends_with(end)) stem.resize(stem.size() - end.size());
    }
    order.out = stem + "-openvino";
  }
  order.out = absolute_path(order.out);
  while (order.out.size() > 1 && order.out.ends_with('/')) order.out.pop_back();
  if (os.stat(order.out) && !order.replace) {
    return fail(Code::kConflict, order.out + " is there already", "name another -o, or --replace");
  }
  if (order.cache.empty()) {
    Result<std::string> cache = cache_of(os);
    if (!cache) return fail(cache.error());
    order.cache = *cache;
  }
  order.cache = absolute_path(order.cache);
  return order;
}

Result<nlohmann::json> convert_folder(
    Os& os, const FolderOrder& order, const std::function<bool()>& stopped,
    const std::function<void(const std::string& step)>& on_step) {
  ProcessSpec spec;
  spec.argv = {"python3", "-I", "-c", kConvertProgram};
  spec.pipe_io = true;
  const Result<std::unique_ptr<Process>> process = os.spawn(spec);
  if (!process) {
    return fail(process.error().code, process.error().message, "install python3 and python3-venv");
  }
  const nlohmann::json words = {{"source", order.source},   {"out", order.out},
                                {"weights", order.weights}, {"replace", order.replace},
                                {"cache", order.cache},     {"size", kPackagesSize},
                                {"packages", nlohmann::json::parse(kConvertPackages)}};
  if (Result<void> told = (*process)->write_line(words.dump()); !told) return fail(told.error());
  for (;;) {
    if (stopped()) {
      (*process)->signal_group(SIGTERM);  // it removes what it had begun
      (void)(*process)->wait(kCleanUp);
      return fail(Code::kCancelled, "cancelled");
    }
    const Result<std::string> line = (*process)->read_line(kSlice, kLineMax);
    if (!line && line.error().code == Code::kTimeout) continue;
    if (!line) return fail(Code::kWorkerFailed, "the conversion's process ended without a word");
    Result<FolderWord> word = parse_folder_word(*line);
    if (!word) return fail(word.error());
    if (!word->report.is_null()) return std::move(word->report);
    on_step(word->step);
  }
}

}  // namespace gantry
