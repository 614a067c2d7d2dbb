// What a client wants, and what it was given. Plain values.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry {

enum class Work { kEmbed, kInfer, kTranscribe, kSpeak };

struct Order {
  Work work = Work::kEmbed;
  std::string model;
  std::vector<std::string> texts;  // to embed; else one: a prompt, or what is to be spoken
  std::string system, voice;
  uint32_t tokens_max = 0;            // 0: as many as whoever answers gives
  std::optional<double> temperature;
  std::string recording;  // the bytes of a file
  bool stays = false;     // nothing of it leaves this machine
  std::function<bool(std::string_view)> on_piece;  // of a text or a sound; false ends it
};

struct Given {
  std::string by;            // "npu", "local", "cloud"
  std::string model, device;
  std::string why;           // why those before did not: "npu: ...; local: ..."
  std::string text, sound;
  std::vector<std::vector<float>> vectors;
};

}  // namespace gantry
