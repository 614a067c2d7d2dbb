// One child process for each call: arguments, a pipe in, a pipe out.
#include "voice/espeak.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "base/clock.h"

extern char** environ;

namespace gantry {

namespace {

constexpr const char* kProgram = "espeak-ng";
constexpr int kWordsPerMinute = 175;  // its own default
constexpr int kWordsMin = 80, kWordsMax = 450;  // what it obeys
constexpr size_t kHeadBytes = 44;
constexpr size_t kTableMax = 1 << 20;
constexpr int kPollMs = 100;
constexpr Millis kLongest{60'000};  // for one utterance; it makes minutes of sound in a second
// A language that is switched to is named in the phonemes: "(fr)".
constexpr size_t kSwitchMax = 16;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void reset(int fd) {
    close();
    fd_ = fd;
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

Error not_installed(int error) {
  if (error == ENOENT) {
    return {Code::kUnavailable, "espeak-ng is not installed, it speaks without a model",
            "apt-get install espeak-ng"};
  }
  return os_error("cannot start espeak-ng", error);
}

// A child that reads `text` and gives what it writes to `take` until that is false.
class Run {
 public:
  Run() = default;
  ~Run() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Result<void> operator()(std::vector<std::string> argv, std::string_view text,
                          const std::atomic<bool>& cancel,
                          const std::function<bool(std::string_view)>& take) {
    if (Result<void> begun = start(std::move(argv), text); !begun) return begun;
    const RealClock clock;
    const Millis deadline = clock.steady() + kLongest;
    std::array<char, 32 << 10> piece{};
    for (;;) {
      if (cancel) return fail(Code::kCancelled, "cancelled");
      if (clock.steady() > deadline) {
        return fail(Code::kTimeout, "espeak-ng did not end within a minute", "give a shorter text");
      }
      pollfd ready{out_.get(), POLLIN, 0};
      if (::poll(&ready, 1, kPollMs) <= 0) continue;
      const ssize_t got = ::read(out_.get(), piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      if (!take({piece.data(), static_cast<size_t>(got)})) {
        return fail(Code::kCancelled, "cancelled");
      }
    }
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    return fail(Code::kWorkerFailed, "espeak-ng failed", "see what `espeak-ng --voices` says");
  }

 private:
  // The text is smaller than a pipe holds, so that it is written before anything is read.
  Result<void> start(std::vector<std::string> argv, std::string_view text) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0) return fail(os_error("cannot start espeak-ng", errno));
    Fd in_read(in[0]), in_write(in[1]);
    if (::pipe2(out, O_CLOEXEC) != 0) return fail(os_error("cannot start espeak-ng", errno));
    out_.reset(out[0]);
    Fd out_write(out[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in_read.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
    std::vector<char*> words;
    for (std::string& word : argv) words.push_back(word.data());
    words.push_back(nullptr);
    pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, kProgram, &actions, nullptr, words.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return fail(not_installed(error));
    pid_ = pid;
    in_read.close();
    const ssize_t put = ::write(in_write.get(), text.data(), text.size());
    if (put != static_cast<ssize_t>(text.size())) {
      return fail(Code::kWorkerFailed, "espeak-ng takes no text", "try espeak-ng by hand");
    }
    return {};
  }

  pid_t pid_ = -1;
  Fd out_;
};

Result<std::string> output_of(std::vector<std::string> argv, std::string_view text) {
  std::string out;
  const std::atomic<bool> never{false};
  Run run;
  const Result<void> done = run(std::move(argv), text, never, [&out](std::string_view piece) {
    out += piece;
    return out.size() <= kTableMax;
  });
  if (!done) return fail(done.error());
  return out;
}

uint32_t number_at(std::string_view head, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(head[at + i])) << (8 * i);
  }
  return value;
}

// Takes the head off a wav that is written as it is made, and gives whole samples on.
class Pcm {
 public:
  explicit Pcm(const std::function<bool(std::string_view)>& on_pcm) : on_pcm_(on_pcm) {}

  bool take(std::string_view piece) {
    pending_ += piece;
    if (!begun_) {
      if (pending_.size() < kHeadBytes) return true;
      sound_ = pending_.starts_with("RIFF") && number_at(pending_, 24) == kEspeakRate;
      if (!sound_) return false;
      pending_.erase(0, kHeadBytes);
      begun_ = true;
    }
    const size_t whole = pending_.size() / 2 * 2;
    if (whole == 0) return true;
    const bool more = on_pcm_(std::string_view(pending_).substr(0, whole));
    pending_.erase(0, whole);
    return more;
  }
  bool began() const { return begun_; }
  bool sound() const { return sound_; }

 private:
  const std::function<bool(std::string_view)>& on_pcm_;
  std::string pending_;
  bool begun_ = false, sound_ = true;
};

}  // namespace

bool EspeakVoices::has(std::string_view voice) const {
  const size_t plus = voice.find('+');
  if (!languages.contains(voice.substr(0, plus))) return false;
  return plus == std::string_view::npos || variants.contains(voice.substr(plus + 1));
}

std::set<std::string, std::less<>> espeak_column(std::string_view table, size_t column) {
  std::set<std::string, std::less<>> names;
  bool title = true;
  while (!table.empty()) {
    const size_t end = std::min(table.find('\n'), table.size());
    std::string_view line = table.substr(0, end);
    table.remove_prefix(std::min(end + 1, table.size()));
    if (std::exchange(title, false)) continue;
    std::string_view word;
    for (size_t i = 0; i <= column; ++i) {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      word = line.substr(0, line.find(' '));
      line.remove_prefix(word.size());
    }
    if (!word.empty()) names.emplace(word);
  }
  return names;
}

Result<EspeakVoices> espeak_voices() {
  const Result<std::string> table = output_of({kProgram, "--voices"}, "");
  if (!table) return fail(table.error());
  EspeakVoices voices;
  voices.languages = espeak_column(*table, 1);
  const Result<std::string> variants = output_of({kProgram, "--voices=variant"}, "");
  if (!variants) return fail(variants.error());
  for (const std::string& file : espeak_column(*variants, 4)) {
    voices.variants.insert(file.substr(file.find('/') + 1));  // "!v/f3"
  }
  return voices;
}

Result<void> espeak_speak(const Utterance& utterance, const std::atomic<bool>& cancel,
                          const std::function<bool(std::string_view)>& on_pcm) {
  const int words = std::clamp(static_cast<int>(std::lround(kWordsPerMinute * utterance.speed)),
                               kWordsMin, kWordsMax);
  Pcm pcm(on_pcm);
  Run run;
  const Result<void> done =
      run({kProgram, "--stdin", "--stdout", "-b", "1", "-s", std::to_string(words), "-v",
           utterance.voice},
          utterance.text, cancel, [&pcm](std::string_view piece) { return pcm.take(piece); });
  if (!pcm.sound()) {
    return fail(Code::kUnsupported, "the voice " + utterance.voice + " makes sound of another rate",
                "use a voice that `espeak-ng --voices` lists");
  }
  if (!done) return done;
  if (!pcm.began()) return fail(Code::kWorkerFailed, "espeak-ng made no sound");
  return {};
}

Result<std::string> espeak_phonemes(const std::string& text, const std::string& voice) {
  Result<std::string> ipa =
      output_of({kProgram, "-q", "--ipa", "--stdin", "-b", "1", "-v", voice}, text);
  if (!ipa) return ipa;
  for (size_t at = 0; (at = ipa->find('(', at)) != std::string::npos;) {
    const size_t end = ipa->find(')', at);
    if (end == std::string::npos || end - at > kSwitchMax) break;
    ipa->erase(at, end + 1 - at);
  }
  std::ranges::replace(*ipa, '\n', ' ');
  ipa->erase(0, ipa->find_first_not_of(' '));
  ipa->erase(ipa->find_last_not_of(' ') + 1);
  // Sounds alone: marks that models were trained with besides are the text's own.
  if (!text.empty() && std::string_view(".,;:!?").find(text.back()) != std::string_view::npos) {
    *ipa += text.back();
  }
  return ipa;
}

}  // namespace gantry
