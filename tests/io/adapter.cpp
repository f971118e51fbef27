#include "adapter_cases.hpp"

#include <sdlora/io/adapter.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using test::check_error;

namespace {

constexpr const char* key = "sdlora_adapter";

/// The parts of an adapter file, to be changed and written again.
struct Parts {
  std::string text;
  std::map<std::string, std::pair<std::vector<std::size_t>, std::vector<float>>> tensors;

  explicit Parts(const test::Folder& folder) {
    const TensorFile file = TensorFile::open(folder / file_name);
    text = file.metadata().at(key);
    for (const std::string& name : file.names())
      tensors[name] = {file.info(name).shape, file.read<float>(name, {.require_finite = false})};
  }
  void write(const test::Folder& folder) const {
    SafetensorsWriter writer;
    writer.set_metadata(key, text);
    for (const auto& [name, tensor] : tensors)
      writer.add(name, Dtype::F32, tensor.first, std::span<const float>(tensor.second));
    writer.save(folder / file_name);
  }
};

using Linear = MambaModel<TinyAny, presets::LoRALinear<>, float>;
using Selecting = MambaModel<TinyAny, presets::SDLoRA<>, float>;

/// A saved adapter of which one field says something else is refused, with all of `parts` in the message.
template <class Model, class Value>
void check_refused(const std::string& field, const Value& value, std::initializer_list<std::string> parts) {
  CAPTURE(field);
  const test::Folder folder;
  save_adapter(trained<typename Model::placement_type>(), folder.path());
  Parts saved(folder);
  nlohmann::json description = nlohmann::json::parse(saved.text);
  description.at(nlohmann::json::json_pointer(field)) = value;
  saved.text = description.dump();
  saved.write(folder);
  check_error<FileError>([&] { load<Model>(folder); }, {(folder / file_name).string()});
  check_error<FileError>([&] { load<Model>(folder); }, parts);
}

/// The same where `change` works on the description's text or on the tensors.
template <class Model, class Change>
void check_changed(const Change& change, std::initializer_list<std::string> parts) {
  const test::Folder folder;
  save_adapter(trained<typename Model::placement_type>(), folder.path());
  Parts saved(folder);
  change(saved);
  saved.write(folder);
  check_error<FileError>([&] { load<Model>(folder); }, {(folder / file_name).string()});
  check_error<FileError>([&] { load<Model>(folder); }, parts);
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  REQUIRE(text.find(from) != std::string::npos);
  text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("adapter: the loaded model is the same function") {
  const test::Folder folder;
  AdapterOptions options = some_options();
  options.set(LoRAOptions{.alpha = 5.0});
  options.set(LoRAOptions{.dropout = 0.125});
  auto model = trained<presets::LoRALinear<>>(options);
  save_adapter(model, folder.path());
  auto loaded = load<Linear>(folder);
  const Batch batch = some_batch({7, 1, 12});
  CHECK(loaded.loss(batch).sum == model.loss(batch).sum);
  Linear fresh(model.base(), options);
  CHECK(fresh.loss(batch).sum != model.loss(batch).sum);
}

TEST_CASE("adapter: layer ranges and options come back") {
  const test::Folder folder;
  AdapterOptions options = some_options();
  options.set(LoRAOptions{.alpha = 0.1});
  options.layers = {{"out_proj", 1, static_cast<std::size_t>(-1)},
                    {"in_proj_x", 0, 1},
                    {"in_proj_z", 0, 1},
                    {"in_proj_z", 1, 2}};
  const auto model = trained<presets::LoRALinear<>>(options);
  save_adapter(model, folder.path());
  const auto loaded = load<Linear>(folder);
  check_same(model, loaded);
  CHECK(loaded.parameters().find("layers.0.out_proj.lora_A") == nullptr);
  CHECK(loaded.parameters().find("layers.1.out_proj.lora_A") != nullptr);
  CHECK(loaded.parameters().find("layers.1.in_proj_x.lora_A") == nullptr);
  for (const char* layer : {"0", "1"}) {  // a site with two ranges
    CHECK(loaded.parameters().find("layers." + std::string(layer) + ".in_proj_z.lora_A") != nullptr);
  }
  CHECK(loaded.options().of<LoRAOptions>().alpha == 0.1);

  const AdapterDescription described = read_adapter_description(folder.path());
  CHECK(described.path == (folder / file_name).string());
  CHECK(described.placement == describe<presets::LoRALinear<3>>());
  CHECK(described.base == fingerprint(*model.base()));
  CHECK(described.options.of<LoRAOptions>().rank == 2);
  REQUIRE(described.options.layers.size() == 4);
  CHECK(described.options.layers[3].first == 1);
  CHECK(described.options.layers[0].last == 2);
  CHECK(described.dimensions.dt_rank == 3);
  CHECK(described.dimensions.norm_epsilon == 1e-5);
}

TEST_CASE("adapter: sizes of which the placement takes none do not matter") {
  const test::Folder folder;
  AdapterOptions options = some_options();
  options.set(LoRAOptions{.rank = 1'000'000'000});
  options.set(SelectedOptions{.channels = 1000});
  options.set(SelectedOptions{.states = 1000});
  options.set(RowsOptions{.prompt_length = 1'000'000'000});
  const auto model = trained<presets::BitFit>(options);
  save_adapter(model, folder.path());
  check_same(model, load<MambaModel<TinyAny, presets::BitFit, float>>(folder));
}

TEST_CASE("adapter: one file, which replaces the last one at once and nothing else") {
  const test::Folder folder;
  folder.write("metrics.jsonl", "kept");
  save_adapter(trained<presets::BitFit>(), folder.path());
  auto model = trained<presets::LoRALinear<>>();
  save_adapter(model, folder.path());
  CHECK(folder.entries() == 2);
  CHECK(test::content(folder / "metrics.jsonl") == "kept");
  check_same(model, load<Linear>(folder));

  const std::string before = test::content(folder / file_name);
  model.parameters().values()[3] = std::numeric_limits<float>::quiet_NaN();
  check_error<Error>([&] { save_adapter(model, folder.path()); },
                     {"lora_A", "not finite", "element 3", "nothing was written"});
  CHECK(test::content(folder / file_name) == before);
  CHECK(folder.entries() == 2);

  folder.write("file", "");
  check_error<FileError>([&] { save_adapter(trained<presets::BitFit>(), folder / "file"); },
                         {(folder / "file").string(), "directory"});
}

TEST_CASE("adapter: refused on another base") {
  const test::Folder folder;
  save_adapter(trained<presets::LoRALinear<>>(), folder.path());
  const auto on = [&](const MambaDimensions& m, std::initializer_list<std::string> parts) {
    check_error<FileError>([&] { load<Linear>(folder, m); }, {(folder / file_name).string()});
    check_error<FileError>([&] { load<Linear>(folder, m); }, parts);
  };
  MambaDimensions m = tiny_dimensions;
  m.d_model = 12;
  m.d_inner = 24;
  on(m, {"d_model", "expected 12", "found 10", "base"});
  m = tiny_dimensions;
  m.vocab_size = 20;
  on(m, {"vocab_size", "expected 20", "found 19"});
  m = tiny_dimensions;
  m.dt_rank = 1;
  on(m, {"dt_rank", "expected 1", "found 3"});
  on(tiny_with_layers(3), {"n_layer", "expected 3", "found 2"});
  m = tiny_dimensions;
  m.norm_epsilon = 1e-6;
  on(m, {"field sdlora_adapter.norm_epsilon", "expected 1e-06", "found 1e-05", "give the base"});

  auto base = rough_base<TinyAny, float>(tiny_dimensions);
  base->layer(1).D.data[19] += 0.5F;
  base->finish();
  check_error<FileError>(
      [&] { load_adapter<Linear>(base, folder.path()); },
      {(folder / file_name).string(), "base_fingerprint", fingerprint_text(fingerprint(*base)),
       "weights differ", "give the base", "--ignore-base-fingerprint"});
  // On purpose it loads: the same values on other weights.
  const auto loaded = load_adapter<Linear>(base, folder.path(), BaseFingerprint::Ignored);
  CHECK(loaded.base() == base);
  check_same(loaded, load<Linear>(folder));
  // Sizes still have to be the base's.
  const std::shared_ptr<const Base<TinyAny, float>> wider(
      rough_base<TinyAny, float>(m = tiny_with_layers(3)));
  check_error<FileError>([&] { load_adapter<Linear>(wider, folder.path(), BaseFingerprint::Ignored); },
                         {"n_layer"});
}

TEST_CASE("adapter: refused in a model of another placement or size") {
  const test::Folder folder;
  save_adapter(trained<presets::LoRALinear<>>(), folder.path());
  check_error<FileError>([&] { load<MambaModel<TinyAny, presets::LoRASsm<>, float>>(folder); },
                         {(folder / file_name).string(), "placement", describe<presets::LoRASsm<>>(),
                          describe<presets::LoRALinear<>>()});
  check_error<FileError>([&] { load<MambaModel<TinyAny, presets::LoRALinear<3>, float>>(folder); },
                         {(folder / file_name).string(), "lora_A", "[3, 10]", "[2, 10]"});
}

TEST_CASE("adapter: tensors that are missing, too many, misshapen or not finite") {
  const std::string name = "layers.1.out_proj.lora_B";
  check_changed<Linear>([&](Parts& p) { p.tensors.erase(name); }, {name, "missing"});
  check_changed<Linear>([&](Parts& p) { p.tensors["layers.2.out_proj.lora_B"] = p.tensors.at(name); },
                        {"layers.2.out_proj.lora_B", "besides"});
  check_changed<Linear>(
      [&](Parts& p) { std::swap(p.tensors.at(name).first[0], p.tensors.at(name).first[1]); },
      {name, "[10, 2]", "[2, 10]"});
  check_changed<Linear>(
      [&](Parts& p) { p.tensors.at(name).second[4] = std::numeric_limits<float>::infinity(); },
      {name, "element 4", "infinity"});
  check_changed<Linear>([&](Parts& p) { p.tensors.clear(); }, {"layers.0.in_proj_x.lora_A", "missing"});
}

TEST_CASE("adapter: hostile descriptions") {
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t size : {std::uint64_t{1} << 63, most, std::uint64_t{100'000'000}}) {
    check_refused<Linear>("/rank", size, {"sdlora_adapter.rank", std::to_string(size), "damaged"});
    check_refused<MambaModel<TinyAny, presets::Prompt<>, float>>(
        "/prompt_length", size, {"sdlora_adapter.prompt_length", std::to_string(size), "damaged"});
    check_refused<MambaModel<TinyAny, presets::Prefix<>, float>>(
        "/prompt_length", size, {"sdlora_adapter.prompt_length", std::to_string(size), "damaged"});
    check_refused<Selecting>("/channels", size, {"sdlora_adapter.channels", "damaged"});
    check_refused<Selecting>("/states", size, {"sdlora_adapter.states", "damaged"});
    check_refused<Linear>("/d_model", size, {"sdlora_adapter.d_model", "expected 10"});
    check_refused<Linear>("/n_layer", size, {"sdlora_adapter.n_layer", "expected 2"});
    check_refused<Linear>("/vocab_size", size, {"sdlora_adapter.vocab_size"});
    check_refused<Linear>("/dt_rank", size, {"sdlora_adapter.dt_rank"});
  }
  check_refused<Linear>("/format", 1, {"sdlora_adapter.format", "expected 2", "found 1", "version"});
  check_refused<Linear>("/norm_epsilon", "1e-5", {"sdlora_adapter.norm_epsilon", "number"});
  check_refused<Linear>("/norm_epsilon", 0.5, {"sdlora_adapter.norm_epsilon", "expected 1e-05", "found 0.5"});
  check_refused<Linear>("/rank", -1, {"sdlora_adapter.rank", "-1"});
  check_refused<Linear>("/rank", 2.5, {"sdlora_adapter.rank", "integer", "2.5"});
  check_refused<Linear>("/rank", "2", {"sdlora_adapter.rank", "integer"});
  check_refused<Linear>("/rank", 0, {"sdlora_adapter", "rank"});
  check_refused<Linear>("/rank", 3, {"lora_A", "[3, 10]", "[2, 10]"});
  // VeRA's random matrices are not among the file's values.
  using Random = MambaModel<TinyAny, Place<On<site::OutProj, VeRA<>>>, float>;
  check_refused<Random>("/rank", 16385, {"sdlora_adapter", "expected a rank from 1 to 16384, found 16385"});
  check_refused<Linear>("/alpha", nullptr, {"sdlora_adapter.alpha", "missing"});
  check_refused<Linear>("/dropout", 1.0, {"sdlora_adapter", "dropout"});
  check_refused<Linear>("/dropout", -0.5, {"sdlora_adapter", "dropout"});
  check_refused<Linear>("/base_fingerprint", "0123", {"base_fingerprint", "16 hexadecimal digits", "0123"});
  check_refused<Linear>("/base_fingerprint", "0123456789ABCDEF", {"16 hexadecimal digits"});
  check_refused<Linear>("/base_fingerprint", "0123456789abcdef", {"base_fingerprint", "0123456789abcdef"});
  check_refused<Linear>("/placement", "", {"sdlora_adapter.placement"});
  check_refused<Linear>("/layers", 3, {"sdlora_adapter.layers", "list"});
  check_refused<Linear>("/layers", std::vector<int>(65), {"sdlora_adapter.layers", "at most 64"});
  check_refused<Linear>("/layers", std::vector<int>(1), {"sdlora_adapter.layers[0]", "object"});
  using nlohmann::json;
  const auto range = [](const char* site, std::uint64_t first, std::uint64_t last) {
    return json::array({{{"site", site}, {"first", first}, {"last", last}}});
  };
  check_refused<Linear>("/layers", range("norm", 0, 1), {"sdlora_adapter", "norm"});
  check_refused<Linear>("/layers", range("out_proj", most, most), {"sdlora_adapter", "out_proj"});
  check_refused<Linear>("/layers", range("out_proj", 1, 1), {"sdlora_adapter", "out_proj"});
  check_refused<Linear>("/layers", range("out_proj", 0, 1), {"layers.1.out_proj", "besides"});
  check_refused<Linear>("/selection", json::array({{{"channels", {0}}, {"states", {0}}}}),
                        {"sdlora_adapter", "selects no dimensions"});
}

TEST_CASE("adapter: hostile selections") {
  using nlohmann::json;
  check_refused<Selecting>("/selection", json::array(), {"sdlora_adapter", "2 layers"});
  check_refused<Selecting>("/selection", json::object(), {"sdlora_adapter.selection", "list"});
  check_refused<Selecting>("/selection", std::vector<int>(3), {"sdlora_adapter.selection", "at most 2"});
  check_refused<Selecting>("/selection/0/channels/0", 20, {"layer 0", "channel", "below 20"});
  check_refused<Selecting>("/selection/1/states/0", 16, {"layer 1", "state", "below 16"});
  check_refused<Selecting>("/selection/1/channels/0", -1, {"selection[1].channels[0]", "-1"});
  check_refused<Selecting>("/selection/1/channels/0", std::uint64_t{1} << 32, {"selection[1].channels[0]"});
  check_refused<Selecting>("/selection/0/channels", json::array({1, 1, 2}), {"layer 0", "ascending"});
  check_refused<Selecting>("/selection/0/channels", json::array({3, 2, 1}), {"layer 0", "ascending"});
  check_refused<Selecting>("/selection/0/channels", json::array({1, 2}),
                           {"sdlora_adapter", "layer 0: expected"});
  check_refused<Selecting>("/selection/1/states", json::array(), {"layer 1", "found 3 channels and 0"});
  check_refused<Selecting>("/channels", 0, {"sdlora_adapter", "expected a selection of 1 channels"});  // 1 %
  check_refused<Selecting>("/channels", 4, {"sdlora_adapter", "expected a selection of 4 channels"});
  check_refused<Selecting>("/states", 3, {"sdlora_adapter", "expected a selection of 3 states per channel"});
}

TEST_CASE("adapter: descriptions that are not what JSON allows") {
  check_changed<Linear>([](Parts& p) { replace(p.text, "\"rank\"", "\"rank\": 2, \"rank\""); },
                        {"sdlora_adapter, line", "rank", "twice"});
  check_changed<Linear>([](Parts& p) { p.text = ""; }, {"sdlora_adapter", "found nothing"});
  check_changed<Linear>([](Parts& p) { p.text = "[]"; }, {"sdlora_adapter", "object"});
  check_changed<Linear>([](Parts& p) { p.text.resize(p.text.size() / 2); }, {"sdlora_adapter, line"});
  check_changed<Linear>([](Parts& p) { p.text = std::string(100'000, '['); }, {"nested deeper"});
  check_changed<Linear>([](Parts& p) { replace(p.text, "\"rank\": 2", "\"rank\": 1e999"); },
                        {"sdlora_adapter, line"});
  for (const char* field : {"format", "placement", "base_fingerprint", "d_model", "n_layer", "vocab_size",
                            "dt_rank", "norm_epsilon", "rank", "alpha", "dropout", "channels", "states",
                            "prompt_length", "layers", "selection"}) {
    check_changed<Linear>(
        [&](Parts& p) {
          nlohmann::json description = nlohmann::json::parse(p.text);
          REQUIRE(description.erase(field) == 1);
          p.text = description.dump();
        },
        {std::string("sdlora_adapter.") + field});
  }
}

TEST_CASE("adapter: files that are none") {
  const test::Folder folder;
  check_error<FileError>([&] { load<Linear>(folder); }, {(folder / file_name).string()});
  check_error<FileError>([&] { read_adapter_description(folder / "absent"); },
                         {(folder / "absent" / file_name).string(), "no such folder"});
  SafetensorsWriter writer;
  writer.save(folder / file_name);
  check_error<FileError>([&] { load<Linear>(folder); }, {(folder / file_name).string(), key, "missing"});

  save_adapter(trained<presets::SDLoRA<>>(), folder.path());
  const std::string whole = test::content(folder / file_name);
  for (std::size_t size = 0; size < whole.size(); size += size < 64 ? 7 : 97) {
    folder.write(file_name, whole.substr(0, size));
    check_error<FileError>([&] { load<Selecting>(folder); }, {(folder / file_name).string()});
  }
}

TEST_CASE("adapter: a damaged byte gives an error of the file or another value, nothing else") {
  const test::Folder folder;
  save_adapter(trained<presets::SDLoRA<>>(), folder.path());
  const std::string whole = test::content(folder / file_name);
  const std::shared_ptr<const Base<TinyAny, float>> base = rough_base<TinyAny, float>(tiny_dimensions);
  const std::size_t header = whole.find("\"layers.0") + 600;  // most of the interesting bytes
  REQUIRE(header < whole.size());
  const RandomStream random(11, 3);
  std::size_t refused = 0;
  for (std::uint64_t i = 0; i < 600; ++i) {
    std::string damaged = whole;
    damaged[random.below(2 * i, header)] = static_cast<char>(random.below(2 * i + 1, 256));
    folder.write(file_name, damaged);
    try {
      load_adapter<Selecting>(base, folder.path());
    } catch (const FileError& error) {
      ++refused;
      CHECK(std::string(error.what()).find(file_name) != std::string::npos);
    }
  }
  CHECK(refused > 300);
}

TEST_CASE("adapter: a folder without one says what it is, and what to do") {
  const test::Folder folder;
  const auto refused = [&](std::initializer_list<std::string> parts) {
    check_error<FileError>([&] { read_adapter_description(folder.path()); },
                           {(folder / file_name).string(), "missing"});
    check_error<FileError>([&] { read_adapter_description(folder.path()); }, parts);
  };
  refused({"give the folder that sdlora finetune wrote to"});
  folder.write("config.json", "{}");
  refused({"a checkpoint; give that as the model"});
  folder.write("metrics.jsonl", "");
  refused({"ended before its first checkpoint"});
  std::filesystem::create_directory(folder / "checkpoint");
  folder.write("checkpoint/checkpoint.safetensors", "");
  refused({"has not ended", "--resume"});
  folder.write("adapter_config.json", "{}");
  refused({"an adapter of peft", "--adapter", "load_peft_adapter"});
  folder.write(file_name, "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n");
  check_error<FileError>([&] { read_adapter_description(folder.path()); }, {file_name, "git lfs pull"});
}
