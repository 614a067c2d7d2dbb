// What the planner predicts for one model on this machine, as JSON: `bench-speed measure` fills a
// bench file, `bench-speed predict` reads it. bench/speed/run puts measurements beside it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "audit/machine.h"
#include "plan/need.h"
#include "plan/speed.h"
#include "plan/stream.h"

namespace {

using gantry::Result;

struct Ask {
  std::string bench_file, model, models_dir, worker;
  gantry::Wish wish;
  uint64_t budget = 0;  // streamed within so many bytes; 0: whole on the CPU
};

int refuse(const gantry::Error& error) {
  std::fprintf(stderr, "gantry: %s\n", gantry::describe(error).c_str());
  return gantry::exit_code(error.code);
}

nlohmann::json or_null(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

Result<gantry::Choice> choice_of(const gantry::Machine& machine, const Ask& ask) {
  if (ask.budget == 0) {
    gantry::Choice whole;
    whole.needs = gantry::needs_of(ask.wish, "", 0, {});
    return whole;
  }
  // Room for the streamer's ledger alone: process and graph are the planner's, not the plugin's.
  const auto needs = gantry::needs_of(ask.wish, "", 0, {});
  const gantry::Bytes besides = needs[0].overhead + gantry::llama_work_bytes(ask.wish);
  const std::vector<gantry::Room> rooms = {
      {gantry::kHost, gantry::Bytes{ask.budget} + besides, {}}};
  auto choice = gantry::stream_choice(machine, rooms, ask.wish, gantry::kHost);
  if (choice) return *choice;
  return gantry::fail(gantry::Code::kDoesNotFit, "it does not stream within that budget");
}

int predict(gantry::Os& os, Ask& ask) {
  const auto machine = gantry::audit(os, {ask.models_dir, "", ask.bench_file});
  if (!machine) return refuse(machine.error());
  const auto file = os.map_file(ask.model);
  if (!file) return refuse(file.error());
  const auto card = gantry::read_card((*file)->bytes());
  if (!card) return refuse(card.error());
  ask.wish.name = ask.model;
  ask.wish.card = *card;
  if (card->format == gantry::ModelFormat::kWhisper) ask.wish.engine = gantry::EngineKind::kWhisper;
  const auto choice = choice_of(*machine, ask);
  if (!choice) return refuse(choice.error());
  const gantry::Speed speed = gantry::predict_speed(*machine, ask.wish, *choice);
  nlohmann::json out = {{"prefill", or_null(speed.prefill)}, {"decode", or_null(speed.decode)},
                        {"real_time", or_null(speed.real_time)},
                        {"load_s", or_null(speed.load_s)}, {"joules", or_null(speed.joules)},
                        {"use_s", gantry::use_seconds(*machine, ask.wish, *choice)}};
  if (choice->stream) {
    out["device_budget"] = choice->stream->device_budget.n;
    out["streamed_bytes"] = choice->stream->streamed.n;
    out["per_token_bytes"] = choice->stream->per_token;
  }
  std::printf("%s\n", out.dump().c_str());
  return 0;
}

int measure(gantry::Os& os, const Ask& ask) {
  auto machine = gantry::audit(os, {ask.models_dir, "", ask.bench_file});
  if (!machine) return refuse(machine.error());
  const gantry::BenchHooks hooks = {
      [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }, nullptr};
  const auto done =
      gantry::bench(os, {ask.models_dir, ask.worker, ask.bench_file}, &*machine, hooks);
  return done ? 0 : refuse(done.error());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Predictions of speed, for bench/speed/run", "bench-speed");
  Ask ask;
  app.add_option("--bench-file", ask.bench_file)->required();
  app.add_option("--models-dir", ask.models_dir)->required();
  CLI::App* measuring = app.add_subcommand("measure", "Calibrate this machine");
  measuring->add_option("--worker", ask.worker, "gantry-worker; without it memory and disk alone");
  CLI::App* predicting = app.add_subcommand("predict", "One model, as JSON");
  predicting->add_option("model", ask.model)->required();
  predicting->add_option("-p", ask.wish.usage.prompt_tokens);
  predicting->add_option("-n", ask.wish.usage.output_tokens);
  predicting->add_option("-c", ask.wish.context);
  predicting->add_option("--ub", ask.wish.ubatch);
  predicting->add_option("--budget", ask.budget, "bytes to stream within");
  predicting->add_flag("--flash", ask.wish.flash_attention);
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  const std::unique_ptr<gantry::Os> os = gantry::make_real_os();
  return app.got_subcommand("measure") ? measure(*os, ask) : predict(*os, ask);
}
