// Acknowledged submissions a second by how many come at once, and what a claim costs with a
// thousand to a million jobs in line. On the disk of the folder that is named, every one synced.
//
// usage: bench-queue FOLDER    (JSON on stdout; the folder must be there, files in it are removed)
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "foreman/store.h"

namespace gantry {
namespace {

using Stopwatch = std::chrono::steady_clock;

double seconds_since(Stopwatch::time_point begun) {
  return std::chrono::duration<double>(Stopwatch::now() - begun).count();
}

JobSpec spec() {
  JobSpec spec;
  spec.kind = "transcribe";
  spec.params = R"({"model":"micro-asr","language":"en"})";
  return spec;
}

std::unique_ptr<Store> open(const std::string& folder, const char* name) {
  const std::string path = folder + "/" + name;
  for (const char* tail : {"", "-wal"}) std::filesystem::remove(path + tail);
  Result<std::unique_ptr<Store>> store = Store::open(path, {});
  if (store) return std::move(*store);
  fmt::print(stderr, "bench-queue: {}\n", store.error().message);
  std::exit(1);
}

// Jobs a second of `clients` that each wait for their acknowledgement before the next.
double submissions(const std::string& folder, int clients, int each) {
  const std::unique_ptr<Store> store = open(folder, "submit.db");
  const std::vector<FileIdentity> files = {{"/recordings/meeting.wav", MiB(30), 1, 2}};
  const auto begun = Stopwatch::now();
  std::vector<std::thread> threads;
  for (int client = 0; client < clients; ++client) {
    threads.emplace_back([&, client] {
      for (int i = 0; i < each; ++i) {
        Result<std::string> id =
            store->add(fmt::format("{}-{}", client, i), spec(), files, WallTime(Millis(1)));
        if (!id) std::abort();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return clients * each / seconds_since(begun);
}

// Median microseconds of a claim with its sync.
double claim_us(Store& store) {
  constexpr int kClaims = 301;
  std::vector<double> times;
  for (int i = 0; i < kClaims; ++i) {
    const auto begun = Stopwatch::now();
    Result<std::optional<Claim>> claim = store.claim(WallTime(Millis(2)));
    times.push_back(1e6 * seconds_since(begun));
    if (!claim || !*claim || !store.unclaim((*claim)->job.id, (*claim)->token)) std::abort();
  }
  std::ranges::nth_element(times, times.begin() + kClaims / 2);
  return times[kClaims / 2];
}

void fill(Store& store, uint64_t from, uint64_t to) {
  constexpr int kThreads = 64;  // so many share a sync
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = from + t; i < to; i += kThreads) {
        if (!store.add(fmt::format("job {}", i), spec(), {}, WallTime(Millis(1)))) std::abort();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

int run(const std::string& folder) {
  fmt::print("{{\n  \"submissions_per_second\": [\n");
  for (const int clients : {1, 4, 16, 64}) {
    fmt::print("    {{\"clients\": {}, \"rate\": {:.0f}}}{}\n", clients,
               submissions(folder, clients, 4000 / clients), clients == 64 ? "" : ",");
    std::fflush(stdout);
  }
  fmt::print("  ],\n  \"claim_microseconds\": [\n");
  const std::unique_ptr<Store> store = open(folder, "claim.db");
  uint64_t jobs = 0;
  for (const uint64_t wanted : {1'000ULL, 10'000ULL, 100'000ULL, 999'990ULL}) {
    fill(*store, jobs, wanted);
    jobs = wanted;
    fmt::print("    {{\"queued\": {}, \"median\": {:.1f}}}{}\n", wanted, claim_us(*store),
               wanted > 900'000 ? "" : ",");
    std::fflush(stdout);
  }
  fmt::print("  ]\n}}\n");
  return 0;
}

}  // namespace
}  // namespace gantry

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: bench-queue FOLDER\n");
    return 2;
  }
  return gantry::run(argv[1]);
}
