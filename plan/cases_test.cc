// docs/planning.md as a program: its tables are computed here and compared with the page, so that
// the page cannot say what plans do not. GANTRY_WRITE_PAGE=1 writes them anew.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "audit/catalogue.h"
#include "plan/catalogue.h"
#include "plan/need.h"
#include "plan/plan.h"
#include "plan/speed.h"
#include "stream/options.h"

namespace gantry {
namespace {

constexpr const char* kPage = GANTRY_SOURCE_DIR "/docs/planning.md";

Wish wish_of(const std::string& name, uint32_t context = 0) {
  Wish wish = catalogue_wish(name).value();
  wish.context = context;
  return wish;
}

Plan planned(const Machine& machine, const Demand& demand) {
  Result<Plan> made = plan(machine, demand);
  EXPECT_TRUE(made) << made.error().message;
  if (!made) return {};
  const Result<void> sound = verify(machine, demand, *made);
  EXPECT_TRUE(sound) << sound.error().message;
  return *made;
}

const Need& need_on(const Placement& model, std::string_view device) {
  static const Need kNone;
  for (const Need& need : model.needs) {
    if (need.device == device) return need;
  }
  return kNone;
}

const DeviceShare& share_of(const Plan& plan, std::string_view device) {
  static const DeviceShare kNone;
  for (const DeviceShare& share : plan.devices) {
    if (share.name == device) return share;
  }
  return kNone;
}

// As the reference figures count: powers of ten.
std::string gb(Bytes bytes) { return fmt::format("{:.2f}", static_cast<double>(bytes.n) / 1e9); }

std::string rate(const std::optional<double>& value) {
  return value ? fmt::format("{:.{}f}", *value, *value < 10 ? 1 : 0) : "-";
}

std::string times_real(const Speed& speed) {
  return speed.real_time ? fmt::format("{:.1f}", 1 / *speed.real_time) : "-";
}

std::string row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& cell : cells) out += " " + cell + " |";
  return out + "\n";
}

std::string head(const std::vector<std::string>& cells) {
  std::string out = row(cells) + "|";
  for (size_t i = 0; i < cells.size(); ++i) out += "---|";
  return out + "\n";
}

// ---- (a) one 6 GB card: a model that sees, then one that writes

Demand laptop_demand(CacheType cache) {
  Demand demand;
  for (const char* name : {"qwen3-vl:8b@Q4_K_M", "qwen2.5:7b@Q4_K_M"}) {
    Wish wish = wish_of(name, 4096);
    wish.cache_k = wish.cache_v = cache;
    wish.stream.streaming = Streaming::kNever;
    demand.wishes.push_back(std::move(wish));
  }
  demand.apart = {{demand.wishes[0].name, demand.wishes[1].name}};
  return demand;
}

std::string case_a() {
  const Machine machine = *catalogue_machine("laptop-6g");
  std::string out = head({"model", "KV cache", "layers on the card", "weights", "cache", "compute",
                          "overhead", "on the card", "of", "decodes t/s", "reads t/s"});
  for (const CacheType cache : {CacheType::kF16, CacheType::kQ8_0}) {
    const Plan plan = planned(machine, laptop_demand(cache));
    EXPECT_TRUE(plan.fits);
    EXPECT_FALSE(plan.together);
    for (const Placement& model : plan.models) {
      const Need& need = need_on(model, "gpu0");
      EXPECT_LE(need.total(), share_of(plan, "gpu0").budget);
      const uint32_t all = model.layers.resident + model.layers.cpu + model.layers.streamed;
      out += row({model.name, std::string(cache_type_name(model.cache_k)),
                  fmt::format("{} of {}", model.layers.resident, all), gb(need.weights),
                  gb(need.kv), gb(need.compute), gb(need.overhead), gb(need.total()),
                  gb(share_of(plan, "gpu0").budget), rate(model.speed.decode),
                  rate(model.speed.prefill)});
    }
  }
  return out;
}

// Facts that explain the differences.
std::string case_a_facts() {
  const Wish sees = wish_of("qwen3-vl:8b@Q4_K_M"), writes = wish_of("qwen2.5:7b@Q4_K_M");
  const auto cache = [&](CacheType type) { return writes.card->kv_bytes(32768, type, type); };
  std::string out = head({"what", "GB"});
  out += row({"7B Q4_K_M, the file", gb(writes.card->file_bytes)});
  out += row({"7B Q4_K_M, what goes to the card", gb(writes.card->weight_bytes -
                                                    writes.card->bytes_in(Part::kEmbedding))});
  out += row({"the encoder of Qwen3-VL-8B in F16", gb(sees.mmproj->weight_bytes)});
  out += row({"the encoder of Qwen2.5-VL-7B in F16",
              gb(wish_of("qwen2.5-vl:7b").mmproj->weight_bytes)});
  for (const CacheType type : {CacheType::kF16, CacheType::kQ8_0, CacheType::kQ4_0}) {
    const double less = static_cast<double>(cache(CacheType::kF16).n) /
                        static_cast<double>(cache(type).n);
    out += row({fmt::format("KV cache of 32768 tokens in {} ({:.1f}x smaller)",
                            cache_type_name(type), less), gb(cache(type))});
  }
  return out;
}

// ---- (b) a 28-layer backbone, presets by card

struct PresetRow {
  const char* name;
  uint32_t layers;
  double claimed;
};
constexpr PresetRow kPresets[] = {{"baseline", 28, 1},    {"light", 20, 0.9},
                                  {"moderate", 16, 0.8},  {"balanced", 12, 0.7},
                                  {"aggressive", 8, 0.55}, {"extreme", 4, 0.4}};
constexpr const char* kCards[] = {"rtx4060-8g", "rtx3060-12g", "rtx4070ti-16g", "rtx3090-24g"};

std::optional<Placement> preset_on(const char* card, const std::string& model,
                                   const PresetRow& preset) {
  Demand demand;
  Wish wish = wish_of(model, 4096);
  wish.levers.cpu = false;
  wish.stream = preset.layers == 28 ? StreamWish{Streaming::kNever, std::nullopt, {}}
                                    : StreamWish{Streaming::kAlways, preset.layers, {}};
  demand.wishes.push_back(std::move(wish));
  demand.vram = Budget{std::nullopt, 0.80};
  const Plan plan = planned(*catalogue_machine(card), demand);
  if (!plan.fits) return std::nullopt;
  return plan.models.front();
}

std::string case_b(const std::string& model) {
  std::vector<std::string> cells = {"preset", "layers that stay", "on the card, GB"};
  for (const char* card : kCards) cells.push_back(std::string(card) + ", t/s");
  cells.insert(cells.end(), {"of the baseline", "claimed"});
  std::string out = head(cells);
  std::optional<double> baseline;
  for (const PresetRow& preset : kPresets) {
    std::vector<std::string> line = {preset.name, std::to_string(preset.layers), ""};
    std::optional<Placement> last;
    for (const char* card : kCards) {
      const std::optional<Placement> placed = preset_on(card, model, preset);
      line.push_back(placed ? rate(placed->speed.decode) : "does not fit");
      if (placed) last = placed;
    }
    line[2] = last ? gb(need_on(*last, "gpu0").total()) : "-";
    if (last && !baseline) baseline = last->speed.decode;
    const bool known = last && last->speed.decode && baseline;
    line.push_back(known ? fmt::format("{:.2f}", *last->speed.decode / *baseline) : "-");
    line.push_back(fmt::format("{:.2f}", preset.claimed));
    out += row(line);
  }
  return out;
}

// What a layer weighs, and what the link takes for it.
std::string case_b_facts() {
  std::string out = head({"one layer", "MB", "PCIe 3 x16 at best, ms", "pinned, ms",
                          "read by the card itself, ms"});
  const Machine t4 = *catalogue_machine("t4-16g");
  const Device& card = t4.devices[1];
  for (const auto& [name, label] : {std::pair{"speech28:7b@Q8_0", "as wide as Qwen2.5 7B, Q8_0"},
                                    std::pair{"speech28:7b@BF16", "the same, BF16"}}) {
    const Wish wish = wish_of(name);
    const double bytes = static_cast<double>(wish.card->bytes_in(Part::kLayer).n) / 28;
    out += row({label, fmt::format("{:.0f}", bytes / 1e6), fmt::format("{:.1f}", bytes / 15.76e6),
                fmt::format("{:.1f}", 1e3 * bytes / *card.bandwidth.host_copy_bytes_per_s),
                fmt::format("{:.1f}", 1e3 * bytes / *card.bandwidth.memory_bytes_per_s)});
  }
  for (const auto& [bytes, label] : {std::pair{310e6, "the reference's, 8 bits"},
                                     std::pair{620e6, "the reference's, BF16"}}) {
    out += row({label, fmt::format("{:.0f}", bytes / 1e6), fmt::format("{:.1f}", bytes / 15.76e6),
                fmt::format("{:.1f}", 1e3 * bytes / *card.bandwidth.host_copy_bytes_per_s),
                fmt::format("{:.1f}", 1e3 * bytes / *card.bandwidth.memory_bytes_per_s)});
  }
  return out;
}

// ---- (c) one AMD card, or two, and 28 cores

std::string share_text(const Plan& plan, const char* device) {
  const DeviceShare& share = share_of(plan, device);
  const Bytes used = plan.together || !plan.fits ? share.total : share.peak;
  if (used.n == 0) return "-";
  return fmt::format("{} of {}, {:.0f} %", gb(used), gb(share.budget),
                     100 * static_cast<double>(used.n) / static_cast<double>(share.budget.n));
}

// Seconds for a sentence that takes five seconds to say.
std::string sentence(const Machine& machine, const Wish& wish, const Placement& model) {
  if (!wish.accelerated) return "-";
  for (const Device& device : machine.devices) {
    const bool there = model.on(device.name).n > 0 && (device.name != kHost ||
                                                       model.needs.size() == 1);
    const auto seconds = there ? sound_seconds(device, *wish.accelerated, 5) : std::nullopt;
    if (seconds) return fmt::format("{:.2f}", *seconds);
  }
  return "-";
}

struct Variant {
  const char* name;
  std::vector<std::string> models;  // recognition, language, synthesis
  enum { kOneCard, kInTurn, kOnCpu, kTwoCards } way = kOneCard;
};

Demand variant_demand(const Variant& variant) {
  Demand demand;
  std::vector<std::string> names;
  for (const std::string& name : variant.models) {
    demand.wishes.push_back(wish_of(name, 8192));
    Wish& wish = demand.wishes.back();
    wish.levers.cpu = false;
    if (wish.engine == EngineKind::kLlama) wish.stream.streaming = Streaming::kNever;
    names.push_back(wish.name);
  }
  if (variant.way == Variant::kOnCpu) {
    demand.wishes.front().levers.cpu = true;
    demand.wishes.front().device = kHost;
  }
  if (variant.way == Variant::kTwoCards) demand.wishes.front().device = "gpu1";
  demand.reserve = Budget{GiB(1), std::nullopt};
  (variant.way == Variant::kInTurn ? demand.apart : demand.together).push_back(names);
  return demand;
}

std::string case_c() {
  const std::vector<std::string> all = {"whisper:large-v3", "llama3:8b@Q8_0", "xtts:v2"};
  const std::vector<Variant> variants = {
      {"all on the card", all},
      {"whisper on the CPU", all, Variant::kOnCpu},
      {"Llama smaller", {"whisper:large-v3", "llama3:8b@Q4_K_M", "xtts:v2"}},
      {"whisper smaller", {"whisper:medium", "llama3:8b@Q8_0", "xtts:v2"}},
      {"both much smaller", {"whisper:base", "llama3.2:1b@Q4_K_M", "xtts:v2"}},
      {"in turn", all, Variant::kInTurn},
      {"whisper on the second card", all, Variant::kTwoCards},
  };
  std::string out = head({"way", "models beside XTTS", "fits", "6900 XT, GB", "W5700X, GB",
                          "host, GB", "whisper, x real time", "Llama, t/s", "a sentence, s"});
  for (const Variant& variant : variants) {
    Machine machine = *catalogue_machine("rx6900xt+w5700x");
    if (variant.way != Variant::kTwoCards) machine.devices.pop_back();
    const Demand demand = variant_demand(variant);
    const Plan plan = planned(machine, demand);
    EXPECT_EQ(plan.fits, variant.name != std::string_view("all on the card")) << variant.name;
    out += row({variant.name, variant.models[0] + ", " + variant.models[1],
                plan.together ? "yes" : plan.fits ? "in turn" : "no", share_text(plan, "gpu0"),
                share_text(plan, "gpu1"), share_text(plan, kHost),
                times_real(plan.models[0].speed), rate(plan.models[1].speed.decode),
                sentence(machine, demand.wishes[2], plan.models[2])});
  }
  return out;
}

// ---- (d) one NVIDIA card: synthesis stays, recognition beside it

std::string case_d() {
  const Machine machine = *catalogue_machine("rtx3060-12g");
  Demand demand;
  demand.wishes = {wish_of("xtts:v2"), wish_of("paraformer:large")};
  demand.stay = {"xtts:v2"};
  demand.wishes[1].cap = Budget{std::nullopt, 0.6};
  for (Wish& wish : demand.wishes) wish.levers.cpu = false;
  demand.together = {{"xtts:v2", "paraformer:large"}};
  const Plan plan = planned(machine, demand);
  EXPECT_TRUE(plan.together);
  std::string out = head({"model", "on the card, GB", "may hold, GB", "stays", "host, GB",
                          "3 s of sound on the card, s", "5 s, s", "5 s on the CPU, s"});
  for (size_t i = 0; i < 2; ++i) {
    const Placement& model = plan.models[i];
    const Wish& wish = demand.wishes[i];
    const Bytes budget = share_of(plan, "gpu0").budget;
    const Bytes most = wish.cap ? std::min(budget, wish.cap->of(machine.devices[1].total)) : budget;
    EXPECT_LE(model.on("gpu0"), most);
    EXPECT_GT(model.on("gpu0"), Bytes{});
    const auto seconds = [&](size_t device, double sound) {
      return fmt::format("{:.3f}", sound_seconds(machine.devices[device], *wish.accelerated, sound)
                                       .value_or(0));
    };
    out += row({model.name, gb(model.on("gpu0")), gb(most), model.stays ? "yes" : "no",
                gb(model.on(kHost)), seconds(1, 3), seconds(1, 5), seconds(0, 5)});
  }
  out += row({"both", gb(share_of(plan, "gpu0").total), gb(share_of(plan, "gpu0").budget), "", "",
              "", "", ""});
  return out;
}

// ---- the page

struct Block {
  const char* name;
  std::function<std::string()> make;
};
const std::vector<Block>& blocks() {
  static const std::vector<Block> kBlocks = {
      {"a", case_a},
      {"a-facts", case_a_facts},
      {"b-8bit", [] { return case_b("speech28:7b@Q8_0"); }},
      {"b-bf16", [] { return case_b("speech28:7b@BF16"); }},
      {"b-facts", case_b_facts},
      {"c", case_c},
      {"d", case_d},
  };
  return kBlocks;
}

class Page : public ::testing::TestWithParam<size_t> {};

TEST_P(Page, SaysWhatIsComputedNow) {
  const Block& block = blocks()[GetParam()];
  std::stringstream text;
  text << std::ifstream(kPage).rdbuf();
  std::string page = text.str();
  const std::string begin = fmt::format("<!-- case {} -->\n", block.name);
  const size_t from = page.find(begin);
  ASSERT_NE(from, std::string::npos) << "docs/planning.md has no " << begin;
  const size_t start = from + begin.size(), end = page.find("<!-- end -->", start);
  ASSERT_NE(end, std::string::npos);
  const std::string made = block.make();
  if (std::getenv("GANTRY_WRITE_PAGE") != nullptr) {
    page.replace(start, end - start, made);
    std::ofstream(kPage) << page;
    return;
  }
  EXPECT_EQ(page.substr(start, end - start), made)
      << "write it anew: GANTRY_WRITE_PAGE=1 plan_tests --gtest_filter='*Page*'";
}

INSTANTIATE_TEST_SUITE_P(Cases, Page, ::testing::Range<size_t>(0, 7),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
}  // namespace gantry
