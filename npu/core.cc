// OpenVINO's core: devices, properties, and the way down a chain.
#include "npu/core.h"

#include <algorithm>
#include <array>

namespace gantry {

namespace {

struct Word {
  std::string_view ours, openvino;
};
constexpr std::array<Word, 3> kWords = {{{"npu", "NPU"}, {"gpu", "GPU"}, {"cpu", "CPU"}}};

// OpenVINO puts its source's line before the cause and repeats itself; the last lines say it.
constexpr size_t kCauseMax = 300;

std::string text_property(ov::Core& core, const std::string& device, const std::string& name) {
  const auto got = ov_call(name, [&] { return core.get_property(device, name).as<std::string>(); });
  return got ? *got : "";
}

Result<void> make_private(Os& os, const std::string& dir) {
  if (dir.empty()) return {};
  // Blobs are code for a device: nobody else may write there.
  if (Result<void> made = os.make_dirs(dir, 0700); !made) return made;
  const Result<FileInfo> info = os.stat(dir);
  if (!info) return fail(info.error());
  if ((info->mode & 022) == 0) return {};
  return fail(Code::kPermission, "others may write in " + dir + ", which is to hold compiled blobs",
              "chmod go-w " + dir);
}

std::string executing(const ov::CompiledModel& model, const std::string& asked) {
  const auto devices =
      ov_call("execution devices", [&] { return model.get_property(ov::execution_devices); });
  if (!devices || devices->empty()) return asked;
  std::string out;
  for (const std::string& device : *devices) out += (out.empty() ? "" : "+") + device;
  return out;
}

}  // namespace

std::string ov_cause(const std::exception& error) {
  std::string out;
  for (const char* c = error.what(); *c != '\0'; ++c) {
    const bool blank = static_cast<unsigned char>(*c) <= ' ';
    if (blank && (out.empty() || out.back() == ' ')) continue;
    out += blank ? ' ' : *c;
  }
  while (out.ends_with(' ')) out.pop_back();
  if (out.size() > kCauseMax) out = "... " + out.substr(out.size() - kCauseMax);
  return out.empty() ? "no cause given" : out;
}

Result<std::vector<std::string>> parse_ov_chain(std::string_view text) {
  std::vector<std::string> chain;
  if (text == "auto") text = kOvChain;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const auto* known = std::ranges::find(kWords, word, &Word::ours);
    if (known == kWords.end()) {
      return fail(Code::kUsage, "'" + std::string(word) + "' is no kind of device",
                  "give npu, gpu, cpu or several by commas, in the order to try them");
    }
    const std::string name(known->openvino);
    if (std::ranges::find(chain, name) == chain.end()) chain.push_back(name);
    at = end + 1;
  }
  return chain;
}

Result<std::unique_ptr<OvCore>> OvCore::open(Os& os, const OvOptions& options) {
  if (Result<void> made = make_private(os, options.cache_dir); !made) return fail(made.error());
  std::unique_ptr<OvCore> self;
  Result<void> opened = ov_call("OpenVINO does not start", [&] {
    std::unique_ptr<OvCore> made(new OvCore(options));
    self = std::move(made);
    if (!options.extension.empty()) self->core_.add_extension(options.extension);
    for (const std::string& name : self->core_.get_available_devices()) {
      const std::string full = ov::device::full_name.name();
      self->devices_.push_back({name, text_property(self->core_, name, full),
                                name == "NPU" ? text_property(self->core_, name,
                                                              "NPU_DRIVER_VERSION")
                                              : ""});
    }
  });
  if (opened) return self;
  return fail(Code::kUnavailable, opened.error().message,
              "build the dependencies again: ./run --setup");
}

const OvDevice* OvCore::find(std::string_view name) const {
  for (const OvDevice& device : devices_) {
    if (device.name == name || device.name.starts_with(std::string(name) + ".")) return &device;
  }
  return nullptr;
}

std::string OvCore::version() const { return ov::get_openvino_version().buildNumber; }

Result<std::shared_ptr<ov::Model>> OvCore::read(const std::string& file) {
  Result<std::shared_ptr<ov::Model>> model =
      ov_call("cannot read " + file, [&] { return core_.read_model(file); });
  if (model) return model;
  return fail(Code::kCorrupt, model.error().message,
              "give an OpenVINO IR (.xml with its .bin beside it) or an ONNX file");
}

ov::AnyMap OvCore::properties_of(std::string_view device) const {
  ov::AnyMap map = {ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
  if (!options_.cache_dir.empty()) map.insert(ov::cache_dir(options_.cache_dir));
  // The wheel has no compiler for NPUs; the driver does.
  if (device == "NPU") map["NPU_COMPILER_TYPE"] = "DRIVER";
  if (device != "CPU") return map;
  // Some processors would take bfloat16 by themselves, and answers would depend on the machine.
  map.insert(ov::hint::inference_precision(ov::element::f32));
  if (options_.threads > 0) {
    map.insert(ov::inference_num_threads(static_cast<int32_t>(options_.threads)));
  }
  return map;
}

Result<OvCompiled> OvCore::compile_on(const std::shared_ptr<ov::Model>& model,
                                      std::string_view kind, const ov::AnyMap& more) {
  const OvDevice* device = find(kind);
  if (device == nullptr) {
    return fail(Code::kUnavailable, "this machine has none that OpenVINO sees", "gantry doctor");
  }
  ov::AnyMap properties = properties_of(kind);
  for (const auto& [key, value] : more) properties[key] = value;
  Result<ov::CompiledModel> compiled = ov_call(
      "compiling", [&] { return core_.compile_model(model, device->name, properties); });
  if (!compiled) return fail(compiled.error());
  OvCompiled out{std::move(*compiled)};
  out.device = executing(out.model, device->name);
  return out;
}

Result<OvCompiled> OvCore::compile(const std::shared_ptr<ov::Model>& model,
                                   const std::vector<std::string>& chain,
                                   const ov::AnyMap& more) {
  std::vector<OvRefusal> refused;
  for (const std::string& kind : chain) {
    Result<OvCompiled> compiled = compile_on(model, kind, more);
    if (compiled) {
      compiled->refused = std::move(refused);
      return compiled;
    }
    refused.push_back({kind, compiled.error().message});
  }
  std::string causes;
  for (const OvRefusal& refusal : refused) {
    causes += (causes.empty() ? "" : "; ") + refusal.device + ": " + refusal.cause;
  }
  return fail(Code::kUnavailable, "no device takes the model: " + causes,
              "add cpu to the chain of devices, or see gantry doctor");
}

}  // namespace gantry
