// The command line's way to the daemon: found by the state directory's socket, or started.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/os.h"
#include "http/http.h"

namespace gantry {

struct LinkOptions {
  std::string state_dir;                 // absolute
  std::string host;                      // HOST:PORT given by the user; empty: none
  std::string config;                    // passed on to a daemon that is started
  std::string ram_budget, vram_budget;   // likewise; refused when a running daemon has others
  const http::Cancel* cancel = nullptr;
};

class DaemonLink {
 public:
  // Joins the running daemon, or starts a shared one that leaves when it is not needed.
  // kUnavailable with the daemon's own last words when it does not come up.
  [[nodiscard]] static Result<DaemonLink> open(Os& os, const LinkOptions& options);
  // Joins only: kUnavailable when none runs.
  [[nodiscard]] static Result<DaemonLink> join(Os& os, const LinkOptions& options);

  // The same door, for what must still be said after an interrupt.
  DaemonLink uninterrupted() const { return DaemonLink(address_, nullptr); }
  bool local() const { return !address_.unix_path.empty(); }

  // The answer's JSON; an error object becomes an Error of its code.
  [[nodiscard]] Result<nlohmann::json> call(const std::string& method, const std::string& target,
                                            const std::string& body) const;
  // The answer's bytes.
  [[nodiscard]] Result<std::string> bytes(const std::string& target) const;
  // Server-sent events: on_event gets what follows "data: ", and returns false to leave.
  [[nodiscard]] Result<void> events(const std::string& target,
                                    const std::function<bool(std::string_view)>& on_event) const;
  // A POST whose answer is streamed piece by piece.
  [[nodiscard]] Result<void> stream(const std::string& target, const std::string& body,
                                    const std::function<bool(std::string_view)>& on_piece) const;

 private:
  DaemonLink(http::Address address, const http::Cancel* cancel)
      : address_(std::move(address)), cancel_(cancel) {}
  http::Request request(const std::string& method, const std::string& target,
                        const std::string& body) const;

  http::Address address_;
  const http::Cancel* cancel_;
};

}  // namespace gantry
