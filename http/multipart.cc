// multipart/form-data over a body in memory: linear time, nothing copied but names.
#include "http/multipart.h"

#include <algorithm>
#include <optional>

#include "http/message.h"

namespace gantry::http {

namespace {

constexpr size_t kBoundaryMax = 70;  // RFC 2046

tl::unexpected<Error> corrupt(std::string cause) {
  return fail(Code::kCorrupt, "malformed multipart body: " + std::move(cause),
              "send the form with an HTTP library, or curl -F");
}

std::string_view trim(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// One parameter of a header such as `form-data; name="file"; filename="a;b.wav"`.
std::optional<std::string> parameter(std::string_view header, std::string_view wanted) {
  size_t at = std::min(header.find(';'), header.size());
  while (at < header.size()) {
    ++at;  // behind the ';'
    const size_t equals = header.find_first_of("=;", at);
    if (equals == header.npos) return std::nullopt;
    const std::string_view name = trim(header.substr(at, equals - at));
    at = equals;
    if (header[equals] == ';') continue;
    ++at;
    std::string value;
    if (at < header.size() && header[at] == '"') {
      for (++at; at < header.size() && header[at] != '"'; ++at) {
        // Browsers send a backslash in a file name as it is; only \" and \\ are escapes.
        const bool escape = header[at] == '\\' && at + 1 < header.size() &&
                            (header[at + 1] == '"' || header[at + 1] == '\\');
        if (escape) ++at;
        value += header[at];
      }
      if (at >= header.size()) return std::nullopt;
      at = std::min(header.find(';', at), header.size());
    } else {
      const size_t end = std::min(header.find(';', at), header.size());
      value = std::string(trim(header.substr(at, end - at)));
      at = end;
    }
    if (same_text(name, wanted)) return value;
  }
  return std::nullopt;
}

Result<std::string> boundary_of(std::string_view content_type) {
  const std::string_view kind = trim(content_type.substr(0, content_type.find(';')));
  if (!same_text(kind, "multipart/form-data")) {
    return fail(Code::kUsage, "the body is not multipart/form-data",
                "send a form with the fields file and model");
  }
  const auto boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kBoundaryMax) {
    return fail(Code::kUsage, "multipart/form-data without a usable boundary",
                "send the form with an HTTP library, or curl -F");
  }
  return *boundary;
}

// Headers of a part; `text` ends with the CR LF of its last line.
Result<FormPart> parse_part_head(std::string_view text) {
  FormPart part;
  bool named = false;
  while (!text.empty()) {
    const size_t end = text.find("\r\n");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 2);
    const size_t colon = line.find(':');
    if (colon == line.npos) return corrupt("a part's header without a colon");
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trim(line.substr(colon + 1));
    if (same_text(name, "Content-Type")) part.content_type = std::string(value);
    if (!same_text(name, "Content-Disposition")) continue;
    if (!same_text(trim(value.substr(0, value.find(';'))), "form-data")) {
      return corrupt("a part that is not form-data");
    }
    const auto field = parameter(value, "name");
    if (!field) return corrupt("a part without a name");
    part.name = *field;
    part.filename = parameter(value, "filename").value_or("");
    named = true;
  }
  if (!named) return corrupt("a part without a name");
  return part;
}

}  // namespace

Result<std::vector<FormPart>> parse_form(std::string_view content_type, std::string_view body) {
  auto boundary = boundary_of(content_type);
  if (!boundary) return fail(boundary.error());
  const std::string delimiter = "\r\n--" + *boundary;
  const std::string_view first = std::string_view(delimiter).substr(2);
  if (!body.starts_with(first)) return corrupt("it does not begin with its boundary");
  std::vector<FormPart> parts;
  std::string_view rest = body.substr(first.size());
  while (!rest.starts_with("--")) {
    if (!rest.starts_with("\r\n")) return corrupt("a boundary line with something behind it");
    if (parts.size() == kMultipartPartsMax) {
      return fail(Code::kTooLarge,
                  "more than " + std::to_string(kMultipartPartsMax) + " form fields");
    }
    rest.remove_prefix(2);
    const size_t head_end = rest.substr(0, kMultipartHeadMax + 4).find("\r\n\r\n");
    if (head_end == rest.npos) {
      if (rest.size() > kMultipartHeadMax) {
        return fail(Code::kTooLarge, "the headers of a form field are too large");
      }
      return corrupt("it ends inside a part's headers");
    }
    auto part = parse_part_head(rest.substr(0, head_end + 2));
    if (!part) return fail(part.error());
    rest.remove_prefix(head_end + 4);
    const size_t end = rest.find(delimiter);
    if (end == rest.npos) return corrupt("it ends inside a part");
    part->content = rest.substr(0, end);
    parts.push_back(std::move(*part));
    rest.remove_prefix(end + delimiter.size());
  }
  return parts;
}

}  // namespace gantry::http
