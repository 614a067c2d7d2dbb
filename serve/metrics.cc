// /metrics in Prometheus text, base units.
#include "serve/metrics.h"

#include <array>
#include <charconv>

namespace gantry {

namespace {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

class Page {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
    name_ = name;
  }
  void sample(const Labels& labels, uint64_t value) { write(labels, std::to_string(value)); }
  void sample_real(const Labels& labels, double value) {
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    write(labels, std::string(digits.data(), end));
  }
  std::string take() { return std::move(text_); }

 private:
  void write(const Labels& labels, const std::string& value) {
    text_ += name_;
    std::string_view before = "{";
    for (const auto& [label, content] : labels) {
      text_.append(before).append(label).append("=\"").append(escaped(content)).append("\"");
      before = ",";
    }
    if (!labels.empty()) text_ += "}";
    text_.append(" ").append(value).append("\n");
  }
  static std::string escaped(std::string_view text) {
    std::string safe;
    for (char c : text) {
      if (c == '\\' || c == '"') safe += '\\';
      if (c == '\n') {
        safe += "\\n";
      } else {
        safe += c;
      }
    }
    return safe;
  }
  std::string text_;
  std::string name_;
};

void write_ledger(Page& page, const std::vector<LedgerStatus>& ledger) {
  page.family("gantry_ledger_budget_bytes", "gauge", "Bytes that workers may hold on a device.");
  for (const auto& row : ledger) page.sample({{"device", row.device}}, row.budget.n);
  page.family("gantry_ledger_booked_bytes", "gauge", "Bytes booked by loaded models.");
  for (const auto& row : ledger) page.sample({{"device", row.device}}, row.booked.n);
  page.family("gantry_ledger_measured_peak_bytes", "gauge",
              "Highest sum of the workers' memory seen since the start.");
  for (const auto& row : ledger) page.sample({{"device", row.device}}, row.measured_peak.n);
  page.family("gantry_ledger_elsewhere_bytes", "gauge",
              "Bytes leased by other daemons and programs of this machine.");
  for (const auto& row : ledger) page.sample({{"device", row.device}}, row.elsewhere.n);
  page.family("gantry_ledger_stranger_bytes", "gauge",
              "Bytes of a device that processes hold without a lease.");
  for (const auto& row : ledger) {
    uint64_t sum = 0;
    for (const Holder& holder : row.strangers) sum += holder.bytes.n;
    page.sample({{"device", row.device}}, sum);
  }
}

void write_models(Page& page, const std::vector<ModelStatus>& models) {
  const auto labels = [](const ModelStatus& model) {
    return Labels{{"model", model.name}, {"kind", model.kind}};
  };
  page.family("gantry_model_predicted_bytes", "gauge", "Bytes that the plan gives a model.");
  for (const auto& model : models) page.sample(labels(model), model.predicted.n);
  page.family("gantry_model_measured_bytes", "gauge", "Bytes its worker holds now; 0: unloaded.");
  for (const auto& model : models) page.sample(labels(model), model.measured.n);
  page.family("gantry_model_loaded", "gauge", "1 while the model is ready.");
  for (const auto& model : models) page.sample(labels(model), model.state == "ready" ? 1 : 0);
  page.family("gantry_model_lease_exceeded_total", "counter",
              "How often a worker of it held more than its lease.");
  for (const auto& model : models) page.sample(labels(model), model.grown);
  page.family("gantry_model_fallbacks_total", "counter",
              "Loads on another device, because the planned one had failed the model.");
  for (const auto& model : models) page.sample(labels(model), model.fallbacks);
  page.family("gantry_model_waits_for_memory", "gauge", "1 while others hold what it needs.");
  for (const auto& model : models) page.sample(labels(model), model.waits.empty() ? 0 : 1);
  page.family("gantry_model_sessions", "gauge", "Leases held on the model.");
  for (const auto& model : models) page.sample(labels(model), model.sessions);
}

// Of each model's last load. What could not be seen has no sample.
void write_loads(Page& page, const std::vector<LoadSeen>& loads) {
  const auto each = [&](const auto& write) {
    for (const LoadSeen& load : loads) {
      for (const LoadBytes& bytes : load.bytes) {
        write(Labels{{"model", load.model}, {"device", bytes.device}}, bytes);
      }
    }
  };
  page.family("gantry_load_predicted_bytes", "gauge", "Bytes booked for a model's last load.");
  each([&](const Labels& labels, const LoadBytes& b) { page.sample(labels, b.predicted.n); });
  page.family("gantry_load_measured_bytes", "gauge", "Highest that its worker was seen to hold.");
  each([&](const Labels& labels, const LoadBytes& b) {
    if (b.measured) page.sample(labels, b.measured->n);
  });
  page.family("gantry_load_error_ratio", "gauge", "Measured over predicted bytes, less 1.");
  each([&](const Labels& labels, const LoadBytes& b) {
    if (b.error()) page.sample_real(labels, *b.error());
  });
  page.family("gantry_load_seconds", "gauge", "From start to ready, measured.");
  for (const LoadSeen& load : loads) page.sample_real({{"model", load.model}}, load.load_s);
  page.family("gantry_load_predicted_seconds", "gauge", "From start to ready, predicted.");
  for (const LoadSeen& load : loads) {
    if (load.load_s_predicted) page.sample_real({{"model", load.model}}, *load.load_s_predicted);
  }
  page.family("gantry_decode_tokens_per_second", "gauge", "Decoding in the last load, measured.");
  for (const LoadSeen& load : loads) {
    if (load.decode) page.sample_real({{"model", load.model}}, *load.decode);
  }
}

struct StreamFamily {
  std::string_view name, type, help;
  double (*value)(const StreamCounters&);
};

double of(uint64_t n) { return static_cast<double>(n); }  // exact below 2^53

constexpr StreamFamily kStreamFamilies[] = {
    {"gantry_stream_layers", "gauge", "Layers of the model.",
     [](const StreamCounters& s) { return of(s.layers); }},
    {"gantry_stream_layers_streamed", "gauge", "Layers of which weights are moved for every pass.",
     [](const StreamCounters& s) { return of(s.layers_streamed); }},
    {"gantry_stream_budget_bytes", "gauge", "What the streamer may hold on its device.",
     [](const StreamCounters& s) { return of(s.budget_bytes); }},
    {"gantry_stream_kv_compute_bytes", "gauge", "Caches and compute buffers on the device.",
     [](const StreamCounters& s) { return of(s.kv_compute_bytes); }},
    {"gantry_stream_read_bytes_total", "counter", "Bytes read from disk.",
     [](const StreamCounters& s) { return of(s.disk_bytes); }},
    {"gantry_stream_read_seconds_total", "counter", "Time with at least one read in flight.",
     [](const StreamCounters& s) { return s.disk_s; }},
    {"gantry_stream_copy_bytes_total", "counter", "Bytes copied from host to device memory.",
     [](const StreamCounters& s) { return of(s.copy_bytes); }},
    {"gantry_stream_copy_seconds_total", "counter", "Time spent copying them.",
     [](const StreamCounters& s) { return s.copy_s; }},
    {"gantry_stream_stall_seconds_total", "counter", "Time in which computing waited for weights.",
     [](const StreamCounters& s) { return s.stall_s; }},
    {"gantry_stream_compute_seconds_total", "counter", "Time spent computing.",
     [](const StreamCounters& s) { return s.compute_s; }},
    {"gantry_stream_overlap_ratio", "gauge", "Share of the shorter of moving and computing hidden.",
     [](const StreamCounters& s) { return s.overlap(); }},
    {"gantry_stream_passes_total", "counter", "Graphs computed.",
     [](const StreamCounters& s) { return of(s.passes); }},
    {"gantry_stream_expert_hits_total", "counter", "Experts found in the cache.",
     [](const StreamCounters& s) { return of(s.expert_hits); }},
    {"gantry_stream_expert_misses_total", "counter", "Experts that had to be moved.",
     [](const StreamCounters& s) { return of(s.expert_misses); }},
    {"gantry_stream_errors_total", "counter", "Graphs that failed.",
     [](const StreamCounters& s) { return of(s.errors); }},
};

// Counters start again with every load of the model.
void write_streams(Page& page, const std::vector<ModelStatus>& models) {
  page.family("gantry_stream_tier_bytes", "gauge", "Weights that a streaming model holds.");
  for (const auto& model : models) {
    if (!model.stream) continue;
    const StreamCounters& seen = *model.stream;
    for (const auto& [tier, bytes] :
         {std::pair{"resident", seen.resident_bytes}, {"ring", seen.ring_bytes},
          {"experts", seen.expert_cache_bytes}, {"host", seen.host_bytes}}) {
      page.sample({{"model", model.name}, {"tier", tier}}, bytes);
    }
  }
  for (const StreamFamily& family : kStreamFamilies) {
    page.family(family.name, family.type, family.help);
    for (const auto& model : models) {
      if (model.stream) page.sample_real({{"model", model.name}}, family.value(*model.stream));
    }
  }
}

// What could not be had has no figure, and no sample.
void write_modes(Page& page, const std::vector<ModeStatus>& modes) {
  page.family("gantry_mode_taken", "gauge", "1 for the one of several models that answers now.");
  for (const auto& mode : modes) {
    if (mode.taken.empty()) continue;
    page.sample({{"model", mode.model}, {"taken", mode.taken},
                 {"mode", std::string(mode_name(mode.mode))}}, 1);
  }
  page.family("gantry_mode_level", "gauge", "Steps down from what the mode takes.");
  for (const auto& mode : modes) page.sample({{"model", mode.model}}, mode.level);
  page.family("gantry_mode_changes_total", "counter", "Steps down and up.");
  for (const auto& mode : modes) page.sample({{"model", mode.model}}, mode.changes);
  page.family("gantry_real_time_factor", "gauge", "Seconds of work for a second of sound.");
  for (const auto& mode : modes) {
    for (const Candidate& member : mode.members) {
      if (!member.factor) continue;
      page.sample_real({{"model", member.name}, {"device", member.device}, {"of", mode.model},
                        {"by", member.measured ? "measured" : "predicted"}}, *member.factor);
    }
  }
}

void write_jobs(Page& page, const JobTally& tally) {
  page.family("gantry_jobs", "gauge", "Jobs by state.");
  for (size_t i = 0; i < tally.jobs.size(); ++i) {
    page.sample({{"state", std::string(job_state_name(static_cast<JobState>(i)))}}, tally.jobs[i]);
  }
}

}  // namespace

void RequestCounts::add(std::string_view route, int status) {
  const std::lock_guard lock(mutex_);
  ++counts_[{std::string(route), status}];
}

std::map<std::pair<std::string, int>, uint64_t> RequestCounts::all() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

std::string render_metrics(const MetricsInput& input) {
  Page page;
  page.family("gantry_build_info", "gauge", "The running version.");
  page.sample({{"version", input.version}}, 1);
  write_ledger(page, input.ledger);
  write_models(page, input.models);
  write_loads(page, input.loads);
  write_streams(page, input.models);
  write_modes(page, input.modes);
  write_jobs(page, input.jobs);
  page.family("gantry_http_requests_total", "counter", "Requests by route and status.");
  for (const auto& [key, n] : input.requests) {
    page.sample({{"route", key.first}, {"status", std::to_string(key.second)}}, n);
  }
  page.family("gantry_http_connections", "gauge", "Open connections.");
  page.sample({}, input.connections);
  page.family("gantry_http_requests_working", "gauge", "Requests at work now.");
  page.sample({}, input.working);
  page.family("process_resident_memory_bytes", "gauge", "Resident memory of the daemon.");
  page.sample({}, input.resident.n);
  return page.take();
}

Bytes resident_of(std::string_view statm, uint64_t page_bytes) {
  const size_t space = statm.find(' ');
  if (space == statm.npos) return {};
  uint64_t pages = 0;
  const char* end = statm.data() + statm.size();
  if (std::from_chars(statm.data() + space + 1, end, pages).ec != std::errc{}) return {};
  return {pages * page_bytes};
}

}  // namespace gantry
