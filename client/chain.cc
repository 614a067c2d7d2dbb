// Who is asked, in which order, and what counts as an answer.
#include "client/chain.h"

#include <algorithm>

namespace gantry {

namespace {

constexpr Millis kConnectMax{2'000};

// A request to the relay of this process, whose answer is read as it comes.
class Caught final : public http::Exchange {
 public:
  Caught(http::Request request, Reading& reading)
      : request_(std::move(request)), reading_(reading) {}
  const http::Request& request() const override { return request_; }
  bool local() const override { return true; }
  const http::Address& peer_of() const override { return peer_; }
  void reply(http::Response response) override {
    if (reading_.head(response)) (void)reading_.piece(response.body);
  }
  [[nodiscard]] Result<void> begin(http::Response head) override {
    return wanted(reading_.head(head));
  }
  [[nodiscard]] Result<void> write(std::string_view piece) override {
    return wanted(reading_.piece(piece));
  }
  const http::Cancel& gone() const override { return never_; }

 private:
  static Result<void> wanted(bool more) {
    if (more) return {};
    return fail(Code::kCancelled, "nobody wants more");
  }
  const http::Request request_;
  Reading& reading_;
  const http::Address peer_;
  const http::Cancel never_{false};
};

// What says that the door is broken, and nothing about the request.
bool is_failure(Code code) {
  return code == Code::kUnavailable || code == Code::kTimeout || code == Code::kWorkerFailed ||
         code == Code::kCorrupt;
}

struct Way {
  const std::string& address;
  const std::string& key;
  Millis limit;
  bool stays;
};

Result<Given> fetch_from(const Way& way, http::Request message, Reading& reading) {
  const Result<http::Address> address = http::parse_address(way.address);
  if (!address) return fail(address.error());
  if (!way.key.empty()) message.headers.emplace_back("Authorization", "Bearer " + way.key);
  if (way.stays) message.headers.emplace_back("X-Gantry-Private", "true");
  http::FetchOptions options;
  options.connect_timeout = std::min(kConnectMax, way.limit);
  options.idle_timeout = way.limit;
  options.on_head = [&reading](const http::Response& head) { return reading.head(head); };
  options.on_piece = [&reading](std::string_view piece) { return reading.piece(piece); };
  const Result<http::Response> got = http::fetch(*address, message, options);
  if (!got && got.error().code != Code::kCancelled) return fail(got.error());
  return reading.end();
}

Result<void> check(const Order& order) {
  const bool speaks = order.work == Work::kSpeak;
  if (order.model.empty() && !speaks) return fail(Code::kUsage, "no model is named");
  if (order.work == Work::kTranscribe) {
    if (order.recording.empty()) return fail(Code::kUsage, "the recording is empty");
    return {};
  }
  const auto is_empty = [](const std::string& text) { return text.empty(); };
  if (order.texts.empty() || std::ranges::any_of(order.texts, is_empty)) {
    return fail(Code::kUsage, "a text is empty", "leave it out");
  }
  return {};
}

}  // namespace

Chain::Chain(ClientOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {
  if (options_.cloud.empty()) return;
  if (options_.spend_max) {
    ledger_ = std::make_unique<Ledger>(options_.ledger, dollars(*options_.spend_max));
  }
  RelayOptions relay;
  relay.endpoint.url = options_.cloud;
  relay.endpoint.key = options_.cloud_key;
  relay.endpoint.ca_file = options_.cloud_ca_file;
  relay.endpoint.connect = std::min(relay.endpoint.connect, options_.cloud_limit);
  relay.endpoint.silent = std::max(Millis(1'000), options_.cloud_limit);  // libcurl counts seconds
  relay.price_in = dollars(options_.price_in);
  relay.price_out = dollars(options_.price_out);
  relay_ = std::make_unique<Relay>(std::move(relay), ledger_.get(), clock_);
}

Result<void> Chain::may_leave(const Order& order) const {
  const auto among = [&order](const std::vector<std::string>& list) {
    return std::ranges::find(list, order.model) != list.end();
  };
  if (order.stays) return fail(Code::kPermission, "the request is private");
  if (among(options_.cloud_deny)) return fail(Code::kPermission, order.model + " is denied");
  if (options_.cloud_allow && !among(*options_.cloud_allow)) {
    return fail(Code::kPermission, order.model + " is not allowed");
  }
  return {};
}

Result<Given> Chain::ask_door(const Order& order, Door door, bool* begun) {
  std::string model = order.model;
  if (door == Door::kCloud) {
    if (Result<void> may = may_leave(order); !may) return fail(may.error());
    const auto other = options_.cloud_models.find(model);
    if (other != options_.cloud_models.end()) model = other->second;
  }
  Result<http::Request> message = message_of(order, door, model);
  if (!message) return fail(message.error());
  Reading reading(order, door);
  if (door == Door::kCloud) {
    Caught exchange(std::move(*message), reading);
    relay_->answer(exchange);
    Result<Given> given = reading.end();
    *begun = reading.begun();
    return given;
  }
  const bool npu = door == Door::kNpu;
  Breaker& breaker = npu ? npu_ : local_;
  if (breaker.wait(clock_.steady())) {
    return fail(Code::kUnavailable, "it has failed again and again and is left alone");
  }
  const Way way{npu ? options_.npu : options_.local, options_.key,
                npu ? options_.npu_limit : options_.local_limit, order.stays};
  Result<Given> given = fetch_from(way, std::move(*message), reading);
  breaker.ended(given || !is_failure(given.error().code), clock_.steady());
  *begun = reading.begun();
  return given;
}

Result<Given> Chain::ask(const Order& order) {
  if (Result<void> sound = check(order); !sound) return fail(sound.error());
  Error all{Code::kUsage, ""};
  for (const Door door : {Door::kNpu, Door::kLocal, Door::kCloud}) {
    const std::string& address = door == Door::kNpu     ? options_.npu
                                 : door == Door::kLocal ? options_.local
                                                        : options_.cloud;
    if (address.empty()) continue;
    bool begun = false;
    Result<Given> given = ask_door(order, door, &begun);
    if (given) {
      // Of a daemon that has sent it away itself: its reason is the last.
      const std::string own = given->why.empty() ? "" : "local: " + given->why;
      given->why = all.message + (all.message.empty() || own.empty() ? "" : "; ") + own;
      return given;
    }
    all.code = given.error().code;
    all.message += (all.message.empty() ? "" : "; ") + std::string(door_name(door)) + ": " +
                   describe(given.error());
    if (begun || all.code == Code::kCancelled) return fail(all);
  }
  if (all.message.empty()) return fail(Code::kUsage, "the options name nobody to ask");
  return fail(all);
}

}  // namespace gantry
