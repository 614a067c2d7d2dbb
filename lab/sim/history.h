// What the simulated users know to be true, kept outside of the store: what they were told, what
// the executors did, which tokens were seen. Each call compares; the first contradiction ends the
// run with its words.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "foreman/store.h"
#include "lab/sim/world.h"

namespace gantry::sim {

// How a job behaves; in its parameters too.
enum class Sort { kPlain, kPoison, kRefused, kFlaky };

struct Entry {
  int64_t n = 0;
  Sort sort = Sort::kPlain;
  std::string key;
  int priority = 0;
  std::string id;                   // as acknowledged; empty: not yet
  uint64_t asked = 0, acked = 0;    // by the history's own count of what happened
  bool unsure = false;              // asked, and the daemon ended before it answered
  bool cancel_asked = false, pause_asked = false, revive_asked = false;
  WallTime not_before{}, deadline{};  // as it was asked for first; none when zero
  std::vector<int64_t> needs;
  std::string input;                // of its file, which is gone since it was acknowledged
  bool worked = false;              // an executor has come to its end, so that it may be done
  bool needed = false;              // another one has begun that may only when this one is done
  bool pruned = false;              // it is gone
  std::optional<uint64_t> paused;   // acknowledged, and not to be resumed yet
  std::optional<Millis> cancelled;  // acknowledged
  std::string ended;                // the final state that was seen; empty: none
  std::string sha, result;
  uint32_t running = 0, runs = 0, attempts = 0;
  std::map<std::string, std::string> saved;             // acknowledged checkpoints
  std::map<std::string, std::set<std::string>> written;  // whatever was given to be one
  std::set<Token> tokens;           // that files of it bear
};

class History {
 public:
  History(Fibers& fibers, World& world) : fibers_(fibers), world_(world) {}

  Entry& entry(int64_t n) { return entries_[n]; }
  std::map<int64_t, Entry>& entries() { return entries_; }
  Entry* by_id(const std::string& id);

  void asked(Entry& entry);
  void acked(Entry& entry, const std::string& id);
  void cancel_acked(Entry& entry);
  void paused(Entry& entry, bool now);
  // Steps of the store, on the thread that takes them.
  void store_step(std::string_view step);
  void told_time(WallTime now);  // by the clock on the wall, on the thread that asked
  std::function<void()> on_step;
  void run_began(const Job& job);
  void run_ended(const Job& job, bool with_result);
  void given(const Job& job, const std::string* bytes);  // its input; null: it is not there
  void revived(Entry& entry, bool was_done);
  // A prune is asked for, and answered. Without an answer some may be gone that were not named.
  void prune_begins() { ++prunes_; }
  void pruned(const std::vector<std::string>& ids);
  bool may_be_gone(const Entry& entry) const;
  // An executor that still works: it must have been told of a cancel that was acknowledged.
  void working(const Job& job, bool told);
  void kept(const Job& job, const std::string& step, const std::optional<std::string>& found);
  void saving(const Job& job, const std::string& step, const std::string& bytes);
  void saved(const Job& job, const std::string& step, const std::string& bytes, bool was_cancelled);

  // A job as the daemon showed it; `was_over`: it was known to have ended before it was asked.
  void saw(const Job& job, bool was_over);
  static bool over(const Entry& entry) {
    return entry.cancelled || !entry.ended.empty() || entry.pruned;
  }
  void saw_result(const Job& job, const Result<std::string>& bytes);
  void file_written(const std::string& path);
  void token(Token token);      // given now: above all that earlier daemons gave
  void old_token(Token token) { highest_ = std::max(highest_, token); }
  Token highest() const { return highest_; }

  void life_begins();  // what ran has ended with the daemon

 private:
  Entry& of(const Job& job);
  void wrong(const std::string& what) { world_.violated(what); }
  void check_conditions(const Job& job, const Entry& entry);
  void check_order(const Job& job, Entry& entry);
  static bool may_have_ended(const Entry& entry);

  Fibers& fibers_;
  World& world_;
  std::map<int64_t, Entry> entries_;
  uint64_t stamp_ = 0;
  uint64_t life_stamp_ = 0;
  // A claim was made after `since`, where its thread looked at the clock, and before `by`, where
  // its executor began.
  struct Claimed {
    uint64_t since, by;
    int64_t n;
  };
  struct Told {
    uint64_t stamp = 0;
    WallTime time{};
  };
  std::vector<Claimed> claims_;       // of this life
  std::map<uint32_t, Told> looked_;   // by fiber
  Token highest_ = 0, before_life_ = 0;
  WallTime latest_{};                 // that any thread was told
  uint32_t prunes_ = 0;               // under way
  bool prune_broken_ = false;         // one was, when its daemon ended
};

// The number that a job's parameters carry.
int64_t number_of(const Job& job);

}  // namespace gantry::sim
