// simulate: seeds of the deterministic simulation, and the replay of one.
//
//   simulate seeds [FROM COUNT]  without numbers: 10,000 from a seed of now; with GANTRY_TEST_FULL
//                                100,000
//   simulate handovers           until 200 (2,000) models took the room of another one
//   simulate soak                5,000 (50,000) jobs in 3 (30) simulated days of one daemon
//   simulate bugs [N...]         the program with seeded faults: each is found within 1,000 seeds;
//                                without numbers six of them by turns (all)
//   simulate replay SEED [BUG]   one seed, with the daemon's log and the digest of its events
#include <fmt/format.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "lab/sim/batches.h"
#include "lab/sim/soak.h"
#include "lab/sim/vfs.h"

namespace gantry::sim {
namespace {

using std::chrono::steady_clock;

constexpr uint64_t kBugSeedsMax = 1'000;
constexpr size_t kBugsByTurns = 6;

bool full() { return std::getenv("GANTRY_TEST_FULL") != nullptr; }

// Another one each time, below what any count adds to; or GANTRY_SIM_SEED.
uint64_t seed_of_now() {
  if (const char* given = std::getenv("GANTRY_SIM_SEED")) {
    return std::strtoull(given, nullptr, 10);
  }
  Rng rng(static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()));
  return rng.below(1'000'000'000) * 8;
}

double seconds_since(steady_clock::time_point begun) {
  return std::chrono::duration<double>(steady_clock::now() - begun).count();
}

int told(const Tally& tally, const char* program) {
  if (tally.failed == 0) return 0;
  fmt::print("FAILED: {} of {} seeds; the first is {}: {}\nreplay it with: {} replay {}\n",
             tally.failed, tally.seeds, tally.first_failed, tally.why, program,
             tally.first_failed);
  return 1;
}

int seeds(const std::vector<std::string>& args, const std::string& dir, const char* program) {
  Batches batches{.from = seed_of_now(), .count = full() ? 100'000U : 10'000U, .dir = dir};
  if (args.size() == 2) {
    batches.from = std::strtoull(args[0].c_str(), nullptr, 10);
    batches.count = std::strtoull(args[1].c_str(), nullptr, 10);
  }
  fmt::print("seeds {} to {}\n", batches.from, batches.from + batches.count - 1);
  const auto begun = steady_clock::now();
  const Tally tally = run_batches(batches);
  const double s = seconds_since(begun);
  fmt::print("{} seeds in {:.1f} s ({:.0f}/s), {} of them twice; {} daemons, {} jobs, {} workers,"
             " {} handovers, {} points, {} changes of thread, {} simulated hours\n",
             tally.seeds, s, static_cast<double>(tally.seeds) / s, tally.twice, tally.lives,
             tally.jobs, tally.workers, tally.handovers, tally.points, tally.switches,
             tally.simulated_s / 3600);
  return told(tally, program);
}

int handovers(const std::string& dir, const char* program) {
  const uint64_t wanted = full() ? 2'000 : 200;
  // Every eighth seed from 3 on is a household of models that fit only one at a time.
  const Tally tally = run_batches({.from = seed_of_now() / 8 * 8 + 3, .count = 100'000,
                                   .dir = dir, .stride = 8, .handovers_max = wanted});
  fmt::print("{} handovers, {} of them from a model whose memory came back late, {} overlaps,"
             " {} seeds\n", tally.handovers, tally.late_handovers, tally.failed, tally.seeds);
  return told(tally, program) + (tally.handovers < wanted ? 1 : 0);
}

// "== 7 missed death: ..." -> 7, "missed death: ..."
std::map<int, std::string> known_bugs() {
  std::map<int, std::string> bugs;
  std::ifstream file(GANTRY_SIM_BUGS);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("== ")) continue;
    const size_t blank = line.find(' ', 3);
    bugs[std::stoi(line.substr(3, blank - 3))] = line.substr(blank + 1);
  }
  return bugs;
}

int bugs(const std::vector<std::string>& args, const std::string& dir) {
  const std::map<int, std::string> known = known_bugs();
  const uint64_t from = seed_of_now();
  std::vector<int> chosen;
  for (const std::string& arg : args) chosen.push_back(std::stoi(arg));
  if (args.empty()) {
    for (const auto& [number, name] : known) chosen.push_back(number);
  }
  if (args.empty() && !full()) {
    std::ranges::rotate(chosen, chosen.begin() + static_cast<long>(from / 8 % chosen.size()));
    chosen.resize(kBugsByTurns);
  }
  fmt::print("{} of {} seeded bugs, seeds from {}\n", chosen.size(), known.size(), from);
  int missed = 0;
  for (const int number : chosen) {
    seed_bug(number);
    const Tally tally =
        run_batches({.from = from, .count = kBugSeedsMax, .dir = dir, .stop_at_failure = true});
    const std::string_view why(tally.why);
    fmt::print("bug {:2} {}: {}\n", number, known.at(number),
               tally.failed > 0 ? fmt::format("found after {} seeds, by seed {}: {}", tally.seeds,
                                              tally.first_failed, why.substr(0, why.find('\n')))
                                : fmt::format("NOT FOUND in {} seeds", tally.seeds));
    missed += tally.failed > 0 ? 0 : 1;
  }
  return missed;
}

int replay(const std::vector<std::string>& args, const std::string& dir) {
  const uint64_t seed = std::strtoull(args[0].c_str(), nullptr, 10);
  if (args.size() > 1) seed_bug(std::stoi(args[1]));
  const Outcome outcome = std::make_unique<Simulation>(seed, dir, true)->run();
  fmt::print("seed {}: {}, digest {:016x}, {} points, {} switches, {} lives, {} jobs, {} workers,"
             " {} handovers, {} ms\n", seed, outcome.ok ? "sound" : outcome.why, outcome.digest,
             outcome.points, outcome.switches, outcome.lives, outcome.jobs, outcome.workers,
             outcome.handovers, outcome.simulated.count());
  return outcome.ok ? 0 : 1;
}

int run(const char* program, std::vector<std::string> args, const std::string& dir) {
  const std::string what = args.empty() ? "" : args.front();
  if (!args.empty()) args.erase(args.begin());
  if (what == "seeds") return seeds(args, dir, program);
  if (what == "handovers") return handovers(dir, program);
  if (what == "soak") return soak(full() ? 50'000 : 5'000, full() ? 30 : 3, dir);
  if (what == "bugs") return bugs(args, dir);
  if (what == "replay" && !args.empty()) return replay(args, dir);
  fmt::print(stderr, "usage: {} seeds [FROM COUNT] | handovers | soak | bugs [N...] |"
             " replay SEED [BUG]\n", program);
  return 2;
}

}  // namespace
}  // namespace gantry::sim

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::string dir = (std::filesystem::temp_directory_path() / "gantry-sim-XXXXXX").string();
  if (::mkdtemp(dir.data()) == nullptr) return 1;
  gantry::sim::install_vfs();
  const int rc = gantry::sim::run(argv[0], {argv + 1, argv + argc}, dir);
  std::filesystem::remove_all(dir);
  return rc == 0 ? 0 : 1;
}
