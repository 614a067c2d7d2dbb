// gantry-relay: a worker whose model is somewhere else.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "apps/interrupt.h"
#include "base/os.h"
#include "cloud/relay.h"

namespace {

struct RelayFlags {
  gantry::RelayOptions relay;
  std::string listen, key_env, key_file, ledger;
  double spend_max = -1, price_in = 0, price_out = 0;
  uint32_t silent_s = 120;
};

gantry::Result<std::string> key_of(gantry::Os& os, const RelayFlags& flags) {
  if (!flags.key_env.empty()) {
    if (const auto key = os.env(flags.key_env)) return *key;
    return gantry::fail(gantry::Code::kUsage, flags.key_env + " is not set",
                        "set it for the daemon, and pass it on with the model's env");
  }
  if (flags.key_file.empty()) return std::string();
  const gantry::Result<gantry::FileInfo> info = os.stat(flags.key_file);
  if (!info) return gantry::fail(info.error());
  if ((info->mode & 077) != 0) {
    return gantry::fail(gantry::Code::kPermission, "others may read " + flags.key_file,
                        "chmod 600 " + flags.key_file);
  }
  gantry::Result<std::string> key = os.read_file(flags.key_file, gantry::KiB(16));
  if (!key) return key;
  key->erase(key->find_last_not_of(" \t\r\n") + 1);
  return key;
}

gantry::Result<void> check(const RelayFlags& flags) {
  using gantry::Code;
  if (gantry::Result<void> sound = gantry::check_endpoint(flags.relay.endpoint); !sound) {
    return sound;
  }
  const std::string& key = flags.relay.endpoint.key;
  if (key.find_first_of("\r\n") != std::string::npos) {
    return gantry::fail(Code::kUsage, "the key has more than one line", "one line, nothing else");
  }
  if (flags.spend_max >= 0 && (flags.ledger.empty() || flags.price_in <= 0)) {
    return gantry::fail(Code::kUsage, "a cap on spending needs prices and a ledger",
                        "give --price-in, --price-out and --ledger FILE");
  }
  return {};
}

gantry::Result<void> serve(gantry::Interrupt& interrupt, RelayFlags& flags) {
  const std::unique_ptr<gantry::Os> os = gantry::make_real_os();
  gantry::Result<std::string> key = key_of(*os, flags);
  if (!key) return gantry::fail(key.error());
  flags.relay.endpoint.key = std::move(*key);
  flags.relay.endpoint.silent = gantry::Millis(int64_t{flags.silent_s} * 1000);
  flags.relay.price_in = gantry::dollars(flags.price_in);
  flags.relay.price_out = gantry::dollars(flags.price_out);
  if (gantry::Result<void> sound = check(flags); !sound) return sound;
  gantry::Result<gantry::http::Address> address = gantry::http::parse_address(flags.listen);
  if (!address) return gantry::fail(address.error());
  if (!address->loopback()) {
    return gantry::fail(gantry::Code::kPermission, "a relay has a key and no lock of its own",
                        "listen on 127.0.0.1; the daemon answers others");
  }
  flags.relay.tell = [](const gantry::Error& error) {
    std::fprintf(stderr, "gantry: %s\n", gantry::describe(error).c_str());
  };
  const gantry::RealClock clock;
  gantry::Ledger ledger(flags.ledger, gantry::dollars(flags.spend_max));
  gantry::Relay relay(flags.relay, flags.spend_max >= 0 ? &ledger : nullptr, clock);
  gantry::http::ServerOptions options;
  options.listen = {*address};
  auto server = gantry::http::serve(
      options, [&relay](gantry::http::Exchange& exchange) { relay.answer(exchange); });
  if (!server) return gantry::fail(server.error());
  std::fprintf(stderr, "relay to %s at %s\n", flags.relay.endpoint.url.c_str(),
               (*server)->addresses().front().text().c_str());
  interrupt.wait();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  gantry::Interrupt interrupt;
  gantry::start_endpoints();
  RelayFlags flags;
  CLI::App app("Answers for one model of an OpenAI-compatible endpoint.", "gantry-relay");
  app.add_option("--listen", flags.listen, "HOST:PORT on this machine")->required();
  app.add_option("--url", flags.relay.endpoint.url, "The endpoint, up to /v1")->required();
  app.add_option("--model", flags.relay.model, "The endpoint's name of the model")->required();
  app.add_option("--key-env", flags.key_env, "Variable that holds the key");
  app.add_option("--key-file", flags.key_file, "File of mode 0600 that holds it");
  app.add_option("--ca-file", flags.relay.endpoint.ca_file, "Certificates to trust, PEM");
  app.add_option("--spend-max", flags.spend_max, "Dollars a day (UTC), all relays of one ledger")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--price-in", flags.price_in, "Dollars for a million tokens of prompts")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--price-out", flags.price_out, "Dollars for a million tokens of answers")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--ledger", flags.ledger, "File that remembers what was spent today");
  app.add_option("--silent", flags.silent_s, "Seconds without a byte until it is given up")
      ->check(CLI::Range(1, 86'400));
  app.footer("Example, as a model of the configuration:\n"
             "  cmd: gantry-relay --listen 127.0.0.1:${PORT} --url https://api.example.com/v1\n"
             "       --model large --key-file /home/me/.config/gantry/key --spend-max 2\n"
             "       --price-in 0.15 --price-out 0.6 --ledger /home/me/.local/state/gantry/spent");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    std::fprintf(stderr, "gantry: %s (see gantry-relay --help)\n", e.what());
    return gantry::exit_code(gantry::Code::kUsage);
  }
  const gantry::Result<void> done = serve(interrupt, flags);
  if (done) return 0;
  std::fprintf(stderr, "gantry: %s\n", gantry::describe(done.error()).c_str());
  return gantry::exit_code(done.error().code);
}
