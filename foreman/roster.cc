// From a name to everything that loading it takes.
#include "foreman/roster.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/limits.h"
#include "config/npu_worker_config.h"
#include "foreman/engine_plan.h"
#include "foreman/household.h"
#include "foreman/voice_bytes.h"
#include "plan/levers.h"

namespace gantry {

namespace {

// Requests at once to an external command that declares nothing: it queues them itself.
constexpr uint32_t kCommandSlots = 8;
// Pieces of a recording at once, where nobody says and there are two processors: while one piece
// waits for memory or for its encoder, another computes.
constexpr uint32_t kPiecesAtOnce = 3;
constexpr const char* kHostDevice = "cpu";
constexpr std::string_view kDeviceWay = "device=", kShortageWay = "shortage=";

std::string kind_of(const ModelConfig& model, const Wish& wish) {
  if (!model.kind.empty()) return model.kind;
  if (wish.engine == EngineKind::kCommand) return "command";
  if (wish.engine == EngineKind::kWhisper) return "speech";
  if (wish.mmproj && wish.mmproj->image_size > 0) return "vision";
  if (wish.card && wish.card->kv.empty()) return "embedding";  // an encoder keeps no cache
  return "language";
}

Wish wish_of(const ModelConfig& model, const std::optional<Cards>& cards) {
  Wish wish;
  wish.name = model.name;
  if (cards) {
    wish.card = cards->model;
    wish.mmproj = cards->mmproj;
  }
  const bool speech = cards && cards->model.format == ModelFormat::kWhisper;
  const bool voice = !model.voice.engine.empty();
  wish.engine = !model.cmd.empty() ? EngineKind::kCommand
                : voice            ? EngineKind::kVoice
                : speech           ? EngineKind::kWhisper
                                   : EngineKind::kLlama;
  wish.context = model.context.value_or(0);
  wish.parallel = voice ? 1 : model.parallel.value_or(1);
  wish.cache_k = model.cache_k.value_or(CacheType::kF16);
  wish.cache_v = model.cache_v.value_or(CacheType::kF16);
  // Less memory at the same speed or better; a quantised V needs it besides.
  wish.flash_attention = wish.engine == EngineKind::kLlama;
  wish.embeddings = model.kind == "embedding";
  wish.declared = model.memory;
  return wish;
}

Error does_not_fit(const Wish& wish, const Plan& plan) {
  Error error{Code::kDoesNotFit, wish.name + " does not fit the budget"};
  for (const DeviceShare& device : plan.devices) {
    if (device.peak > device.budget) {
      error.message = fmt::format("{} needs {} on {}, the budget is {}", wish.name,
                                  format_bytes(device.peak), device.name,
                                  format_bytes(device.budget));
    }
  }
  if (plan.fixes.empty()) {
    error.remedy = "use a smaller model or a machine with more memory";
  } else {
    error.remedy = "use " + plan.fixes.front().change;
  }
  return error;
}

// Settings and files that a measurement holds for.
std::string fingerprint_of(const Wish& wish, const std::string& identity) {
  return fmt::format("{}|{}|{}|c{}|p{}|{}|{}|u{}|f{}{}", wish.name, static_cast<int>(wish.engine),
                     identity, wish.context, wish.parallel, cache_type_name(wish.cache_k),
                     cache_type_name(wish.cache_v), wish.ubatch, wish.flash_attention ? 1 : 0,
                     wish.openvino_encoder ? "|ov" : "");
}

// Of a language model that is to write down what it hears.
Result<void> check_ears(const ModelConfig& model, const Wish& wish) {
  const bool hears = wish.mmproj && !wish.mmproj->audio_projector.empty();
  if (model.kind != "speech" || wish.engine != EngineKind::kLlama || hears) return {};
  return fail(Code::kUnsupported, model.name + " is a language model that hears nothing",
              wish.mmproj ? "name the mmproj with its audio encoder; this one has none"
                          : "name the mmproj with its audio encoder");
}

const Need* host_need(const Placement& placement) {
  const auto need = std::ranges::find(placement.needs, kHostDevice, &Need::device);
  return need == placement.needs.end() ? nullptr : &*need;
}

}  // namespace

Shares budgets_of(const Machine& machine, const Config& config) {
  Bytes total = machine.memory.total;
  if (machine.memory.cgroup_limit) total = std::min(total, *machine.memory.cgroup_limit);
  const auto usable = static_cast<double>(machine.memory.usable().n);
  Shares budgets;
  const Bytes fraction{static_cast<uint64_t>(usable * kPlanRamFraction)};
  budgets.push_back({kHostDevice, config.ram_budget ? config.ram_budget->of(total) : fraction});
  for (const Device& device : machine.devices) {
    if (device.kind == DeviceKind::kCpu) continue;
    budgets.push_back(
        {device.name, config.vram_budget ? config.vram_budget->of(device.total) : device.free});
  }
  return budgets;
}

Roster::Roster(RosterOptions options) : options_(std::move(options)) {
  const Shares budgets = budgets_of(*options_.machine, *options_.config);
  demand_.ram = Budget{on_device(budgets, kHostDevice), std::nullopt};
  demand_.vram = options_.config->vram_budget;
}

std::string Roster::canonical(const std::string& name) const {
  if (const Result<ModelConfig> model = resolve(name, true)) return model->name;
  return name;
}

namespace {

// Sets what a way says; false where the model does so anyway.
Result<bool> set_way(const std::string& way, const std::string& usual_stream, ModelConfig* model) {
  if (way.starts_with(kDeviceWay)) {
    std::string device = way.substr(kDeviceWay.size());
    if (device == model->demand.device) return false;
    model->demand.device = std::move(device);
    return true;
  }
  if (way.starts_with(kShortageWay)) {
    std::vector<std::string> words;
    for (size_t at = kShortageWay.size(); at <= way.size();) {
      const size_t end = std::min(way.find(',', at), way.size());
      words.push_back(way.substr(at, end - at));
      if (Result<Shortage> word = parse_shortage(words.back()); !word) return fail(word.error());
      at = end + 1;
    }
    if (words == model->demand.shortage) return false;
    model->demand.shortage = std::move(words);
    return true;
  }
  if (Result<StreamWish> sound = parse_stream_wish(way); !sound) return fail(sound.error());
  if (way == (model->stream.empty() ? usual_stream : model->stream)) return false;
  model->stream = way;
  return true;
}

}  // namespace

// NAME#WAY is a model of its own, so that both can be told apart while one gives way to the other;
// the way that NAME goes anyway is NAME.
Result<ModelConfig> Roster::resolve(const std::string& name, bool trusted) const {
  const size_t mark = name.rfind('#');
  const bool plain = !trusted || mark == std::string::npos ||
                     resolve_plain(name, false) || options_.os->stat(name);
  if (plain) return resolve_plain(name, trusted);
  Result<ModelConfig> model = resolve(name.substr(0, mark), trusted);
  if (!model) return model;
  const std::string way = name.substr(mark + 1);
  Result<bool> set = set_way(way, options_.config->stream, &*model);
  if (!set) return fail(set.error());
  if (*set) model->name += "#" + way;
  return model;
}

Result<ModelConfig> Roster::resolve_plain(const std::string& name, bool trusted) const {
  std::string wanted = name;
  // The last one of a name wins: the user's come after the shipped ones.
  for (auto model = options_.config->models.rbegin(); model != options_.config->models.rend();
       ++model) {
    if (model->name == name || std::ranges::find(model->aliases, name) != model->aliases.end()) {
      wanted = model->name;
      break;
    }
  }
  for (auto model = options_.config->models.rbegin(); model != options_.config->models.rend();
       ++model) {
    if (model->name == wanted) return *model;
  }
  if (trusted && name.starts_with('/')) {
    ModelConfig model;
    model.name = model.file = name;
    return model;
  }
  std::string known;
  for (const ModelConfig& model : options_.config->models) {
    if (known.size() > 200) {
      known += ", ...";
      break;
    }
    known += (known.empty() ? "" : ", ") + model.name;
  }
  return fail(Code::kNotFound, "there is no model " + name,
              known.empty() ? "declare it under `models:` in the configuration"
                            : "there are " + known);
}

// Of the files as they lie there now; empty for a command.
Result<std::string> Roster::identity(const ModelConfig& model) const {
  std::string text;
  std::vector<std::string> files = {model.file, model.mmproj, model.draft};
  files.insert(files.end(), model.lora.begin(), model.lora.end());
  for (const std::string& file : voice_files(model.voice)) files.push_back(file);
  for (const std::string& file : files) {
    if (file.empty()) continue;
    Result<FileInfo> info = options_.os->stat(file);
    if (!info) return fail(info.error());
    if (info->is_dir) {
      return fail(Code::kUsage, file + " is a folder, not a model file", "name a file in it");
    }
    text += fmt::format("{}:{}:{}:{};", file, info->size.n, info->mtime_ns, info->inode);
  }
  return text;
}

Result<Cards> Roster::cards(const ModelConfig& model, const std::string& identity) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = known_.find(model.name);
    if (known != known_.end() && known->second.identity == identity) return known->second.cards;
  }
  Result<Cards> cards = options_.cards(model.file, model.mmproj);
  if (!cards) return fail(cards.error());
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kModelsMax) known_.clear();  // paths come and go; reading again is cheap
  known_[model.name] = {identity, *cards};
  return cards;
}

Result<std::vector<Need>> Roster::ask_engine(const Wish& wish, const Placement& placement) const {
  Result<ModelConfig> model = resolve(wish.name, true);
  if (!model || model->file.empty()) {
    return fail(Code::kUnsupported, wish.name + " is no file here");
  }
  const WorkerSpec spec = loadable(*model, wish, placement).spec;
  model->file = spec.file;  // an alternative's
  const Result<std::string> files = identity(*model);
  if (!files) return fail(files.error());
  return options_.engine->ask(spec, *files);
}

Result<Plan> Roster::plan_with_engine(const Machine& machine, Demand* demand) const {
  if (options_.engine == nullptr) return plan(machine, *demand);
  return plan_asking(
      machine,
      [this](const Wish& wish, const Placement& placement) { return ask_engine(wish, placement); },
      demand);
}

// The machine as it is just now, where `rooms` says how much of it is free.
Result<Placement> Roster::place(const Wish& wish, const Shares* rooms) const {
  Demand demand = demand_;
  demand.wishes.push_back(wish);
  Machine now;
  if (rooms != nullptr) {
    now = *options_.machine;
    for (const Share& room : *rooms) {
      if (room.device == kHostDevice) {
        now.memory.available = room.bytes;
        now.memory.cgroup_limit.reset();
        demand.ram = Budget{std::min(*demand_.ram->bytes, room.bytes), std::nullopt};
      }
      for (Device& device : now.devices) {
        if (device.name == room.device) device.free = room.bytes;
      }
    }
  }
  const Machine& machine = rooms != nullptr ? now : *options_.machine;
  Result<Plan> planned = plan_with_engine(machine, &demand);
  if (!planned) return fail(planned.error());
  if (Result<void> sound = verify(machine, demand, *planned); !sound) {
    return fail(sound.error());
  }
  if (!planned->fits || planned->models.empty()) return fail(does_not_fit(wish, *planned));
  if (planned->models.front().cloud) {
    return fail(Code::kDoesNotFit, wish.name + " does not fit here and is to go to the cloud",
                "name a relay for it with `cloud:`, or give it another way out");
  }
  return planned->models.front();
}

Result<std::optional<Learnt>> Roster::learnt(const std::string& fingerprint) const {
  if (options_.store == nullptr) return std::nullopt;
  Result<std::vector<LoadSeen>> loads =
      options_.store->loads(Store::LoadsOf::kFingerprint, fingerprint, kLoadsKept);
  if (!loads) return fail(loads.error());
  return learn(*loads, options_.clock->wall(), options_.machine->memory.total);
}

// A command says nothing about itself: what was seen takes the place of what was declared. At once
// where that is more, or where nothing was declared; below the user's word only after so many
// loads. One figure beyond the budget does not refuse it: it is tried with all of the budget.
Result<Placement> Roster::place_command(Wish wish, const Learnt& learnt,
                                        const Shares* rooms) const {
  constexpr uint32_t kLoadsToLower = 3;
  const Bytes seen = learnt.need;
  if (!wish.declared) {
    wish.declared = with_margin(seen);
  } else if (seen > growth_limit(*wish.declared)) {
    wish.declared = with_margin(seen);
  } else if (seen > *wish.declared) {
    wish.declared = seen;
  } else if (learnt.loads >= kLoadsToLower && wish.name != kNpuWorker) {
    // What the NPU worker's own processes hold is not in what was seen of it.
    wish.declared = std::min(*wish.declared, with_margin(seen));
  }
  const Bytes budget = *demand_.ram->bytes;
  if (learnt.sure_need <= budget) wish.declared = std::min(*wish.declared, budget);
  return place(wish, rooms);
}

// Plans, and plans again with the overhead that was seen where that was more than predicted: what
// is booked is never below what loads were seen to need.
Result<Roster::Corrected> Roster::place_as_measured(const Wish& wish, std::string fingerprint,
                                                    const Shares* rooms) {
  Result<Placement> placement = place(wish, rooms);
  if (!placement) return fail(placement.error());
  // What streams takes the budget it is given.
  if (placement->stream) fingerprint += fmt::format("|s{}", placement->stream->device_budget.n);
  if (!placement->alternative.empty()) fingerprint += "|a" + placement->alternative;
  // What was measured corrects what was predicted: two ways to predict are two histories.
  if (!placement->formula.empty()) fingerprint += "|engine";
  Result<std::optional<Learnt>> known = learnt(fingerprint);
  if (!known) return fail(known.error());
  const Need* need = host_need(*placement);
  if (!*known || need == nullptr) return Corrected{*placement, fingerprint, {}};
  if (wish.engine == EngineKind::kCommand) {
    placement = place_command(wish, **known, rooms);
    if (!placement) return fail(placement.error());
    return Corrected{std::move(*placement), fingerprint, {}};
  }
  Result<Placement> corrected = placement;
  Bytes added = (*known)->excess;
  for (const Bytes excess : {(*known)->excess, (*known)->sure_excess}) {
    added = excess;
    if (excess == Bytes{}) return Corrected{*placement, fingerprint, {}};
    Wish more = wish;
    more.measured_overhead = need->overhead + excess;
    corrected = place(more, rooms);
    if (corrected || corrected.error().code != Code::kDoesNotFit) break;
  }
  if (!corrected) return fail(corrected.error());
  return Corrected{std::move(*corrected), fingerprint, added};
}

Loadable Roster::loadable(const ModelConfig& model, const Wish& wish, Placement placement) const {
  Loadable out;
  out.name = model.name;
  out.kind = kind_of(model, wish);
  out.device = is_relay(model) ? kCloudDevice : kHostDevice;
  for (const Need& need : placement.needs) {
    out.shares.push_back({need.device, need.total()});
    if (need.device == kHostDevice) continue;
    if (placement.layers.resident == 0 && !placement.stream) continue;
    out.device = need.device;
    for (const Device& device : options_.machine->devices) {
      if (device.name == need.device) out.spec.devices.push_back(device.backend);
    }
  }
  keep_apart(*options_.config, *options_.machine, model, &out);
  const bool command = wish.engine == EngineKind::kCommand;
  // Of speech one recording at a time, several of its pieces at once.
  const bool hears = wish.engine == EngineKind::kLlama && out.kind == "speech";
  const bool one = wish.engine == EngineKind::kWhisper || hears;
  out.slots = std::max(1U, command ? model.parallel.value_or(kCommandSlots)
                           : one   ? 1
                                   : wish.parallel);
  out.ttl = std::chrono::seconds(model.ttl_s.value_or(options_.config->idle_unload_s));
  out.growth = model.growth.value_or(options_.config->growth);
  out.shortage = wish.shortage;
  out.spec.model = model.name;
  out.spec.engine = wish.engine;
  // An alternative is named by its file.
  out.spec.file = placement.alternative.empty() ? model.file : placement.alternative;
  out.spec.mmproj = model.mmproj;
  if (wish.mmproj && wish.mmproj->vision.is_qwen()) out.spec.image_tokens = kQwenImageTokens;
  out.spec.draft = model.draft;
  out.spec.lora = model.lora;
  out.spec.embeddings = out.kind == "embedding";
  out.spec.command = model.cmd;
  out.spec.proxy = model.proxy;
  out.spec.check_endpoint = model.check_endpoint;
  out.spec.env = model.env;
  out.spec.voice = {model.voice.engine, model.voice.options, model.voice.voices,
                    {model.voice.speakers, model.voice.threshold}};
  if (hears) out.spec.voice.engine = out.kind;
  // On an accelerator of ggml's the encoder is as fast as anywhere.
  const bool automatic = model.encoder.empty() || model.encoder == "auto";
  if (wish.openvino_encoder && !(automatic && placement.layers.resident > 0)) {
    out.spec.encoder = automatic ? "auto" : model.encoder;
  }
  out.spec.cache_k = placement.cache_k;
  out.spec.cache_v = placement.cache_v;
  out.spec.parallel = wish.parallel;
  out.spec.ubatch = placement.ubatch;
  out.spec.placement = std::move(placement);
  out.spec.flash_attention = wish.flash_attention;
  if (command && (out.kind == "speech" || out.kind == "voice" || out.kind == "diarization")) {
    out.spec.voice.engine = out.kind;  // which answers its command must give
    // One request at a time, as our own engines for sound, unless its user says more.
    out.slots = std::max(1U, model.parallel.value_or(1));
  }
  return out;
}

// Where nobody says, an NPU encodes, which nothing else here computes on.
bool Roster::by_openvino(const ModelConfig& model, const Wish& wish) const {
  if (wish.engine != EngineKind::kWhisper || model.encoder == "none") return false;
  if (!model.encoder.empty() && model.encoder != "auto") return true;
  return std::ranges::any_of(options_.machine->devices,
                             [](const Device& d) { return d.kind == DeviceKind::kNpu; });
}

Result<Wish> Roster::wish(const ModelConfig& model, const std::string& identity) {
  if (!model.one_of.empty()) {
    return fail(Code::kUsage, model.name + " is one of several models",
                "name one of them: " + fmt::format("{}", fmt::join(model.one_of, ", ")));
  }
  if (!model.cmd.empty()) {
    Wish command = wish_of(model, std::nullopt);
    if (Result<void> set = set_demand(model.demand, &command); !set) return fail(set.error());
    return command;
  }
  if (!model.voice.engine.empty()) {
    Wish voice = wish_of(model, std::nullopt);
    if (!voice.declared) voice.declared = voice_bytes(*options_.os, model);
    if (Result<void> set = set_demand(model.demand, &voice); !set) return fail(set.error());
    return voice;
  }
  Result<Cards> read = cards(model, identity);
  if (!read) return fail(read.error());
  Wish wish = wish_of(model, *read);
  if (Result<void> ears = check_ears(model, wish); !ears) return fail(ears.error());
  if (Result<void> done = add_companions(model, &wish); !done) return fail(done.error());
  Result<StreamWish> stream =
      parse_stream_wish(model.stream.empty() ? options_.config->stream : model.stream);
  if (!stream) return fail(stream.error());
  wish.stream = *stream;
  wish.openvino_encoder = by_openvino(model, wish);
  if (Result<void> set = set_demand(model.demand, &wish); !set) return fail(set.error());
  return with_alternatives(model, std::move(wish));
}

// Adapters count with the whole of their files, which hold little else than tensors.
Result<void> Roster::add_companions(const ModelConfig& model, Wish* wish) {
  for (const std::string& file : model.lora) {
    const Result<FileInfo> info = options_.os->stat(file);
    if (!info) return fail(info.error());
    wish->lora += info->size;
    ++wish->adapters;
  }
  if (model.draft.empty()) return {};
  ModelConfig small;
  small.name = small.file = model.draft;
  const Result<std::string> identity = this->identity(small);
  if (!identity) return fail(identity.error());
  Result<Cards> read = cards(small, *identity);
  if (!read) return fail(read.error());
  wish->draft = std::move(read->model);
  return {};
}

Result<Wish> Roster::with_alternatives(const ModelConfig& model, Wish wish) {
  for (const std::string& file : model.demand.alternatives) {
    ModelConfig other;
    other.name = other.file = file;
    Result<std::string> identity = this->identity(other);
    if (!identity) return fail(identity.error());
    Result<Cards> read = cards(other, *identity);
    if (!read) return fail(read.error());
    wish.alternatives.push_back({file, read->model, wish.mmproj});
  }
  std::string type = model.demand.compute_type;
  if (type.empty() && !wish.alternatives.empty()) type = options_.config->compute_type;
  if (type.empty()) return wish;
  if (Result<void> taken = insist_on_type(type, &wish); !taken) return fail(taken.error());
  return wish;
}

Result<Wish> Roster::wish(const std::string& name, bool trusted) {
  Result<ModelConfig> model = resolve(name, trusted);
  if (!model) return fail(model.error());
  Result<std::string> identity = this->identity(*model);
  if (!identity) return fail(identity.error());
  return wish(*model, *identity);
}

Result<Loadable> Roster::find(const std::string& name, bool trusted, const Shares* rooms) {
  Result<ModelConfig> model = resolve(name, trusted);
  if (!model) return fail(model.error());
  Result<std::string> identity = this->identity(*model);
  if (!identity) return fail(identity.error());
  Result<Wish> wish = this->wish(*model, *identity);
  if (!wish) return fail(wish.error());
  // Several pieces at once are our idea, not the user's: plans for others count one, which is tried
  // where several do not fit.
  const bool several = wish->engine == EngineKind::kWhisper && !model->parallel &&
                       options_.machine->cpu.threads >= 2;
  if (several) wish->parallel = kPiecesAtOnce;
  std::string asked = fingerprint_of(*wish, *identity);
  Result<Corrected> corrected = place_as_measured(*wish, asked, rooms);
  if (!corrected && several && corrected.error().code == Code::kDoesNotFit) {
    wish->parallel = 1;
    asked = fingerprint_of(*wish, *identity);
    corrected = place_as_measured(*wish, asked, rooms);
  }
  if (!corrected) return fail(corrected.error());
  Loadable found = loadable(*model, *wish, std::move(corrected->placement));
  found.fingerprint = corrected->fingerprint;
  found.asked = asked;
  found.corrected = corrected->added;

  ModelStatus status;
  status.name = found.name;
  status.kind = found.kind;
  status.state = "unloaded";
  for (const Share& share : found.shares) status.predicted += share.bytes;
  status.placement = found.spec.placement;
  const std::lock_guard lock(mutex_);
  if (planned_.size() >= kModelsMax) planned_.clear();
  planned_[found.name] = std::move(status);
  return found;
}

const char* Roster::media_name(MediaTool tool) {
  return tool == MediaTool::kSmall ? "gantry-decode" : "ffmpeg";
}

Result<Placement> Roster::media(MediaTool tool) {
  Wish wish;
  wish.name = media_name(tool);
  wish.engine = EngineKind::kMedia;
  wish.small_media = tool == MediaTool::kSmall;
  Result<Corrected> corrected = place_as_measured(wish, media_name(tool), nullptr);
  if (!corrected) return fail(corrected.error());
  return std::move(corrected->placement);
}

std::vector<ModelStatus> Roster::models() {
  const std::lock_guard lock(mutex_);
  std::map<std::string, ModelStatus> all = planned_;
  for (const ModelConfig& model : options_.config->models) {
    ModelStatus& status = all[model.name];
    if (!status.name.empty()) continue;
    status.name = model.name;
    status.kind = model.kind.empty() && !model.cmd.empty() ? "command" : model.kind;
    status.state = "unloaded";
    status.one_of = model.one_of;
  }
  std::vector<ModelStatus> out;
  for (auto& [name, status] : all) out.push_back(std::move(status));
  return out;
}

}  // namespace gantry
