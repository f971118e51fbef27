// What a checkpoint or an adapter holds: its tensors by layer, and what they add up to.
#include <sdlora/io/adapter.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/peft_adapter.hpp>
#include <sdlora/io/tensor_source.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "commands.hpp"

namespace {

using namespace sdlora;
using Json = nlohmann::ordered_json;

/// A tensor, and the layer that its name names.
struct Line {
  std::string name;
  std::string in_layer;  // the name behind "layers.3."; else all of it
  std::string before;    // as "backbone.layers."; else empty
  std::optional<std::size_t> layer;
  TensorInfo info;
};

Line line_of(const std::string& name, const TensorInfo& info) {
  Line line{name, name, "", {}, info};
  constexpr std::string_view layers = "layers.";
  for (std::size_t at = name.find(layers); at != std::string::npos; at = name.find(layers, at + 1)) {
    const std::size_t digits = at + layers.size();
    const std::size_t end = std::min(name.find_first_not_of("0123456789", digits), name.size());
    if ((at > 0 && name[at - 1] != '.') || end == digits || end - digits > 9 || end == name.size() ||
        name[end] != '.') {
      continue;
    }
    line.layer = static_cast<std::size_t>(std::stoul(name.substr(digits, end - digits)));
    line.before = name.substr(0, digits);
    line.in_layer = name.substr(end + 1);
    break;
  }
  return line;
}

template <class Source>
std::vector<Line> lines_of(const Source& source) {
  std::vector<Line> lines;
  for (const std::string& name : source.names()) lines.push_back(line_of(name, source.info(name)));
  // Layer 10 behind layer 9; what is in no layer first.
  std::sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
    return a.layer != b.layer ? a.layer < b.layer : a.name < b.name;
  });
  return lines;
}

std::string size_text(std::size_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  double size = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (size < 1024.0) break;
    size /= 1024.0;
    unit = next;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", size, unit);
  return text.data();
}

struct Sum {
  std::size_t tensors = 0, values = 0, bytes = 0;

  void add(const TensorInfo& info) {
    ++tensors;
    values += info.elements();
    bytes += info.bytes();
  }
  std::string text() const {
    return std::to_string(tensors) + (tensors == 1 ? " tensor, " : " tensors, ") +
           detail::grouped_digits(values) + " values, " + size_text(bytes);
  }
};

Sum sum_of(const std::vector<Line>& lines) {
  Sum sum;
  for (const Line& line : lines) sum.add(line.info);
  return sum;
}

void print_line(const std::string& indent, const std::string& name, const TensorInfo& info) {
  const std::string shown = indent + name;
  std::printf("%-44s %-5s %-18s %s\n", shown.c_str(), std::string(dtype_name(info.dtype)).c_str(),
              shape_text(info.shape).c_str(), size_text(info.bytes()).c_str());
}

bool same_tensors(const std::vector<const Line*>& a, const std::vector<const Line*>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Line* x, const Line* y) {
    return x->before == y->before && x->in_layer == y->in_layer && x->info.dtype == y->info.dtype &&
           x->info.shape == y->info.shape;
  });
}

/// The tensors as a tree. Layers in a row that hold the same tensors are shown once.
void print_tree(const std::vector<Line>& lines) {
  std::map<std::size_t, std::vector<const Line*>> layers;
  for (const Line& line : lines) {
    if (line.layer) {
      layers[*line.layer].push_back(&line);
    } else {
      print_line("", line.name, line.info);
    }
  }
  for (auto first = layers.begin(); first != layers.end();) {
    auto next = std::next(first);
    std::size_t last = first->first;
    while (next != layers.end() && next->first == last + 1 && same_tensors(first->second, next->second)) {
      last = (next++)->first;
    }
    Sum each;
    for (const Line* line : first->second) each.add(line->info);
    std::string name = first->second.front()->before + std::to_string(first->first);
    if (last != first->first) name += " to " + std::to_string(last) + ", each";
    std::printf("%s: %s\n", name.c_str(), each.text().c_str());
    for (const Line* line : first->second) print_line("  ", line->in_layer, line->info);
    first = next;
  }
  std::printf("in all: %s\n", sum_of(lines).text().c_str());
}

Json tensors_json(const std::vector<Line>& lines) {
  Json list = Json::array();
  for (const Line& line : lines) {
    Json each{{"name", line.name}};
    if (line.layer) each["layer"] = *line.layer;
    each["dtype"] = std::string(dtype_name(line.info.dtype));
    each["shape"] = line.info.shape;
    each["bytes"] = line.info.bytes();
    list.push_back(std::move(each));
  }
  return list;
}

void add_tensors(Json& json, const std::vector<Line>& lines) {
  const Sum sum = sum_of(lines);
  json["values"] = sum.values;
  json["bytes"] = sum.bytes;
  json["tensors"] = tensors_json(lines);
}

void print_json(const Json& json) {
  std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

struct Settings {
  std::filesystem::path path, base;
  bool json = false;
};

void inspect_checkpoint(const Settings& settings) {
  const CheckpointConfig config = read_base_config(settings.path);
  const std::vector<Line> lines = lines_of(TensorSource::open(settings.path));
  const MambaDimensions m = detail::dimensions_of(config);
  const char* kind = m.mixer_norm_epsilon != 0.0 ? "falcon_mamba" : "mamba";
  if (settings.json) {
    Json json{{"kind", "checkpoint"},    {"path", settings.path.string()},
              {"model", kind},           {"layers", m.n_layer},
              {"d_model", m.d_model},    {"d_inner", m.d_inner},
              {"d_state", m.d_state},    {"d_conv", m.d_conv},
              {"dt_rank", m.dt_rank},    {"vocabulary", m.vocab_size},
              {"tied_head", m.tied_head}};
    add_tensors(json, lines);
    print_json(json);
    return;
  }
  std::printf("%s: a checkpoint of %s\n", settings.path.c_str(), kind);
  std::printf(
      "%zu layers, d_model %zu, d_inner %zu, d_state %zu, d_conv %zu, dt_rank %zu, vocabulary %zu, %s\n",
      m.n_layer, m.d_model, m.d_inner, m.d_state, m.d_conv, m.dt_rank, m.vocab_size,
      m.tied_head ? "head tied to the embedding" : "head of its own");
  print_tree(lines);
}

/// The sizes of the base, where one was given.
std::optional<MambaDimensions> base_sizes(const Settings& settings) {
  if (settings.base.empty()) return {};
  return detail::dimensions_of(read_base_config(settings.base));
}

/// FileError where an adapter is of a base of other sizes.
void require_fits(const AdapterDescription& a, const MambaDimensions& m) {
  const auto compare = [&](const char* field, std::size_t expected, std::size_t found) {
    if (expected == found) return;
    throw FileError(a.path, std::string("field ") + detail::adapter_key + "." + field,
                    "expected " + std::to_string(expected) + " as in the base, found " +
                        std::to_string(found) +
                        "; give the base that the adapter was trained on, or leave --model out");
  };
  compare("d_model", m.d_model, a.dimensions.d_model);
  compare("n_layer", m.n_layer, a.dimensions.n_layer);
  compare("vocab_size", m.vocab_size, a.dimensions.vocab_size);
  compare("dt_rank", m.dt_rank, a.dimensions.dt_rank);
}

void print_share(std::size_t values, const std::optional<MambaDimensions>& base) {
  if (!base) return;
  const std::size_t total = total_parameters(*base);
  std::printf("%s values beside %s of the base: %.3f %%\n", detail::grouped_digits(values).c_str(),
              detail::grouped_digits(total).c_str(),
              100.0 * static_cast<double>(values) / static_cast<double>(total));
}

void add_share(Json& json, std::size_t values, const std::optional<MambaDimensions>& base) {
  if (!base) return;
  const std::size_t total = total_parameters(*base);
  json["base_parameters"] = total;
  json["share"] = static_cast<double>(values) / static_cast<double>(total);
}

/// The policies by site of a placement's text, "out_proj=lora A_log=selected".
std::vector<std::pair<std::string, std::string>> sites_of(const std::string& placement) {
  std::vector<std::pair<std::string, std::string>> sites;
  for (std::size_t begin = 0; begin < placement.size();) {
    const std::size_t end = std::min(placement.find(' ', begin), placement.size());
    const std::string word = placement.substr(begin, end - begin);
    const std::size_t equals = std::min(word.find('='), word.size());
    if (!word.empty())
      sites.emplace_back(word.substr(0, equals), word.substr(std::min(equals + 1, word.size())));
    begin = end + 1;
  }
  return sites;
}

/// The values at each site: a tensor's name says the site, and then what of the policy it is.
std::map<std::string, Sum> sums_by_site(const std::vector<Line>& lines) {
  std::map<std::string, Sum> sums;
  for (const Line& line : lines) sums[line.in_layer.substr(0, line.in_layer.find('.'))].add(line.info);
  return sums;
}

template <class Values>
std::string listed(const Values& values) {
  std::string text;
  for (const auto& value : values) text += (text.empty() ? "" : " ") + std::to_string(value);
  return text;
}

void inspect_own_adapter(const Settings& settings) {
  const AdapterDescription a = read_adapter_description(settings.path);
  const std::vector<Line> lines = lines_of(TensorFile::open(a.path));
  const Sum sum = sum_of(lines);
  const auto base = base_sizes(settings);
  if (base) require_fits(a, *base);
  const auto sites = sites_of(a.placement);
  auto sums = sums_by_site(lines);
  if (settings.json) {
    Json json{{"kind", "adapter"},
              {"path", settings.path.string()},
              {"placement", a.placement},
              {"base_fingerprint", fingerprint_text(a.base)},
              {"layers", a.dimensions.n_layer},
              {"d_model", a.dimensions.d_model},
              {"vocabulary", a.dimensions.vocab_size}};
    Json by_site = Json::array();
    for (const auto& [site, policy] : sites)
      by_site.push_back({{"site", site}, {"method", policy}, {"values", sums[site].values}});
    json["sites"] = std::move(by_site);
    add_share(json, sum.values, base);
    Json selection = Json::array();
    for (const LayerSelection& layer : a.selection.layers)
      selection.push_back({{"channels", layer.channels}, {"states", layer.states}});
    json["selection"] = std::move(selection);
    add_tensors(json, lines);
    print_json(json);
    return;
  }
  std::printf("%s: an adapter of this library\n", settings.path.c_str());
  std::printf("for %zu layers, d_model %zu, vocabulary %zu; base %s\n", a.dimensions.n_layer,
              a.dimensions.d_model, a.dimensions.vocab_size, fingerprint_text(a.base).c_str());
  for (const auto& [site, policy] : sites) {
    std::printf("%s: %s, %s\n", site.c_str(), policy.c_str(), sums[site].text().c_str());
  }
  print_share(sum.values, base);
  for (std::size_t l = 0; l < a.selection.layers.size(); ++l) {
    const LayerSelection& layer = a.selection.layers[l];
    std::printf("layer %zu: channels %s", l, listed(layer.channels).c_str());
    const std::size_t each = layer.states_per_channel();
    for (std::size_t c = 0; each != 0 && c < layer.channels.size(); ++c) {
      const auto begin = layer.states.begin() + static_cast<std::ptrdiff_t>(c * each);
      std::printf("%s%s", c == 0 ? "; states " : " | ",
                  listed(std::vector(begin, begin + static_cast<std::ptrdiff_t>(each))).c_str());
    }
    std::printf("\n");
  }
  print_tree(lines);
}

void inspect_peft_adapter(const Settings& settings) {
  const PeftConfig config = read_peft_config(settings.path);
  const std::vector<Line> lines = lines_of(TensorFile::open(settings.path / detail::peft_tensor_file));
  const Sum sum = sum_of(lines);
  const auto base = base_sizes(settings);
  if (base) PeftAdapter::open(settings.path).require_fits(*base);
  const std::string method =
      std::string(config.rank_stabilised ? "rslora" : "lora") + (config.dora ? " dora" : "");
  if (settings.json) {
    Json json{{"kind", "peft_adapter"},
              {"path", settings.path.string()},
              {"method", method},
              {"rank", config.rank},
              {"alpha", config.alpha},
              {"base_model", config.base_model},
              {"target_modules", config.target_modules},
              {"target_parameters", config.target_parameters},
              {"modules_to_save", config.modules_to_save}};
    add_share(json, sum.values, base);
    add_tensors(json, lines);
    print_json(json);
    return;
  }
  std::printf("%s: an adapter of peft\n%s of rank %zu, alpha %s", settings.path.c_str(), method.c_str(),
              config.rank, detail::short_number(config.alpha).c_str());
  const auto names = [](const char* what, const std::vector<std::string>& list) {
    std::string text;
    for (const std::string& name : list) text += (text.empty() ? "" : ", ") + name;
    if (!list.empty()) std::printf("; %s %s", what, text.c_str());
  };
  names("at", config.target_modules);
  names("at the parameters", config.target_parameters);
  names("with saved modules", config.modules_to_save);
  std::printf("\n");
  if (!config.base_model.empty()) std::printf("base: %s\n", config.base_model.c_str());
  print_share(sum.values, base);
  print_tree(lines);
}

void inspect(const Settings& settings) {
  std::error_code none;
  const auto has = [&](const char* name) { return std::filesystem::exists(settings.path / name, none); };
  const bool own = has(detail::adapter_file), peft = is_peft_adapter(settings.path);
  if (own && peft) {
    throw FileError(
        settings.path.string(), "",
        "holds an adapter of this library (adapter.safetensors) and one of peft (adapter_config.json); "
        "give each a folder of its own");
  }
  if (own) return inspect_own_adapter(settings);
  if (peft) return inspect_peft_adapter(settings);
  if (!settings.base.empty()) {
    throw FileError(
        settings.path.string(), "",
        "expected an adapter, whose base --model names, found none; leave --model out for a checkpoint");
  }
  // What is neither says so as a checkpoint.
  if (!has("config.json") && (has("metrics.jsonl") || has("checkpoint")))
    read_adapter_description(settings.path);
  inspect_checkpoint(settings);
}

}  // namespace

int sdlora::commands::inspect(CommandLine& command, int argc, char** argv) {
  Settings settings;
  command.option("path", settings.path,
                 "directory of a checkpoint, or of an adapter, this library's or peft's");
  command.option("--model", settings.base,
                 "base of an adapter, to say what share of its parameters learned; alone, the checkpoint to "
                 "show");
  command.flag("--json", settings.json, "one object");
  command.examples(
      "sdlora inspect mamba-130m-hf\n"
      "sdlora inspect my-adapter --model mamba-130m-hf --json");
  return command.run(argc, argv, [&] {
    if (settings.path.empty()) std::swap(settings.path, settings.base);
    if (settings.path.empty()) {
      throw ArgumentError(
          "expected the directory of a checkpoint or an adapter, found none; write sdlora inspect DIRECTORY");
    }
    ::inspect(settings);
  });
}
