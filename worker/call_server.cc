// One thread hears requests and cancels, the other works and answers.
#include "worker/call_server.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace gantry {

namespace {

// False once nobody reads any more.
bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool say(int fd, const SpeechAnswer& answer) { return write_all(fd, speech_line(answer) + "\n"); }

// What the reading thread hands to the working one: at most one request at a time.
class Inbox {
 public:
  Inbox(int in, int out) : out_(out), thread_([this, in] { read(in); }) {}
  ~Inbox() { thread_.join(); }
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Nothing when the client has gone.
  std::optional<SpeechCall> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return call_ || ended_; });
    if (ended_) return std::nullopt;
    busy_ = true;
    return std::exchange(call_, std::nullopt);
  }
  const std::atomic<bool>& cancelled() const { return cancelled_; }

  // The last answer to a request: whoever reads it may ask the next thing at once.
  void finish(const SpeechAnswer& last) {
    {
      std::lock_guard lock(mutex_);
      busy_ = false;
    }
    answer(last);
  }

  // Answers come from both threads.
  bool answer(const SpeechAnswer& answer) {
    std::lock_guard lock(out_mutex_);
    return say(out_, answer);
  }

 private:
  void read(int in) {
    std::string buffer;
    std::array<char, 4096> chunk{};
    for (;;) {
      const ssize_t n = ::read(in, chunk.data(), chunk.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      size_t fresh = buffer.size();  // a long line is searched once
      buffer.append(chunk.data(), static_cast<size_t>(n));
      for (size_t end; (end = buffer.find('\n', fresh)) != std::string::npos; fresh = 0) {
        hear(std::string_view(buffer).substr(0, end));
        buffer.erase(0, end + 1);
      }
      if (buffer.size() > kSpeechCallMax.n) break;
    }
    std::lock_guard lock(mutex_);
    ended_ = true;
    cancelled_ = true;
    changed_.notify_all();
  }

  void hear(std::string_view line) {
    const Result<SpeechCall> call = parse_speech_call(line);
    if (!call) {
      answer(call.error());
      return;
    }
    std::unique_lock lock(mutex_);
    if (call->cancel) {
      cancelled_ = true;
    } else if (busy_ || call_) {
      lock.unlock();
      answer(Error{Code::kBusy, "a request is being worked on", "wait for it or cancel it"});
    } else {
      call_ = *call;
      cancelled_ = false;
      changed_.notify_all();
    }
  }

  const int out_;
  std::mutex mutex_, out_mutex_;
  std::condition_variable changed_;
  std::optional<SpeechCall> call_;
  bool busy_ = false, ended_ = false;
  std::atomic<bool> cancelled_{false};
  std::thread thread_;  // last: it uses the others
};

}  // namespace

int take_stdout() {
  const int out = ::dup(STDOUT_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  return out;
}

bool say_speech(int out, const SpeechAnswer& answer) { return say(out, answer); }

void answer_calls(const SpeechReady& ready, int in, int out, const CallHandler& handle) {
  if (!say(out, ready)) return;
  Inbox inbox(in, out);
  while (const std::optional<SpeechCall> call = inbox.next()) {
    const Result<SpeechDone> done =
        handle(*call, inbox.cancelled(),
               [&inbox](const SpeechProgress& progress) { inbox.answer(progress); });
    inbox.finish(done ? SpeechAnswer(*done) : SpeechAnswer(done.error()));
  }
}

void answer_speech(Recogniser& recogniser, int in, int out) {
  answer_calls(SpeechReady{recogniser.window(), 0, recogniser.encoder()}, in, out,
               [&recogniser](const SpeechCall& call, const std::atomic<bool>& cancel,
                             const auto& tell) -> Result<SpeechDone> {
                 if (call.speakers || call.utterance) return fail(other_call("transcribes"));
                 return recogniser.transcribe({call.wav, call.from, call.speech}, cancel, tell);
               });
}

Error other_call(std::string_view what) {
  return {Code::kUnsupported, "this worker " + std::string(what) + ", and was asked for more",
          "give the request to a model of another kind"};
}

}  // namespace gantry
