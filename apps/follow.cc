// Following jobs, and showing their steps.
#include "apps/follow.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "pipe/transcript.h"

namespace gantry {

namespace {

// Fields of events and results, whatever their type turns out to be.
std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

double number_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::string bytes_of(const nlohmann::json& object, const char* key) {
  const double n = number_of(object, key);
  return n > 0 ? format_bytes(Bytes{static_cast<uint64_t>(n)}) : "-";  // gone before a sample
}

std::string indented(const std::string& text) {
  std::string out = "    ";
  for (char c : text) {
    out += c;
    if (c == '\n') out += "    ";
  }
  return out;
}

}  // namespace

Result<std::string> submit_order(const DaemonLink& link, const JobOrder& order) {
  nlohmann::json params = nlohmann::json::parse(order.params.empty() ? "{}" : order.params,
                                                nullptr, false);
  if (!params.is_object()) return fail(Code::kUsage, "the params are not a JSON object");
  nlohmann::json body = {{"kind", order.kind},
                         {"params", std::move(params)},
                         {"files", order.files},
                         {"priority", order.priority}};
  if (!order.idempotency_key.empty()) body["idempotency_key"] = order.idempotency_key;
  if (!order.not_before.empty()) body["not_before"] = order.not_before;
  if (!order.deadline.empty()) body["deadline"] = order.deadline;
  if (!order.depends_on.empty()) body["depends_on"] = order.depends_on;
  if (!order.device.empty()) body["device_hint"] = order.device;
  if (!order.shortage.empty()) body["on_shortage"] = order.shortage;
  if (order.keep) body["keep_files"] = true;
  if (order.stays) body["private"] = true;
  if (order.attempts_max > 0) body["attempts_max"] = order.attempts_max;
  Result<nlohmann::json> answer = link.call(
      "POST", "/v1/jobs", body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (!answer) return fail(answer.error());
  const std::string id = text_of(*answer, "id");
  if (id.empty()) return fail(Code::kCorrupt, "the daemon gave no job id");
  return id;
}

Result<void> job_outcome(const nlohmann::json& job) {
  const std::string state = text_of(job, "state");
  if (state == "done") return {};
  if (state == "cancelled") return fail(Code::kCancelled, "the job was cancelled");
  const auto error = job.find("error");
  if (error != job.end() && error->is_object()) {
    return fail(code_from_name(text_of(*error, "code")), text_of(*error, "message"),
                text_of(*error, "remedy"));
  }
  return fail(Code::kUnavailable, fmt::format("the job is {}", state.empty() ? "gone" : state),
              "see `gantry jobs`");
}

Result<std::string> follow_job(const DaemonLink& link, const std::string& id,
                               const std::function<void(const nlohmann::json&)>& on_event) {
  const std::string target = "/v1/jobs/" + id;
  const Result<void> watched = link.events(target + "/events", [&](std::string_view text) {
    const nlohmann::json event = nlohmann::json::parse(text, nullptr, false);
    if (event.is_object()) on_event(event);
    return true;
  });
  if (!watched) {
    if (watched.error().code == Code::kCancelled) {
      Result<nlohmann::json> told = link.uninterrupted().call("POST", target + "/cancel", "{}");
      if (!told) return fail(told.error());
      return fail(Code::kCancelled, "interrupted; job " + id + " is cancelled");
    }
    return fail(watched.error().code, watched.error().message,
                "the job is kept; see `gantry show " + id + "`");
  }
  Result<nlohmann::json> job = link.call("GET", target, "");
  if (!job) return fail(job.error());
  if (Result<void> ended = job_outcome(*job); !ended) return fail(ended.error());
  return link.bytes(target + "/result");
}

Result<JobResult> run_order(const DaemonLink& link, const JobOrder& order, bool live) {
  Result<std::string> id = submit_order(link, order);
  if (!id) return fail(id.error());
  StepDisplay display(::isatty(STDERR_FILENO) == 1, live);
  Result<std::string> bytes =
      follow_job(link, *id, [&display](const nlohmann::json& event) { display.show(event); });
  if (!bytes) return fail(bytes.error());
  return JobResult{*id, std::move(*bytes)};
}

Result<nlohmann::json> result_page(const JobResult& result, const char* key) {
  nlohmann::json page = nlohmann::json::parse(result.bytes, nullptr, false);
  if (page.is_object() && page.contains(key)) return page;
  return fail(Code::kCorrupt, fmt::format("the result of job {} holds no {}", result.id, key));
}

StepDisplay::~StepDisplay() {
  if (open_line_) rewrite("");
}

void StepDisplay::line(const std::string& text) {
  if (open_line_) rewrite("");
  std::fprintf(stderr, "%s\n", text.c_str());
}

void StepDisplay::rewrite(const std::string& text) {
  std::fprintf(stderr, "\r\033[K%s", text.c_str());
  open_line_ = !text.empty();
}

void StepDisplay::show(const nlohmann::json& event) {
  const std::string type = text_of(event, "type");
  if (type == "step_started") {
    const std::string text =
        fmt::format("  {} with {} ...", text_of(event, "name"), text_of(event, "model"));
    if (terminal_) rewrite(text);
  } else if (type == "progress" && terminal_) {
    rewrite(fmt::format("  {:3.0f} %  {}", number_of(event, "fraction") * 100,
                        text_of(event, "step")));
  } else if (type == "step_done") {
    line(fmt::format("  {:<32} {:<14} {}  predicted {:>10}  measured {:>10}  {:.2f} s",
                     text_of(event, "name"), text_of(event, "model"), text_of(event, "device"),
                     bytes_of(event, "predicted_bytes"), bytes_of(event, "measured_bytes"),
                     number_of(event, "load_s") + number_of(event, "run_s")));
  } else if (type == "segment" && live_) {
    const bool doubtful = event.contains("low_confidence");
    line(fmt::format("    {:>7}  {}{}",
                     short_time(Millis(static_cast<int64_t>(number_of(event, "start") * 1000))),
                     doubtful ? kLowConfidenceMark : "", text_of(event, "text")));
  } else if (type == "answer" && live_) {
    line(fmt::format("    [{}]\n{}", text_of(event, "step"), indented(text_of(event, "text"))));
  } else if (type == "answered_by") {
    line(fmt::format("  {} answers: {}", text_of(event, "model"), text_of(event, "why")));
  } else if (type == "retry") {
    line("  trying again: " + text_of(event, "message"));
  } else if (type == "warning") {
    line("  " + text_of(event, "message"));
  } else if (type == "resumed") {
    line("  goes on at " +
         short_time(Millis(static_cast<int64_t>(number_of(event, "at") * 1000))));
  }
}

std::string step_table(const nlohmann::json& steps) {
  std::string out = fmt::format("{:<32} {:<14} {:<6} {:>10} {:>10} {:>7} {:>7}\n", "step", "model",
                                "device", "predicted", "measured", "load s", "run s");
  if (!steps.is_array()) return out;
  for (const nlohmann::json& step : steps) {
    if (!step.is_object()) continue;
    out += fmt::format("{:<32} {:<14} {:<6} {:>10} {:>10} {:>7.2f} {:>7.2f}\n",
                       text_of(step, "name"), text_of(step, "model"), text_of(step, "device"),
                       bytes_of(step, "predicted_bytes"), bytes_of(step, "measured_bytes"),
                       number_of(step, "load_s"), number_of(step, "run_s"));
  }
  return out;
}

}  // namespace gantry
