// The scenarios over foreman/test_bench.h.
#include "lab/faults/scenario.h"

#include <fmt/format.h>

#include <set>

#include "base/ids.h"
#include "foreman/database.h"
#include "foreman/job_state.h"
#include "foreman/schema.h"
#include "foreman/sha256.h"
#include "foreman/test_bench.h"

namespace gantry::faults {

namespace {

struct Order {
  nlohmann::json params;
  enum Then { kWait, kCancelRunning, kCancelNow, kCrash } then = kWait;
};

std::vector<Order> orders_of(Scenario scenario) {
  const int died = static_cast<int>(Code::kWorkerFailed);
  switch (scenario) {
    case Scenario::kBurst: return std::vector<Order>(8, Order{{{"steps", 1}}});
    case Scenario::kCheckpoints:
      return std::vector<Order>(
          2, Order{{{"steps", 3}, {"model", "small"}, {"pad", 300}, {"parts", 2}}});
    case Scenario::kResults: return std::vector<Order>(3, Order{{{"steps", 2}, {"pad", 9000}}});
    case Scenario::kCancel:
      return {{{{"steps", 1}, {"wait_ms", 60'000}}, Order::kCancelRunning},
              {{{"steps", 1}, {"wait_ms", 2}, {"parts", 2}}},
              {{{"steps", 1}, {"wait_ms", 60'000}}, Order::kCancelNow}};
    case Scenario::kRetry:
      return {{{{"steps", 2}, {"fail", died}, {"fail_until", 2}}},
              {{{"steps", 3}, {"model", "small"}, {"wait_ms", 2}}, Order::kCrash}};
    case Scenario::kRestart: return {{{{"steps", 2}, {"model", "small"}}}};
    case Scenario::kLarge: {
      // A log of 1,000 pages of 4 KiB is checkpointed (SQLite's own number).
      std::vector<Order> orders(6, Order{{{"steps", 1}, {"text", std::string(800'000, 'x')}}});
      orders.insert(orders.end(), 4, Order{{{"steps", 1}}});
      return orders;
    }
  }
  return {};
}

// A life in progress.
class Play {
 public:
  Play(Scenario scenario, const std::string& dir, const Tell& tell, const LifeOptions& options)
      : scenario_(scenario), tell_(tell), options_(options), bench_(dir) {}

  int run() {
    if (options_.on_begin) options_.on_begin();
    const int lives = scenario_ == Scenario::kRestart ? 2 : 1;
    for (int life = 0; life < lives; ++life) {
      if (Result<void> lived = live(life); !lived) {
        tell_("error " + describe(lived.error()));
        const bool stuck = lived.error().code == Code::kTimeout;
        bench_.foreman.reset();
        return stuck ? kStuck : kRefused;
      }
    }
    bench_.foreman.reset();
    tell_("end");
    return 0;
  }

 private:
  Result<void> live(int life) {
    Result<void> started = bench_.start({}, [this](const Job& job) {
      tell_("run " + job.id);
      if (job.attempts == 1 && job.spec.idempotency_key == "crash") bench_.host.crash("small");
    });
    if (!started) return started;
    const std::vector<Order> orders = orders_of(scenario_);
    if (scenario_ == Scenario::kBurst) {
      if (Result<void> all = submit_from_two(orders, life); !all) return all;
    } else if (Result<void> all = submit_all(orders, 0, 1, life); !all) {
      return all;
    }
    return wait();
  }

  // Two threads, so that submissions meet each other.
  Result<void> submit_from_two(const std::vector<Order>& orders, int life) {
    Result<void> first, second;
    std::thread other;
    try {
      other = std::thread([&] { second = submit_all(orders, 1, 2, life); });
    } catch (const std::system_error& e) {  // a client's misfortune, not the daemon's
      second = fail(Code::kUnavailable, e.what());
    }
    first = submit_all(orders, 0, 2, life);
    if (other.joinable()) other.join();
    return first ? second : first;
  }

  Result<void> submit_all(const std::vector<Order>& orders, size_t from, size_t stride, int life) {
    for (size_t i = from; i < orders.size(); i += stride) {
      if (Result<void> done = submit(orders[i], i, life); !done) return done;
    }
    return {};
  }

  Result<void> submit(const Order& order, size_t number, int life) {
    JobSpec spec;
    spec.kind = "steps";
    spec.params = order.params.dump();
    spec.idempotency_key = order.then == Order::kCrash
                               ? "crash"
                               : fmt::format("job {} of life {}", number, life);
    Result<std::string> id = bench_.foreman->submit(spec);
    if (!id) return fail(id.error());
    tell_("ack " + *id);
    const bool cancels = order.then == Order::kCancelNow || order.then == Order::kCancelRunning;
    return cancels ? cancel(*id, order.then == Order::kCancelRunning) : Result<void>{};
  }

  Result<void> cancel(const std::string& id, bool running) {
    for (int ms = 0; ms < options_.wait_ms_max; ++ms) {
      Result<Job> job = bench_.foreman->job(id);
      if (!job) return fail(job.error());
      if (is_final(job->state)) return {};  // an earlier life did it
      if (!running || job->state == JobState::kRunning) {
        Result<void> gone = bench_.foreman->cancel(id);
        if (gone) tell_("cancelled " + id);
        return gone;
      }
      std::this_thread::sleep_for(Millis(1));
    }
    return fail(Code::kTimeout, id + " did not begin");
  }

  // Until every job has ended; each is told once.
  Result<void> wait() {
    std::set<std::string> told;
    std::string open;
    for (int ms = 0; ms < options_.wait_ms_max; ++ms) {
      Result<std::vector<Job>> jobs = bench_.foreman->jobs({.limit = 100});
      if (!jobs) return fail(jobs.error());
      open.clear();
      for (const Job& job : *jobs) {
        if (!is_final(job.state)) {
          open += fmt::format(" {} is {}", job.id, job_state_name(job.state));
          continue;
        }
        if (!told.insert(job.id).second) continue;
        if (job.state == JobState::kDone) {
          tell_(fmt::format("done {} {} {}", job.id, job.result_sha256,
                            base_name(job.result_file)));
        } else if (job.state == JobState::kCancelled) {
          tell_("cancelled " + job.id);
        } else {
          tell_(fmt::format("failed {} {}", job.id, code_name(job.error->code)));
        }
      }
      if (open.empty()) return {};
      std::this_thread::sleep_for(Millis(1));
    }
    return fail(Code::kTimeout, "the queue did not come to its end:" + open);
  }

  Scenario scenario_;
  const Tell& tell_;
  const LifeOptions& options_;
  TestBench bench_;
};

// Jobs as the first version's daemon left them when it was killed: one done, one running with a
// checkpoint's file half written, one in line; a lease of a worker that is gone.
constexpr const char* kOldJobs = R"sql(
UPDATE meta SET value = 7;
INSERT INTO jobs(id, kind, params, priority, state, attempts, token, submitted_ms, started_ms)
  VALUES('00000000000000000000old2', 'steps', '{"steps":2}', 0, 'running', 1, 30064771074, 2, 3);
INSERT INTO jobs(id, kind, params, priority, state, submitted_ms)
  VALUES('00000000000000000000old3', 'steps', '{"steps":1,"model":"small"}', 0, 'queued', 4);
INSERT INTO leases VALUES(30064771075, 'cpu', 1000, 'small', 0, 0, '');
)sql";
constexpr const char* kOldDone = R"sql(
INSERT INTO jobs(id, kind, params, priority, state, attempts, token, result_file, result_sha256,
                 submitted_ms, started_ms, finished_ms)
  VALUES('00000000000000000000old1', 'steps', '{"steps":1}', 0, 'done', 1, 30064771073,
         'result.30064771073', ?, 1, 2, 3);
)sql";

Result<std::string> prepare_old(const std::string& dir) {
  const std::unique_ptr<Os> os = make_real_os();
  const std::string jobs = dir + "/state/jobs/";
  const std::string result = "what an older version made\n", sha256 = sha256_hex(result);
  for (const char* folder : {"00000000000000000000old1", "00000000000000000000old2/steps"}) {
    if (Result<void> made = os->make_dirs(jobs + folder, 0700); !made) return fail(made.error());
  }
  Result<void> done = os->write_file(jobs + "00000000000000000000old1/result.30064771073", result,
                                     0600);
  if (done) done = os->write_file(jobs + "00000000000000000000old2/steps/.torn.1.tmp", "x", 0600);
  if (!done) return fail(done.error());
  Result<std::unique_ptr<Database>> database =
      Database::open(dir + "/state/gantry.db", {job_schema().first(1), 0});
  if (!database) return fail(database.error());
  done = (*database)->run(kOldJobs, "fill it");
  if (done) done = (*database)->prepare(kOldDone, "fill it").bind(sha256).run();
  if (!done) return fail(done.error());
  return "ack 00000000000000000000old1\nack 00000000000000000000old2\n"
         "ack 00000000000000000000old3\n"
         "done 00000000000000000000old1 " + sha256 + " result.30064771073\n";
}

}  // namespace

std::string scenario_name(Scenario scenario) {
  switch (scenario) {
    case Scenario::kBurst: return "burst";
    case Scenario::kCheckpoints: return "checkpoints";
    case Scenario::kResults: return "results";
    case Scenario::kCancel: return "cancel";
    case Scenario::kRetry: return "retry";
    case Scenario::kRestart: return "restart";
    case Scenario::kLarge: return "large";
  }
  return "unknown";
}

Result<std::string> prepare(Scenario scenario, const std::string& dir) {
  if (scenario == Scenario::kRestart) return prepare_old(dir);
  return "";
}

int play(Scenario scenario, const std::string& dir, const Tell& tell,
         const LifeOptions& options) {
  return Play(scenario, dir, tell, options).run();
}

}  // namespace gantry::faults
