// From a request to whoever answers it.
#include "foreman/router.h"

#include <algorithm>
#include <set>

namespace gantry {

namespace {

constexpr const char* kCloudWord = "cloud";
// A relay answers from its memory.
constexpr Millis kHealthMax{2'000};

// What says that it cannot be had here, and nothing about the request.
bool is_want(Code code) {
  return code == Code::kDoesNotFit || code == Code::kWorkerFailed || code == Code::kUnavailable ||
         code == Code::kTimeout;
}

// Words are the whole of what may be done; none leave it to the relays being named.
bool goes_out(const ModelConfig& model) {
  const std::vector<std::string>& words = model.demand.shortage;
  if (model.cloud.empty()) return false;
  return words.empty() || std::ranges::find(words, kCloudWord) != words.end();
}

// Whether its endpoint is left alone for having failed again and again.
Result<void> rested(Worker& relay, const std::string& name) {
  http::FetchOptions options;
  options.connect_timeout = options.idle_timeout = kHealthMax;
  const auto health = http::fetch(relay.address(), {"GET", "/health", {}, ""}, options);
  if (!health) return fail(health.error());
  if (health->status == 200) return {};
  return fail(Code::kUnavailable, name + " rests: its endpoint has failed again and again");
}

tl::unexpected<Error> private_error(const std::string& relay) {
  return fail(Code::kPermission, "a private request does not go to " + relay,
              "use a model that is here");
}

}  // namespace

Result<void> may_leave(const Config& config, const std::string& asked, const std::string& relay) {
  const auto among = [](const std::vector<std::string>& list, const std::string& name) {
    return std::ranges::find(list, name) != list.end();
  };
  for (const std::string& name : {asked, relay}) {
    if (!among(config.cloud_deny, name)) continue;
    return fail(Code::kPermission, name + " is among those that do not leave this machine",
                "use a model that is here, or change `cloud_deny`");
  }
  if (config.cloud_allow && !among(*config.cloud_allow, asked)) {
    return fail(Code::kPermission, asked + " is not among those that may leave this machine",
                "use a model that is here, or add it to `cloud_allow`");
  }
  return {};
}

Result<std::unique_ptr<Session>> Router::open(const Asking& asking, const http::Cancel& cancel) {
  const Result<ModelConfig> model = roster_.resolve(asking.model + asking.shortage, asking.trusted);
  if (!model) return fail(model.error());
  if (!model->one_of.empty()) return open_choice(*model, asking, cancel);
  if (is_relay(*model)) {
    if (asking.stays) return private_error(asking.model);
    const std::string name = roster_.canonical(asking.model);
    if (Result<void> may = may_leave(config_, name, name); !may) return fail(may.error());
  }
  if (!goes_out(*model)) return open_here(asking, Millis(0), cancel);

  const std::optional<Error> trouble = scheduler_.trouble(model->name);
  Error why;
  if (trouble) {
    why = *trouble;
  } else {
    Result<std::unique_ptr<Session>> here =
        open_here(asking, Millis(int64_t{model->cloud_after_s} * 1000), cancel);
    if (here || cancel || !is_want(here.error().code)) return here;
    why = here.error();
  }
  Result<std::unique_ptr<Session>> there = open_relay(*model, asking, why, cancel);
  // Nobody is there either: then its rest, or its turn, is worth waiting for.
  const bool wait = trouble || why.code == Code::kTimeout;
  if (!there && wait && !cancel) return open_here(asking, Millis(0), cancel);
  return there;
}

// Until one of them is lent: who could not be had is not asked again.
Result<std::unique_ptr<Session>> Router::open_choice(const ModelConfig& choice,
                                                     const Asking& asking,
                                                     const http::Cancel& cancel) {
  const std::string name = choice.name.substr(0, choice.name.find('#'));
  const size_t mark = asking.model.find('#');
  const std::string way = mark == std::string::npos ? "" : asking.model.substr(mark);
  std::map<std::string, Error> out;
  Asking one = asking;
  one.trusted = true;  // the configuration's own words
  for (;;) {
    const auto find_member = [&](const std::string& member) {
      one.model = member + way;
      return find(one);
    };
    Result<Modes::Pick> pick = modes_.pick(name, find_member, out);
    if (!pick) return fail(pick.error());
    one.model = pick->member + way;
    one.why = pick->why;
    one.patience = [&](Millis) { return modes_.holds(name, pick->level); };
    Result<std::unique_ptr<Session>> session = open(one, cancel);
    if (session || cancel || !is_want(session.error().code)) return session;
    const bool stepped = session.error().code == Code::kTimeout &&
                         !modes_.holds(name, pick->level);
    if (!stepped) out.emplace(pick->member, session.error());
  }
}

Result<Loadable> Router::find(const Asking& asking) {
  Result<Loadable> found = roster_.find(asking.model + asking.device + asking.shortage,
                                        asking.trusted);
  if (!found && !asking.device.empty() && found.error().code == Code::kUsage) {
    // It can never be there: the hint is for the job's other models.
    found = roster_.find(asking.model + asking.shortage, asking.trusted);
  }
  return found;
}

Result<std::unique_ptr<Session>> Router::open_here(const Asking& asking, Millis patience,
                                                   const http::Cancel& cancel) {
  Result<Loadable> found = find(asking);
  if (!found) return fail(found.error());
  found->why = asking.why;
  Patience line = asking.patience;
  if (patience > Millis(0)) line = [patience](Millis waited) { return waited < patience; };
  return scheduler_.open(*found, cancel, asking.priority, asking.durable, line);
}

Result<std::unique_ptr<Session>> Router::open_relay(const ModelConfig& model, const Asking& asking,
                                                    const Error& why,
                                                    const http::Cancel& cancel) {
  Error all = why;
  const std::string asked = model.name.substr(0, model.name.find('#'));
  for (const std::string& relay : model.cloud) {
    Result<void> may = asking.stays ? private_error(relay) : may_leave(config_, asked, relay);
    if (may) {
      auto session = open_one(relay, why.message, asking, cancel);
      if (session || cancel) return session;
      may = fail(session.error());
    }
    all.message += "; " + may.error().message;
  }
  return fail(std::move(all));
}

Result<std::unique_ptr<Session>> Router::open_one(const std::string& relay, const std::string& why,
                                                  const Asking& asking,
                                                  const http::Cancel& cancel) {
  Result<Loadable> found = roster_.find(relay, true);
  if (!found) return fail(found.error());
  found->why = why;
  auto session = scheduler_.open(*found, cancel, asking.priority, asking.durable);
  if (!session) return session;
  if (Result<void> ready = rested((*session)->worker(), relay); !ready) return fail(ready.error());
  log_.info("sent_away", {{"model", asking.model}, {"to", relay}, {"why", why}});
  return session;
}

}  // namespace gantry
