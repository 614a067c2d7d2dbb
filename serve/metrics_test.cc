// Tests of the metrics' text.
#include "serve/metrics.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Metrics, TheWholePage) {
  MetricsInput input;
  input.version = "1.2";
  input.ledger = {
      {"cpu", Bytes{30}, Bytes{20}, Bytes{10}, Bytes{5}, {{7, "x", Bytes{4}}, {8, "y", Bytes{3}}}}};
  input.models.resize(1);
  input.models[0].name = "a\"b";
  input.models[0].kind = "speech";
  input.models[0].state = "ready";
  input.models[0].predicted = Bytes{7};
  input.models[0].measured = Bytes{6};
  input.models[0].sessions = 1;
  input.jobs.jobs = {0, 1, 0, 0, 1, 0, 0, 0};
  RequestCounts counts;
  counts.add("/health", 200);
  counts.add("/health", 200);
  counts.add("/health", 401);
  input.requests = counts.all();
  input.resident = Bytes{4096};
  const std::string page = render_metrics(input);
  for (const char* line : {
           "gantry_build_info{version=\"1.2\"} 1\n",
           "# TYPE gantry_ledger_budget_bytes gauge\n"
           "gantry_ledger_budget_bytes{device=\"cpu\"} 30\n",
           "gantry_ledger_booked_bytes{device=\"cpu\"} 20\n",
           "gantry_ledger_measured_peak_bytes{device=\"cpu\"} 10\n",
           "gantry_ledger_elsewhere_bytes{device=\"cpu\"} 5\n",
           "gantry_ledger_stranger_bytes{device=\"cpu\"} 7\n",
           "gantry_model_predicted_bytes{model=\"a\\\"b\",kind=\"speech\"} 7\n",
           "gantry_model_measured_bytes{model=\"a\\\"b\",kind=\"speech\"} 6\n",
           "gantry_model_loaded{model=\"a\\\"b\",kind=\"speech\"} 1\n",
           "gantry_model_sessions{model=\"a\\\"b\",kind=\"speech\"} 1\n",
           "gantry_jobs{state=\"queued\"} 1\n",
           "gantry_jobs{state=\"done\"} 1\n",
           "gantry_jobs{state=\"failed\"} 0\n",
           "gantry_http_requests_total{route=\"/health\",status=\"200\"} 2\n",
           "gantry_http_requests_total{route=\"/health\",status=\"401\"} 1\n",
           "process_resident_memory_bytes 4096\n",
       }) {
    EXPECT_NE(page.find(line), std::string::npos) << line << page;
  }
}

TEST(Metrics, LoadsArePredictedAndMeasured) {
  MetricsInput input;
  input.models.resize(1);
  input.models[0].name = "m";
  input.models[0].grown = 3;
  input.models[0].fallbacks = 2;
  input.models[0].waits = "waits";
  input.loads.resize(1);
  input.loads[0].model = "m";
  input.loads[0].load_s = 0.5;
  input.loads[0].load_s_predicted = 0.25;
  input.loads[0].decode = 12.5;
  input.loads[0].bytes = {{"cpu", Bytes{100}, Bytes{125}}, {"gpu0", Bytes{7}, std::nullopt}};
  const std::string page = render_metrics(input);
  for (const char* line : {
           "# TYPE gantry_load_predicted_bytes gauge\n"
           "gantry_load_predicted_bytes{model=\"m\",device=\"cpu\"} 100\n"
           "gantry_load_predicted_bytes{model=\"m\",device=\"gpu0\"} 7\n",
           "gantry_load_measured_bytes{model=\"m\",device=\"cpu\"} 125\n",
           "gantry_load_error_ratio{model=\"m\",device=\"cpu\"} 0.25\n",
           "gantry_load_seconds{model=\"m\"} 0.5\n",
           "gantry_load_predicted_seconds{model=\"m\"} 0.25\n",
           "gantry_decode_tokens_per_second{model=\"m\"} 12.5\n",
           "gantry_model_lease_exceeded_total{model=\"m\",kind=\"\"} 3\n",
           "gantry_model_fallbacks_total{model=\"m\",kind=\"\"} 2\n",
           "gantry_model_waits_for_memory{model=\"m\",kind=\"\"} 1\n",
       }) {
    EXPECT_NE(page.find(line), std::string::npos) << line << page;
  }
  EXPECT_EQ(page.find("measured_bytes{model=\"m\",device=\"gpu0\"}"), std::string::npos);
}

TEST(Metrics, StreamingModelsSayWhatTheyMove) {
  MetricsInput input;
  input.models.resize(2);
  input.models[0].name = "whole";
  input.models[1].name = "big";
  StreamCounters seen;
  seen.layers = 28;
  seen.layers_streamed = 16;
  seen.resident_bytes = 100;
  seen.ring_bytes = 20;
  seen.disk_bytes = 9'007'199'254;
  seen.disk_s = 2.5;
  seen.stall_s = 0.5;
  seen.compute_s = 10;
  seen.expert_hits = 3;
  input.models[1].stream = seen;
  const std::string page = render_metrics(input);
  for (const char* line : {
           "gantry_stream_tier_bytes{model=\"big\",tier=\"resident\"} 100\n",
           "gantry_stream_tier_bytes{model=\"big\",tier=\"ring\"} 20\n",
           "gantry_stream_layers_streamed{model=\"big\"} 16\n",
           "# TYPE gantry_stream_read_bytes_total counter\n"
           "gantry_stream_read_bytes_total{model=\"big\"} 9007199254\n",
           "gantry_stream_read_seconds_total{model=\"big\"} 2.5\n",
           "gantry_stream_stall_seconds_total{model=\"big\"} 0.5\n",
           "gantry_stream_overlap_ratio{model=\"big\"} 0.8\n",
           "gantry_stream_expert_hits_total{model=\"big\"} 3\n",
       }) {
    EXPECT_NE(page.find(line), std::string::npos) << line << page;
  }
  EXPECT_EQ(page.find("gantry_stream_layers{model=\"whole\"}"), std::string::npos);
}

TEST(Metrics, ResidentMemory) {
  EXPECT_EQ(resident_of("1000 25 3 4 5", 4096), Bytes{25 * 4096});
  EXPECT_EQ(resident_of("", 4096), Bytes{});
  EXPECT_EQ(resident_of("1000", 4096), Bytes{});
  EXPECT_EQ(resident_of("1000 x", 4096), Bytes{});
}

}  // namespace
}  // namespace gantry
