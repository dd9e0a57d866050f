// The schema of the desired state: one, in two spellings (YAML for files, JSON for the API and the state on
// disk).
//
// Decoding is strict: unknown keys, wrong types and duplicate keys are errors, and what is decoded has passed
// validate(). One Error reports every fault of a document, a line each, with its path and, from text, its
// place: "sluice.yaml:7:20: services[2].backends[0].weight: 70000 is not between 0 and 65535". The code is
// kUnsupported where all faults are keys or words of a later version.
//
// Pure functions; nothing throws, whatever the input. Documents are limited to kMaxDocumentBytes, a million
// values and 32 levels; YAML also to two million brackets, commas, quotes and colons, and it may use neither
// anchors, aliases, tags nor a second document. Reading 100,000 backends takes 0.2 s from JSON and 0.7 s from
// YAML, so a thread that must not wait should be given JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/result.h"
#include "model/config.h"

namespace sluice::model {

constexpr size_t kMaxDocumentBytes = 16U << 20;

struct Document {
  Config config;
  bool declares_services =
      false;  // whether there is a `services` key: a file without one leaves services alone
};

// Values at their default are left out, except for what names a thing: `version` and `services` of a Config,
// `name`, `vip` and `protocol` of a Service, `address` of a Backend.
nlohmann::json encode(const Config& config);
nlohmann::json encode(const Service& service);
nlohmann::json encode(const Backend& backend);

Result<Document> decode_document(const nlohmann::json& json);
Result<Config> decode(const nlohmann::json& json);
Result<Service> decode_service(const nlohmann::json& json);
// A backend on its own: the rules that need its service are left to validate(backend, service).
Result<Backend> decode_backend(const nlohmann::json& json);

// `file_name` only appears in messages. Lines and columns count from 1.
Result<Document> parse_yaml(std::string_view text, std::string_view file_name);
Result<Document> parse_json(std::string_view text, std::string_view file_name);
// Any JSON, as strictly read and as limited as a document.
Result<nlohmann::json> parse_json_value(std::string_view text, std::string_view file_name);

// `90s`, `15m`, `1h`: a whole number and one unit. Printed with the largest unit that leaves it whole.
Result<uint32_t> parse_duration_seconds(std::string_view text);
std::string duration_to_string(uint32_t seconds);

}  // namespace sluice::model
