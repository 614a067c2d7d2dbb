// YAML text -> YamlNode, by yaml-cpp's events, so that no alias is ever expanded unseen.
#include "config/tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "base/limits.h"

namespace gantry {

namespace {

using Kind = YamlNode::Kind;

// Nodes of a tree, keys included. Depth is bounded, so is the recursion.
uint64_t count_nodes(const YamlNode& node) {
  uint64_t n = 1;
  for (const YamlNode& item : node.items) n += count_nodes(item);
  for (const YamlEntry& entry : node.entries) n += 1 + count_nodes(entry.value);
  return n;
}

uint32_t depth_of(const YamlNode& node) {
  uint32_t depth = 0;
  for (const YamlNode& item : node.items) depth = std::max(depth, depth_of(item));
  for (const YamlEntry& entry : node.entries) depth = std::max(depth, depth_of(entry.value));
  return depth + 1;
}

// Builds the tree. After the first fault it ignores what still comes.
class Builder final : public YAML::EventHandler {
 public:
  struct Fault {
    Code code;
    uint32_t line, column;
    std::string cause, remedy;
  };

  const std::optional<Fault>& fault() const { return fault_; }
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(mark, Kind::kNull), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (fault_) return;
    const YamlNode here = make(mark, Kind::kNull);
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) return stop(Code::kCorrupt, here, "an alias inside itself");
    if (!spend(here, count_nodes(found->second))) return;
    if (frames_.size() + depth_of(found->second) > kYamlDepthMax) return too_deep(here);
    YamlNode copy = found->second;
    copy.line = here.line;
    copy.column = here.column;
    place_value(std::move(copy));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = make(mark, Kind::kScalar);
    node.text = value;
    node.plain = tag == "?" || tag.empty();
    add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(mark, Kind::kList), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(mark, Kind::kMap), anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or map that is being filled.
  struct Frame {
    YamlNode node;
    YAML::anchor_t anchor;
    std::optional<YamlNode> key;
    std::unordered_map<std::string, uint32_t> seen;  // key -> line
  };

  static YamlNode make(const YAML::Mark& mark, Kind kind) {
    YamlNode node;
    node.kind = kind;
    if (!mark.is_null()) {
      node.line = static_cast<uint32_t>(mark.line + 1);
      node.column = static_cast<uint32_t>(mark.column + 1);
    }
    return node;
  }

  void stop(Code code, const YamlNode& at, std::string cause, std::string remedy = {}) {
    if (!fault_) fault_ = Fault{code, at.line, at.column, std::move(cause), std::move(remedy)};
  }

  void too_deep(const YamlNode& at) {
    stop(Code::kTooLarge, at,
         "nested deeper than " + std::to_string(kYamlDepthMax) + " levels");
  }

  bool spend(const YamlNode& at, uint64_t nodes) {
    nodes_ += nodes;
    if (nodes_ > kYamlNodesMax) {
      stop(Code::kTooLarge, at,
           "more than " + std::to_string(kYamlNodesMax) + " values, aliases counted",
           "use fewer aliases");
      return false;
    }
    return true;
  }

  void add(YamlNode node, YAML::anchor_t anchor) {
    if (fault_ || !spend(node, 1)) return;
    remember(node, anchor);
    place_value(std::move(node));
  }

  // A kept copy costs as much as a used one: nested anchors cannot multiply unseen.
  void remember(const YamlNode& node, YAML::anchor_t anchor) {
    if (anchor == YAML::NullAnchor || !spend(node, count_nodes(node))) return;
    anchors_[anchor] = node;
  }

  void open(YamlNode node, YAML::anchor_t anchor) {
    if (fault_ || !spend(node, 1)) return;
    if (frames_.size() >= kYamlDepthMax) return too_deep(node);
    frames_.push_back({std::move(node), anchor, {}, {}});
  }

  void close() {
    if (fault_ || frames_.empty()) return;
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (frame.node.kind == Kind::kMap) merge(&frame);
    if (fault_) return;
    remember(frame.node, frame.anchor);
    place_value(std::move(frame.node));
  }

  void place_value(YamlNode node) {
    if (fault_) return;
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == Kind::kList) {
      frame.node.items.push_back(std::move(node));
    } else if (!frame.key) {
      take_key(&frame, std::move(node));
    } else {
      frame.node.entries.push_back({std::move(*frame.key), std::move(node)});
      frame.key.reset();
    }
  }

  void take_key(Frame* frame, YamlNode key) {
    if (key.kind != Kind::kScalar) return stop(Code::kCorrupt, key, "a key must be a word");
    const auto [found, fresh] = frame->seen.emplace(key.text, key.line);
    if (!fresh) {
      return stop(Code::kCorrupt, key, "duplicate key \"" + key.text + "\"",
                  "it is already given in line " + std::to_string(found->second));
    }
    frame->key = std::move(key);
  }

  // "<<": the keys of other maps, where they are not given here.
  void merge(Frame* frame) {
    auto& entries = frame->node.entries;
    const auto found = std::ranges::find_if(
        entries, [](const YamlEntry& e) { return e.key.text == "<<" && e.key.plain; });
    if (found == entries.end()) return;
    YamlNode source = std::move(found->value);
    entries.erase(found);
    std::vector<YamlNode> maps;
    if (source.kind == Kind::kMap) {
      maps.push_back(std::move(source));
    } else if (source.kind == Kind::kList) {
      maps = std::move(source.items);
    } else {
      return stop(Code::kCorrupt, source, "<< wants a map");
    }
    for (YamlNode& map : maps) {
      if (map.kind != Kind::kMap) return stop(Code::kCorrupt, map, "<< wants a map");
      for (YamlEntry& entry : map.entries) {
        if (frame->seen.emplace(entry.key.text, entry.key.line).second) {
          entries.push_back(std::move(entry));
        }
      }
    }
  }

  YamlNode root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  uint64_t nodes_ = 0;
  std::optional<Fault> fault_;
};

tl::unexpected<Error> fault_at(Code code, const std::string& path, uint32_t line, uint32_t column,
                               const std::string& cause, const std::string& remedy) {
  YamlNode node;
  node.line = line;
  node.column = column;
  return fail(code, place(path, node) + ": " + cause, remedy);
}

// What yaml-cpp would misread or report badly: control characters, and tabs as indentation.
Result<void> check_characters(const std::string& text, const std::string& path) {
  uint32_t line = 1, column = 0;
  for (const char c : text) {
    ++column;
    if (c == '\n') {
      ++line;
      column = 0;
    } else if (c == '\t' && column == 1) {
      return fault_at(Code::kCorrupt, path, line, column, "a tab at the start of a line",
                      "indent with spaces");
    } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r') || c == 0x7F) {
      return fault_at(Code::kCorrupt, path, line, column, "a control character in the text",
                      "save it as plain UTF-8 text");
    }
  }
  return {};
}

bool tab_indents(const std::string& text, uint32_t line) {
  size_t at = 0;
  for (uint32_t i = 1; i < line && at != std::string::npos; ++i) {
    at = text.find('\n', at);
    if (at != std::string::npos) ++at;
  }
  if (at == std::string::npos) return false;
  const size_t first = text.find_first_not_of(" \t", at);
  return text.substr(at, first - at).find('\t') != std::string::npos;
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key.text == key) return &entry.value;
  }
  return nullptr;
}

std::string place(const std::string& path, const YamlNode& node) {
  if (node.line == 0) return path;
  return path + ":" + std::to_string(node.line) + ":" + std::to_string(node.column);
}

Result<YamlNode> read_yaml(const std::string& text, const std::string& path) {
  if (text.size() > kConfigMax.n) {
    return fail(Code::kTooLarge, path + " is larger than " + format_bytes(kConfigMax),
                "split it, or remove what is not needed");
  }
  if (auto sound = check_characters(text, path); !sound) return fail(sound.error());
  Builder builder;
  bool more = false;
  try {
    // Without the last line's end yaml-cpp notices a quote that is never closed.
    std::istringstream stream(text.substr(0, text.find_last_not_of(" \t\r\n") + 1));
    YAML::Parser parser(stream);
    if (parser.HandleNextDocument(builder) && !builder.fault()) {
      Builder ignored;
      more = parser.HandleNextDocument(ignored);
    }
  } catch (const YAML::Exception& error) {
    const bool known = !error.mark.is_null();
    const auto line = known ? static_cast<uint32_t>(error.mark.line + 1) : 0;
    const auto column = known ? static_cast<uint32_t>(error.mark.column + 1) : 0;
    if (known && tab_indents(text, line)) {
      return fault_at(Code::kCorrupt, path, line, column, "a tab in the indentation",
                      "indent with spaces");
    }
    return fault_at(Code::kCorrupt, path, line, column, "not YAML: " + error.msg,
                    "look at the indentation and quotes around there");
  } catch (const std::exception& error) {
    return fail(Code::kCorrupt, path + ": not YAML: " + error.what());
  }
  if (const auto& fault = builder.fault()) {
    return fault_at(fault->code, path, fault->line, fault->column, fault->cause, fault->remedy);
  }
  if (more) return fail(Code::kCorrupt, path + ": more than one document", "remove the \"---\"");
  YamlNode root = builder.take();
  if (root.kind == Kind::kNull) root.kind = Kind::kMap;
  if (root.kind != Kind::kMap) {
    return fail(Code::kCorrupt, place(path, root) + ": the file must be a map of keys");
  }
  return root;
}

}  // namespace gantry
