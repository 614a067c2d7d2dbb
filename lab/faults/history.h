// What lives of a foreman said, kept outside its store, and what is wrong with it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace gantry::faults {

// Lines: "ack ID", "run ID", "done ID SHA256 RESULT_FILE", "failed ID CODE", "cancelled ID",
// "refused CODE", "error CAUSE", "stuck", "end".
class History {
 public:
  void new_life();
  void read(const std::string& line);
  // `text` is the words of one life; a last line without its end was cut off by a kill.
  void read_all(const std::string& text);

  std::set<std::string> acknowledged;
  std::map<std::string, std::string> done;      // SHA256
  std::map<std::string, std::string> failed;    // code
  std::set<std::string> cancelled;
  std::string error;            // why the last life ended early; empty: it did not
  std::string refused;          // the code of a call that the last life was refused
  bool ended = false;           // the last life reached its end
  int64_t token = 0;            // the highest that was seen
  std::vector<std::string> faults;

 private:
  std::set<std::string> cancelled_before_;  // in an earlier life
};

// Compares the store under `dir`/state with the history: integrity, acknowledged jobs, results and
// their hashes, tokens. It looks at a copy. Faults are added to the history's.
void check_store(const std::string& dir, History& history);

}  // namespace gantry::faults
