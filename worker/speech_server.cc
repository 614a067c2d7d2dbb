// One thread hears requests and cancels, the other recognises and answers.
#include "worker/speech_server.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

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
  std::optional<std::string> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return wav_ || ended_; });
    if (ended_) return std::nullopt;
    busy_ = true;
    return std::exchange(wav_, std::nullopt);
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
      buffer.append(chunk.data(), static_cast<size_t>(n));
      for (size_t end; (end = buffer.find('\n')) != std::string::npos; buffer.erase(0, end + 1)) {
        hear(std::string_view(buffer).substr(0, end));
      }
      if (buffer.size() > kSpeechLineMax.n) break;
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
    } else if (busy_ || wav_) {
      lock.unlock();
      answer(Error{Code::kBusy, "a recording is being worked on", "wait for it or cancel it"});
    } else {
      wav_ = call->wav;
      cancelled_ = false;
      changed_.notify_all();
    }
  }

  const int out_;
  std::mutex mutex_, out_mutex_;
  std::condition_variable changed_;
  std::optional<std::string> wav_;
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

void answer_speech(Recogniser& recogniser, int in, int out) {
  if (!say(out, SpeechReady{recogniser.window()})) return;
  Inbox inbox(in, out);
  while (const std::optional<std::string> wav = inbox.next()) {
    const Result<SpeechDone> done =
        recogniser.transcribe(*wav, inbox.cancelled(), [&inbox](const SpeechProgress& progress) {
          inbox.answer(progress);
        });
    inbox.finish(done ? SpeechAnswer(*done) : SpeechAnswer(done.error()));
  }
}

int serve_speech(const SpeechOptions& options, int in, int out) {
  const Result<std::unique_ptr<Recogniser>> recogniser = load_recogniser(options);
  if (!recogniser) {
    say(out, recogniser.error());
    return exit_code(recogniser.error().code);
  }
  answer_speech(**recogniser, in, out);
  return 0;
}

}  // namespace gantry
