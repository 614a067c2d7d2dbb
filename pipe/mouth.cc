// One thread, one queue, one session.
#include "pipe/mouth.h"

#include "base/limits.h"
#include "pipe/speak.h"

namespace gantry {

namespace {

constexpr Millis kSlice{20};  // how soon a cancel is noticed

double seconds_since(Millis begin) {
  return static_cast<double>((RealClock().steady() - begin).count()) / 1000.0;
}

}  // namespace

Mouth::Mouth(ForemanClient& foreman, std::vector<std::string> models, std::string voice)
    : foreman_(foreman),
      models_(std::move(models)),
      voice_(std::move(voice)),
      thread_([this] { work(); }) {}

Mouth::~Mouth() {
  stop_ = true;
  {
    const std::lock_guard lock(mutex_);
    whole_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Mouth::say(std::string sentence) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(sentence));
  changed_.notify_all();
}

Result<Spoken> Mouth::finish(const http::Cancel& cancel) {
  std::unique_lock lock(mutex_);
  whole_ = true;
  changed_.notify_all();
  while (!finished_) {
    changed_.wait_for(lock, kSlice);
    if (cancel) stop_ = true;
  }
  if (cancel) return fail(Code::kCancelled, "cancelled");
  if (!outcome_) return fail(outcome_.error());
  return std::move(spoken_);
}

std::optional<std::string> Mouth::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return whole_ || !queue_.empty(); });
  if (queue_.empty() || stop_) return std::nullopt;
  std::string sentence = std::move(queue_.front());
  queue_.pop_front();
  return sentence;
}

void Mouth::work() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return whole_ || !queue_.empty(); });
  }
  Result<void> done;
  for (size_t i = 0; i < models_.size(); ++i) {
    done = speak_with(models_[i]);
    if (done || spoken_.sentences > 0 || !another_may_speak(done.error())) break;
    spoken_ = {};
  }
  const std::lock_guard lock(mutex_);
  outcome_ = std::move(done);
  finished_ = true;
  changed_.notify_all();
}

Result<void> Mouth::speak_with(const std::string& model) {
  const RealClock clock;
  std::optional<std::string> sentence;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.empty()) return {};  // nothing to say
    sentence = queue_.front();      // stays there until a voice has said it
  }
  Result<std::unique_ptr<Session>> session = foreman_.open(model, stop_, true);
  if (!session) return fail(session.error());
  spoken_.opened = clock.steady();
  const auto hear = [&](std::string_view pcm) {
    if (!spoken_.first_sound) spoken_.first_sound = clock.steady();
    spoken_.pcm += pcm;
    return !stop_ && spoken_.pcm.size() <= kJobResultMax.n / 2;  // it is written as base 64
  };
  while (sentence) {
    Worker& worker = (*session)->worker();
    Result<void> said = worker.speak({*sentence, voice_, 1}, stop_, hear);
    if (spoken_.pcm.size() > kJobResultMax.n / 2) {
      return fail(Code::kTooLarge, "the sound is larger than a result may be",
                  "ask for a shorter answer");
    }
    if (!said) return said;
    if (++spoken_.sentences == 1) {
      const std::lock_guard lock(mutex_);
      queue_.pop_front();
    }
    sentence = next();
  }
  spoken_.rate = (*session)->worker().sound_rate();
  spoken_.report = {"speak",
                    model,
                    (*session)->device(),
                    (*session)->predicted(),
                    (*session)->measured(),
                    (*session)->load_s(),
                    seconds_since(*spoken_.opened)};
  return {};
}

}  // namespace gantry
