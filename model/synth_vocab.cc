// Tokens in GPT-2's spelling: a byte that does not print is a code point from 256 on.
#include "model/synth_vocab.h"

#include <array>
#include <string_view>

namespace gantry {

namespace {

void append_utf8(uint32_t point, std::string* out) {
  if (point < 0x80) {
    out->push_back(static_cast<char>(point));
    return;
  }
  out->push_back(static_cast<char>(0xc0 | (point >> 6)));  // no point here is over 0x7ff
  out->push_back(static_cast<char>(0x80 | (point & 63)));
}

bool printable(uint32_t byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr std::string_view kSpace = "\xc4\xa0";  // GPT-2's spelling of a blank

// Adds what one merge makes.
void merge(std::string_view left, std::string_view right, SynthVocab* vocab) {
  vocab->merges.push_back(std::string(left) + " " + std::string(right));
  vocab->tokens.push_back(std::string(left) + std::string(right));
  vocab->types.push_back(1);
}

}  // namespace

SynthVocab synth_vocab(uint32_t size) {
  SynthVocab vocab;
  for (const char* special : {"<|eos|>", "<|im_end|>", "<|bos|>", "<|im_start|>", "<|pad|>"}) {
    vocab.tokens.emplace_back(special);
    vocab.types.push_back(3);
  }
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    std::string token;
    append_utf8(printable(byte) ? byte : next++, &token);
    vocab.tokens.push_back(std::move(token));
    vocab.types.push_back(1);
  }
  // Common pairs that are no syllable, so that no token is made twice.
  for (const char* pair : {"th", "er", "in", "an", "on", "st", "nd", "es", "en", "at"}) {
    if (vocab.tokens.size() < size) merge(std::string_view(pair, 1), pair + 1, &vocab);
  }
  std::vector<std::string> syllables;
  for (const char consonant : std::string_view("bcdfghjklmnpqrstvwxz")) {
    for (const char vowel : std::string_view("aeiou")) syllables.push_back({consonant, vowel});
  }
  for (const std::string& syllable : syllables) {
    if (vocab.tokens.size() < size) merge(syllable.substr(0, 1), syllable.substr(1), &vocab);
  }
  // Words behind a blank: of one syllable, then each longer by one.
  size_t word = vocab.tokens.size();
  for (const std::string& syllable : syllables) {
    if (vocab.tokens.size() < size) merge(kSpace, syllable, &vocab);
  }
  for (; vocab.tokens.size() < size; ++word) {
    const std::string stem = vocab.tokens[word];
    for (const std::string& syllable : syllables) {
      if (vocab.tokens.size() < size) merge(stem, syllable, &vocab);
    }
  }
  return vocab;
}

std::string synth_chat_template() {
  return "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
         "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
}

}  // namespace gantry
