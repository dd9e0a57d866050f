#include "model/codec.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace sluice::model {
namespace {

using nlohmann::json;

Error invalid(std::string message) {
  return Error{ErrorCode::kInvalid, std::move(message)};
}

// ---- places in a text ----

struct Position {
  int line = 0;  // from 1; 0: unknown
  int column = 0;
};

// Where a path's key and value stand. Filled by a second reading of the text, only when there is an error to
// report, so that a good document pays nothing for it and a hostile one cannot make it large.
struct Place {
  Position key;
  Position value;
};
using Places = std::map<std::string, Place, std::less<>>;

std::string_view parent(std::string_view path) {
  const size_t cut = path.find_last_of(".[");
  return cut == std::string_view::npos ? std::string_view() : path.substr(0, cut);
}

std::string in_file(std::string_view file, Position position, std::string_view message) {
  return position.line > 0 ? fmt::format("{}:{}:{}: {}", file, position.line, position.column, message)
                           : fmt::format("{}: {}", file, message);
}

// ---- problems ----

enum class Spot { kValue, kKey };  // what of a path the message is about

struct Problem {
  std::string path;
  Spot spot;
  Error error;
};

class Problems {
 public:
  void add(std::string path, Error error, Spot spot = Spot::kValue) {
    if (!full()) list_.push_back({std::move(path), spot, std::move(error)});
  }
  void add_violations(std::vector<Violation> found);

  bool empty() const { return list_.empty(); }
  bool full() const { return list_.size() > kMaxReportedErrors; }
  Error merged() const;
  Error merged(std::string_view file, const Places& places) const;
  Places wanted() const;

 private:
  bool touches(std::string_view path) const;

  std::vector<Problem> list_;
};

bool within(std::string_view path, std::string_view ancestor) {
  return path.starts_with(ancestor) && (path.size() == ancestor.size() || ancestor.empty() ||
                                        path[ancestor.size()] == '.' || path[ancestor.size()] == '[');
}

// Whether something at, above or below `path` could not be read.
bool Problems::touches(std::string_view path) const {
  return std::ranges::any_of(list_, [&](const Problem& problem) {
    return within(path, problem.path) || within(problem.path, path);
  });
}

// A rule over values that could not be read would blame their defaults, which nobody wrote.
void Problems::add_violations(std::vector<Violation> found) {
  std::erase_if(found, [this](const Violation& violation) {
    return std::ranges::any_of(violation.paths, [this](const auto& path) { return touches(path); });
  });
  for (Violation& violation : found) add(std::move(violation.paths.front()), std::move(violation.error));
}

Error described(const Problem& problem) {
  Error error = problem.error;
  if (problem.path.empty()) return error;
  const std::string path = in_quotes(problem.path);  // a path may hold a key that the document made up
  return std::move(error).within(path.substr(1, path.size() - 2));
}

Error Problems::merged() const {
  std::vector<Error> errors;
  for (const Problem& problem : list_) errors.push_back(described(problem));
  return merge(errors);
}

Places Problems::wanted() const {
  Places places;
  places[""];
  for (const Problem& problem : list_)
    for (std::string_view path = problem.path; !path.empty(); path = parent(path)) places[std::string(path)];
  return places;
}

Position position_of(const Problem& problem, const Places& places) {
  std::string_view path = problem.path;
  for (Spot spot = problem.spot;; path = parent(path), spot = Spot::kValue) {
    const auto found = places.find(path);
    if (found != places.end()) {
      const Position position = spot == Spot::kKey ? found->second.key : found->second.value;
      if (position.line > 0) return position;
    }
    if (path.empty()) return {};
  }
}

Error Problems::merged(std::string_view file, const Places& places) const {
  std::vector<std::pair<Position, Error>> lines;
  for (const Problem& problem : list_) {
    const Position position = position_of(problem, places);
    Error error = described(problem);
    error.message = in_file(file, position, error.message);
    lines.emplace_back(position, std::move(error));
  }
  std::ranges::stable_sort(lines, {},
                           [](const auto& line) { return std::pair(line.first.line, line.first.column); });
  std::vector<Error> errors;
  for (auto& [position, error] : lines) errors.push_back(std::move(error));
  return merge(errors);
}

// ---- values ----

Result<std::string> as_text(const json& value) {
  constexpr size_t kMaxText = 255;
  if (value.is_null()) return invalid("no value is given: write one, or remove the key");
  if (value.is_array())
    return invalid(
        "a list stands where text is expected: an address in brackets needs quotes, as in "
        "\"[2001:db8::1]:53\"");
  if (value.is_object()) return invalid("a map stands where text is expected");
  if (!value.is_string()) return invalid(fmt::format("{} is not text: put it in quotes", value.dump()));
  const auto& string = value.get_ref<const std::string&>();
  if (string.size() > kMaxText)
    return invalid(
        fmt::format("{} is {} bytes long: write {} or fewer", in_quotes(string), string.size(), kMaxText));
  if (!is_printable(string))
    return invalid(
        fmt::format("{} has characters other than printable ASCII: remove them", in_quotes(string)));
  return string;
}

// The kind of value that is text which `parse` turns into what is meant.
template <typename Parse>
auto text_as(Parse parse) {
  return [parse](const json& value) -> decltype(parse(std::string_view())) {
    const std::string string = SLUICE_TRY(as_text(value));
    return parse(string);
  };
}

// `high` is below 2^63.
template <typename T = uint32_t>
auto number_in(std::type_identity_t<T> low, std::type_identity_t<T> high) {
  return [low, high](const json& value) -> Result<T> {
    const std::string range = fmt::format("between {} and {}", low, high);
    if (value.is_null())
      return invalid(fmt::format("no value is given: write a number {}, or remove the key", range));
    if (value.is_structured())
      return invalid(
          fmt::format("a {} stands where a number {} is expected", value.is_array() ? "list" : "map", range));
    if (value.is_string())
      return invalid(
          fmt::format("{} is not a whole number {}", in_quotes(value.get_ref<const std::string&>()), range));
    if (!value.is_number_integer())
      return invalid(fmt::format("{} is not a whole number {}", value.dump(), range));
    // A negative number as unsigned is above every bound.
    const uint64_t wide = value.get<uint64_t>();
    if (wide < low || wide > high) return invalid(fmt::format("{} is not {}", value.dump(), range));
    return static_cast<T>(wide);
  };
}

Result<uint32_t> as_duration(const json& value) {
  return parse_duration_seconds(value.is_number() ? value.dump() : SLUICE_TRY(as_text(value)));
}

Result<Endpoint> parse_vip(std::string_view string) {
  if (string.find('/') != std::string_view::npos)
    return Error{
        ErrorCode::kUnsupported,
        fmt::format("{} has a prefix, which this version does not support: write a service for each address",
                    in_quotes(string))};
  return Endpoint::parse(string);
}

Result<std::optional<MacAddress>> parse_next_hop(std::string_view string) {
  if (string == "auto") return std::optional<MacAddress>();
  auto mac = MacAddress::parse(string);
  if (!mac) return std::move(mac).error().within("a next hop is auto or a MAC address");
  return std::optional(*mac);
}

Result<std::optional<IpPrefix>> parse_source(std::string_view string) {
  return std::optional(SLUICE_TRY(IpPrefix::parse(string)));
}

// ---- objects ----

// One map of the document. Each key is asked for once; finish() refuses what nobody asked for.
class Object {
 public:
  Object(const json& value, std::string path, Problems& problems)
      : path_(std::move(path)), problems_(problems) {
    if (value.is_object())
      value_ = value.get_ptr<const json::object_t*>();
    else
      problems_.add(path_,
                    invalid(path_.empty()     ? "a document is a map of keys: begin with version: 1"
                            : value.is_null() ? "no value is given: write a map of keys, or remove the key"
                                              : "a map of keys is expected here"));
  }

  std::string below(std::string_view key) const {
    return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  }

  const json* find(std::string_view key) {
    known_.push_back(key);
    if (!value_) return nullptr;
    const auto found = value_->find(key);
    return found == value_->end() ? nullptr : &found->second;
  }

  // Leaves `out` as it is where the key is absent or wrong.
  template <typename T, typename Parse>
  void read(std::string_view key, T& out, Parse parse) {
    const json* value = find(key);
    if (!value) return;
    auto parsed = parse(*value);
    if (parsed.ok())
      out = std::move(parsed).value();
    else
      problems_.add(below(key), std::move(parsed).error());
  }

  template <typename T, typename Parse>
  void require(std::string_view key, T& out, Parse parse, std::string_view example) {
    read(key, out, parse);
    if (value_ && !value_->contains(key))
      problems_.add(below(key), invalid(fmt::format("missing: write one, such as {}: {}", key, example)));
  }

  template <typename Decode>
  void descend(std::string_view key, Decode decode) {
    if (const json* value = find(key)) decode(*value, below(key));
  }

  template <typename Decode>
  void each(std::string_view key, Decode decode) {
    const json* value = find(key);
    if (!value) return;
    if (!value->is_array()) {
      problems_.add(below(key), invalid("a list is expected here: write [] if there is none"));
      return;
    }
    for (size_t i = 0; i < value->size() && !problems_.full(); ++i)
      decode((*value)[i], fmt::format("{}[{}]", below(key), i));
  }

  void refuse(std::string_view key, std::string_view feature) {
    if (find(key))
      problems_.add(below(key),
                    Error{ErrorCode::kUnsupported,
                          fmt::format("this version does not support {}: remove the key", feature)},
                    Spot::kKey);
    known_.pop_back();  // it is no alternative to offer
    refused_.push_back(key);
  }

  void finish() {
    if (!value_) return;
    for (const auto& [key, value] : *value_)
      if (std::ranges::find(known_, key) == known_.end() &&
          std::ranges::find(refused_, key) == refused_.end())
        problems_.add(below(key),
                      invalid(fmt::format("unknown key: the keys here are {}", fmt::join(known_, ", "))),
                      Spot::kKey);
  }

 private:
  const json::object_t* value_ = nullptr;  // null: not a map, which has been reported
  std::string path_;
  Problems& problems_;
  std::vector<std::string_view> known_;
  std::vector<std::string_view> refused_;
};

// ---- the schema ----

Backend read_backend(const json& value, std::string path, Problems& problems) {
  Backend backend;
  Object object(value, std::move(path), problems);
  object.require("address", backend.address, text_as(IpAddress::parse), "10.0.0.11");
  object.read("weight", backend.weight, number_in(0, kMaxWeight));
  object.read("state", backend.state, text_as(parse_backend_state));
  object.read("next_hop", backend.next_hop, text_as(parse_next_hop));
  object.read("drain_until", backend.drain_until, number_in<uint64_t>(0, kMaxUnixSeconds));
  object.refuse("port", "a backend port other than the VIP's");
  object.finish();
  return backend;
}

Service read_service(const json& value, std::string path, Problems& problems) {
  Service service;
  Object object(value, std::move(path), problems);
  object.require("name", service.name, as_text, "web");
  object.require("vip", service.vip, text_as(parse_vip), "192.0.2.1:80");
  object.read("protocol", service.protocol, text_as(parse_protocol));
  object.read("mode", service.mode, text_as(parse_forwarding_mode));
  object.read("hash", service.hash, text_as(parse_flow_hash));
  object.read("flows", service.flows, text_as(parse_flow_tracking));
  object.read("ring", service.ring_slots, number_in(kMinRingSlots, kMaxRingSlots));
  object.each("backends", [&](const json& element, std::string at) {
    service.backends.push_back(read_backend(element, std::move(at), problems));
  });
  object.refuse("health", "health checks");
  object.finish();
  return service;
}

Interface read_interface(const json& value, std::string path, Problems& problems) {
  Interface interface;
  if (value.is_string()) {
    auto name = as_text(value);
    if (name)
      interface.name = std::move(name).value();
    else
      problems.add(std::move(path), std::move(name).error());
    return interface;
  }
  Object object(value, std::move(path), problems);
  object.require("name", interface.name, as_text, "eth0");
  object.read("xdp", interface.xdp, text_as(parse_xdp_mode));
  object.finish();
  return interface;
}

void read_settings(Object& document, Config& config, Problems& problems) {
  document.each("interfaces", [&](const json& element, std::string at) {
    config.interfaces.push_back(read_interface(element, std::move(at), problems));
  });
  document.descend("encapsulation", [&](const json& value, std::string at) {
    Object object(value, std::move(at), problems);
    object.read("source4", config.encapsulation.source4, text_as(parse_source));
    object.read("source6", config.encapsulation.source6, text_as(parse_source));
    object.finish();
  });
  document.descend("defaults", [&](const json& value, std::string at) {
    Object object(value, std::move(at), problems);
    object.read("next_hop", config.defaults.next_hop, text_as(parse_next_hop));
    object.read("hash_seed", config.defaults.hash_seed, as_text);
    object.read("grace", config.defaults.grace_seconds, as_duration);
    object.finish();
  });
  document.descend("limits", [&](const json& value, std::string at) {
    Object object(value, std::move(at), problems);
    object.read("services", config.limits.services, number_in(1, kMaxServices));
    object.read("backends", config.limits.backends, number_in(1, kMaxBackends));
    object.read("ring_slots", config.limits.ring_slots, number_in(kMinTotalRingSlots, kMaxTotalRingSlots));
    object.read("flows", config.limits.flows, number_in(kMinFlows, kMaxFlows));
    object.finish();
  });
}

// A backend without a next hop takes the default's, so with a default that is a MAC address `auto` would be
// silently not what it says.
void refuse_auto_over_default(const json& value, const Config& config, Problems& problems) {
  if (!config.defaults.next_hop) return;
  for (size_t i = 0; i < config.services.size(); ++i)
    for (size_t j = 0; j < config.services[i].backends.size(); ++j) {
      const json& backend = value["services"][i]["backends"][j];
      if (backend.is_object() && backend.value("next_hop", json()) == "auto")
        problems.add(fmt::format("services[{}].backends[{}].next_hop", i, j),
                     Error{ErrorCode::kUnsupported,
                           "this version cannot return one backend to auto while defaults.next_hop is a MAC "
                           "address: remove the default, and write the MAC address where it is meant"});
    }
}

Document read_document(const json& value, Problems& problems) {
  Document document;
  Object object(value, "", problems);
  uint32_t version = 0;
  object.require(
      "version", version,
      [](const json& written) -> Result<uint32_t> {
        if (written.is_number_integer() && written == 1) return 1U;
        return invalid("this is not a version of the schema that can be read: write version: 1");
      },
      "1");
  read_settings(object, document.config, problems);
  document.declares_services = object.find("services") != nullptr;
  object.each("services", [&](const json& element, std::string at) {
    document.config.services.push_back(read_service(element, std::move(at), problems));
  });
  object.finish();
  refuse_auto_over_default(value, document.config, problems);
  if (!problems.full()) problems.add_violations(violations(document.config));
  return document;
}

// ---- texts to trees ----

// Builds the tree of either language's parser events, and refuses what both languages let pass: duplicate
// keys and unreasonable sizes. With `wanted`, notes where those paths stand.
class TreeBuilder {
 public:
  using Fault = std::optional<std::string>;

  explicit TreeBuilder(Places* wanted) : wanted_(wanted) {}

  bool expects_key() const { return !open_.empty() && open_.back().container->is_object() && !key_; }

  Fault key(std::string_view name, Position at) {
    constexpr size_t kMaxKey = 255;
    if (name.size() > kMaxKey)
      return fmt::format("the key {} has more than {} bytes", in_quotes(name), kMaxKey);
    path_.resize(open_.back().path_length);
    if (open_.back().container->contains(name))
      return fmt::format("the key {} is here twice: remove one", in_quotes(name));
    if (!path_.empty()) path_ += '.';
    path_ += name;
    key_ = name;
    key_at_ = at;
    if (Place* place = wanted()) place->key = at;
    return std::nullopt;
  }

  // A scalar, or an empty container that stays open until close().
  Fault value(json value, Position at) {
    constexpr size_t kMaxValues = 1U << 20;
    constexpr size_t kMaxDepth = 32;
    if (++values_ > kMaxValues) return fmt::format("the document has more than {} values", kMaxValues);
    if (open_.size() >= kMaxDepth)
      return fmt::format("the document is nested deeper than {} levels", kMaxDepth);
    const bool opens = value.is_structured();
    // An absent value has no place of its own: some parsers say where the next thing stands.
    if (value.is_null() && key_) at = key_at_;
    json* slot = place_for(std::move(value));
    if (Place* place = wanted()) place->value = at;
    if (opens) open_.push_back({slot, path_.size()});
    return std::nullopt;
  }

  void close() { open_.pop_back(); }
  json take() { return std::move(root_); }

 private:
  struct Open {
    json* container;  // the last element of the one before, which does not change while this one is open
    size_t path_length;
  };

  json* place_for(json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    json& container = *open_.back().container;
    if (container.is_array()) {
      path_.resize(open_.back().path_length);
      fmt::format_to(std::back_inserter(path_), "[{}]", container.size());
      container.push_back(std::move(value));
      return &container.back();
    }
    json& slot = container[*key_];
    slot = std::move(value);
    key_.reset();
    return &slot;
  }

  Place* wanted() {
    if (!wanted_) return nullptr;
    const auto found = wanted_->find(path_);
    return found == wanted_->end() ? nullptr : &found->second;
  }

  json root_;
  std::vector<Open> open_;
  std::string path_;
  std::optional<std::string> key_;  // read, its value not yet
  Position key_at_;
  size_t values_ = 0;
  Places* wanted_;
};

// A parser's own words, which may quote the text anywhere, even in the middle of a character.
std::string tamed(std::string_view words) {
  constexpr size_t kShown = 200;
  std::string shown(words.substr(0, kShown));
  std::ranges::replace_if(
      shown, [](char c) { return c < ' ' || c >= 0x7f; }, '?');
  return words.size() > kShown ? shown + "..." : shown;
}

Position position_of(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

// What a plain (unquoted) YAML scalar means: decimal integers and booleans, otherwise text. The further
// spellings of YAML 1.1 (0x1f, 1e3, 12:30, yes) are text, so that they fail where a number is due rather than
// surprise.
json plain_scalar(const std::string& written) {
  if (written == "true") return true;
  if (written == "false") return false;
  const std::string_view digits = std::string_view(written).substr(written.starts_with('-') ? 1 : 0);
  const bool decimal =
      !digits.empty() && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  if (!decimal || (digits.size() > 1 && digits.front() == '0')) return written;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), number);
  return error == std::errc{} ? json(number) : json(written);
}

// Turns the YAML parser's events into a tree. Stops the parser by throwing its own exception type, which
// read_yaml() catches together with the parser's.
class YamlEvents : public YAML::EventHandler {
 public:
  explicit YamlEvents(TreeBuilder& tree) : tree_(tree) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0)
      throw YAML::ParserException(mark, "a second document begins here: a file holds one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { put(mark, "?", anchor, nullptr); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_reference(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& written) override {
    if (tree_.expects_key()) {
      check(mark, tag, anchor);
      stop_at(mark, tree_.key(written, position_of(mark)));
    } else {
      put(mark, tag, anchor, tag == "?" ? plain_scalar(written) : json(written));
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    put(mark, tag, anchor, json::array());
  }
  void OnSequenceEnd() override { tree_.close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    put(mark, tag, anchor, json::object());
  }
  void OnMapEnd() override { tree_.close(); }

 private:
  void put(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, json value) {
    check(mark, tag, anchor);
    if (tree_.expects_key())
      throw YAML::ParserException(
          mark, "a key is expected here, and it must be text: is a bracket, a brace or a quote left open?");
    stop_at(mark, tree_.value(std::move(value), position_of(mark)));
  }

  // "?" and "!" are the parser's marks for plain and quoted; anything else was written.
  static void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) refuse_reference(mark);
    if (tag != "?" && tag != "!" && !tag.empty())
      throw YAML::ParserException(mark, "tags are not supported: remove the word that begins with '!'");
  }
  [[noreturn]] static void refuse_reference(const YAML::Mark& mark) {
    throw YAML::ParserException(mark,
                                "anchors (&) and aliases (*) are not supported: write the value out, or put "
                                "text that begins with & or * in quotes");
  }
  static void stop_at(const YAML::Mark& mark, const TreeBuilder::Fault& fault) {
    if (fault) throw YAML::ParserException(mark, *fault);
  }

  TreeBuilder& tree_;
  int documents_ = 0;
};

// The parser cannot know what was meant by an unquoted [2001:db8::1]:53 or {address: 2001:db8::}.
std::string_view yaml_hint(std::string_view text, int line) {
  for (; line > 0 && text.find('\n') != std::string_view::npos; --line)
    text.remove_prefix(text.find('\n') + 1);
  const std::string_view here = text.substr(0, text.find('\n'));
  return here.find("::") != std::string_view::npos || here.find("]:") != std::string_view::npos
             ? ": an IPv6 address may need quotes here, as in \"[2001:db8::1]:53\""
             : "";
}

// Whether the parser may be let at `text`. It queues the tokens of an open bracket or line until it knows
// whether they are a key, at up to 240 bytes each (yaml-cpp 0.7), so what can make a token is counted
// beforehand.
bool is_yaml_of_reasonable_size(std::string_view text) {
  constexpr size_t kMaxIndicators = 1U << 21;
  constexpr std::string_view kIndicators = ",[]{}?&*!\"'";
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\n';
    if (kIndicators.find(text[i]) != std::string_view::npos || (text[i] == ':' && next <= ' ')) ++count;
  }
  return count <= kMaxIndicators;
}

Result<json> read_yaml(std::string_view text, std::string_view file, Places* wanted) {
  if (!is_yaml_of_reasonable_size(text))
    return invalid(fmt::format(
        "{}: the document has more than two million brackets, commas, quotes and colons: write it as JSON",
        file));
  TreeBuilder tree(wanted);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    YamlEvents events(tree);
    while (parser.HandleNextDocument(events)) {
    }
  } catch (const YAML::Exception& exception) {
    const std::string message = tamed(exception.msg) + std::string(yaml_hint(text, exception.mark.line));
    return invalid(in_file(file, position_of(exception.mark), message));
  } catch (const std::exception& exception) {
    return Error{ErrorCode::kInternal, fmt::format("{}: reading YAML failed: {}", file, exception.what())};
  }
  return tree.take();
}

// Reads characters and lets JsonEvents know how far the parser has come.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  const char** furthest;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    *furthest = ++at;
    return *this;
  }
  CountingIterator operator++(int) {
    const CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
};

// Turns the JSON parser's events into a tree. The parser does not say where a token begins, only how far it
// has read: a token begins after the one before, behind white space and punctuation.
class JsonEvents : public nlohmann::json_sax<json> {
 public:
  JsonEvents(std::string_view text, TreeBuilder& tree) : read_to(text.data()), text_(text), tree_(tree) {}

  const char* read_to;
  const std::string& fault() const { return fault_; }
  Position fault_at() const { return fault_at_; }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return put(json::object()); }
  bool start_array(std::size_t) override { return put(json::array()); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }
  bool key(string_t& name) override {
    const Position at = token();
    return keep(tree_.key(name, at), at);
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& exception) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: <what we want>"
    std::string_view what = exception.what();
    what.remove_prefix(std::min(what.size(), what.find("] ") + 2));
    if (what.starts_with("parse error at")) what.remove_prefix(std::min(what.size(), what.find(": ") + 2));
    advance(static_cast<size_t>(read_to - text_.data()) - (read_to > text_.data() ? 1 : 0));
    return keep(tamed(what), position_);
  }

 private:
  bool put(json value) {
    const Position at = token();
    return keep(tree_.value(std::move(value), at), at);
  }
  bool end() {
    (void)token();
    tree_.close();
    return true;
  }
  bool keep(TreeBuilder::Fault fault, Position at) {
    if (!fault) return true;
    fault_ = std::move(*fault);
    fault_at_ = at;
    return false;
  }

  // Where the token that was just read begins.
  Position token() {
    const size_t begin = std::min(text_.find_first_not_of(" \t\r\n,:", offset_), text_.size());
    advance(begin);
    const Position at = position_;
    // A number ends where something else begins, so the parser has read one character more.
    const size_t number_end = std::min(text_.find_first_not_of("+-.0123456789eE", begin), text_.size());
    advance(number_end > begin ? number_end : static_cast<size_t>(read_to - text_.data()));
    return at;
  }
  void advance(size_t to) {
    for (; offset_ < to; ++offset_) {
      const bool newline = text_[offset_] == '\n';
      position_.line += newline ? 1 : 0;
      position_.column = newline ? 1 : position_.column + 1;
    }
  }

  std::string_view text_;
  TreeBuilder& tree_;
  size_t offset_ = 0;
  Position position_{1, 1};  // of offset_
  std::string fault_;
  Position fault_at_;
};

Result<json> read_json(std::string_view text, std::string_view file, Places* wanted) {
  TreeBuilder tree(wanted);
  JsonEvents events(text, tree);
  const CountingIterator begin{text.data(), &events.read_to};
  const CountingIterator end{text.data() + text.size(), &events.read_to};
  if (!json::sax_parse(begin, end, &events)) return invalid(in_file(file, events.fault_at(), events.fault()));
  return tree.take();
}

// The length of the UTF-8 sequence (RFC 3629) that `text` begins with; 0 if it is none. `text` is not empty.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0U; };
  const unsigned first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool beyond = (first == 0xed && byte(1) >= 0xa0) || (first == 0xf4 && byte(1) >= 0x90);
  return overlong || beyond ? 0 : length;
}

// Both languages are UTF-8 without control characters, but the YAML parser takes other encodings too, and
// takes 0x04 for the end of the text.
Result<> check_text(std::string_view text, std::string_view file) {
  if (text.size() > kMaxDocumentBytes)
    return invalid(fmt::format("{}: the document has {} bytes: at most {} can be read", file, text.size(),
                               kMaxDocumentBytes));
  Position at{1, 1};
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const size_t length = utf8_length(text.substr(i));
    const bool control = (c >= 0 && c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
    if (length == 0 || control)
      return invalid(in_file(file, at,
                             fmt::format("the byte 0x{:02x} is {}: write UTF-8 text", static_cast<uint8_t>(c),
                                         control ? "a control character" : "not UTF-8")));
    i += length;
    at = c == '\n' ? Position{at.line + 1, 1} : Position{at.line, at.column + 1};
  }
  return ok();
}

using Reader = Result<json> (*)(std::string_view text, std::string_view file, Places* wanted);

Result<Document> parse(std::string_view text, std::string_view file, Reader read) {
  SLUICE_TRY(check_text(text, file));
  const json tree = SLUICE_TRY(read(text, file, nullptr));
  Problems problems;
  Document document = read_document(tree, problems);
  if (problems.empty()) return document;
  Places places = problems.wanted();
  (void)read(text, file, &places);
  return problems.merged(file, places);
}

}  // namespace

json encode(const Backend& backend) {
  const Backend normal;
  json encoded{{"address", backend.address.to_string()}};
  if (backend.weight != normal.weight) encoded["weight"] = backend.weight;
  if (backend.state != normal.state) encoded["state"] = to_string(backend.state);
  if (backend.next_hop) encoded["next_hop"] = backend.next_hop->to_string();
  if (backend.drain_until) encoded["drain_until"] = *backend.drain_until;
  return encoded;
}

json encode(const Service& service) {
  const Service normal;
  json encoded{
      {"name", service.name}, {"vip", service.vip.to_string()}, {"protocol", to_string(service.protocol)}};
  if (service.mode != normal.mode) encoded["mode"] = to_string(service.mode);
  if (service.hash != normal.hash) encoded["hash"] = to_string(service.hash);
  if (service.flows != normal.flows) encoded["flows"] = to_string(service.flows);
  if (service.ring_slots != normal.ring_slots) encoded["ring"] = service.ring_slots;
  for (const Backend& backend : service.backends) encoded["backends"].push_back(encode(backend));
  return encoded;
}

json encode(const Config& config) {
  const Config normal;
  json encoded{{"version", 1}, {"services", json::array()}};
  for (const Interface& interface : config.interfaces) {
    json& entry = encoded["interfaces"].emplace_back(json{{"name", interface.name}});
    if (interface.xdp != XdpMode::kAuto) entry["xdp"] = to_string(interface.xdp);
  }
  const auto& [source4, source6] = config.encapsulation;
  if (source4) encoded["encapsulation"]["source4"] = source4->to_string();
  if (source6) encoded["encapsulation"]["source6"] = source6->to_string();
  const Defaults& defaults = config.defaults;
  if (defaults.next_hop) encoded["defaults"]["next_hop"] = defaults.next_hop->to_string();
  if (!defaults.hash_seed.empty()) encoded["defaults"]["hash_seed"] = defaults.hash_seed;
  if (defaults.grace_seconds != normal.defaults.grace_seconds)
    encoded["defaults"]["grace"] = duration_to_string(defaults.grace_seconds);
  const auto limit = [&](const char* key, uint32_t value, uint32_t usual) {
    if (value != usual) encoded["limits"][key] = value;
  };
  limit("services", config.limits.services, normal.limits.services);
  limit("backends", config.limits.backends, normal.limits.backends);
  limit("ring_slots", config.limits.ring_slots, normal.limits.ring_slots);
  limit("flows", config.limits.flows, normal.limits.flows);
  for (const Service& service : config.services) encoded["services"].push_back(encode(service));
  return encoded;
}

Result<Document> decode_document(const json& value) {
  Problems problems;
  Document document = read_document(value, problems);
  if (!problems.empty()) return problems.merged();
  return document;
}

Result<Config> decode(const json& value) {
  return std::move(SLUICE_TRY(decode_document(value)).config);
}

Result<Service> decode_service(const json& value) {
  Problems problems;
  Service service = read_service(value, "", problems);
  if (!problems.full()) problems.add_violations(violations(service));
  if (!problems.empty()) return problems.merged();
  return service;
}

Result<Backend> decode_backend(const json& value) {
  Problems problems;
  Backend backend = read_backend(value, "", problems);
  // Against a service without a VIP: no address that passes the other rules equals the unspecified one.
  if (!problems.full()) problems.add_violations(violations(backend, Service()));
  if (!problems.empty()) return problems.merged();
  return backend;
}

Result<Document> parse_yaml(std::string_view text, std::string_view file_name) {
  return parse(text, file_name, read_yaml);
}

Result<Document> parse_json(std::string_view text, std::string_view file_name) {
  return parse(text, file_name, read_json);
}

Result<json> parse_json_value(std::string_view text, std::string_view file_name) {
  SLUICE_TRY(check_text(text, file_name));
  return read_json(text, file_name, nullptr);
}

Result<uint32_t> parse_duration_seconds(std::string_view text) {
  const auto wrong = [&] {
    return invalid(
        fmt::format("{} is not a duration between 1s and 24h: write a whole number and a unit, such as "
                    "90s, 15m or 1h",
                    in_quotes(text)));
  };
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end + 1 != text.data() + text.size()) return wrong();
  const uint64_t unit = *end == 's' ? 1 : *end == 'm' ? 60 : *end == 'h' ? 3600 : 0;
  const uint64_t seconds = number * unit;
  if (seconds < kMinGraceSeconds || seconds > kMaxGraceSeconds) return wrong();
  return static_cast<uint32_t>(seconds);
}

std::string duration_to_string(uint32_t seconds) {
  if (seconds % 3600 == 0) return fmt::format("{}h", seconds / 3600);
  if (seconds % 60 == 0) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

}  // namespace sluice::model
