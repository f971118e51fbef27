#include "safetensors_support.hpp"
#include "support.hpp"
#include "support/reference_file.hpp"
#include "support/tiny_models.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/model/fingerprint.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using test::check_error;

namespace {

/// A tiny checkpoint on disk, to be changed and written again.
struct Checkpoint {
  test::Folder folder;
  std::map<std::string, std::pair<std::vector<std::size_t>, std::vector<float>>> tensors;

  Checkpoint() {
    save_base(*rough_base<TinyAny, float>(tiny_dimensions), folder.path());
    const TensorFile file = TensorFile::open(folder / "model.safetensors");
    for (const std::string& name : file.names())
      tensors[name] = {file.info(name).shape, file.read<float>(name)};
  }
  void write() const {
    SafetensorsWriter writer;
    for (const auto& [name, tensor] : tensors)
      writer.add(name, Dtype::F32, tensor.first, std::span<const float>(tensor.second));
    writer.save(folder / "model.safetensors");
  }
  /// config.json with one field of another value.
  template <class Value>
  void set(const char* key, const Value& value) const {
    nlohmann::json config = nlohmann::json::parse(test::content(folder / "config.json"));
    config[key] = value;
    folder.write("config.json", config.dump());
  }
  auto load() const { return load_base<TinyAny>(folder.path()); }
  void check_refused(const char* file, std::initializer_list<std::string> parts) const {
    check_error<FileError>([&] { load(); }, {(folder / file).string()});
    check_error<FileError>([&] { load(); }, parts);
  }
};

/// Tiny, but wider.
struct Wide {
  static constexpr MambaConfig config{.d_model = 12, .n_layer = 2, .vocab_size = 19, .dt_rank = 3};
};

/// Largest relative difference of any value.
template <class A, class B>
double difference(const A& a, const B& b) {
  std::map<std::string, std::vector<double>> values;
  a.visit([&](const std::string& name, auto view, const auto&) {
    for (std::size_t i = 0; i < view.rows * view.cols; ++i)
      values[name].push_back(static_cast<double>(view.data[i]));
  });
  double largest = 0.0;
  b.visit([&](const std::string& name, auto view, const auto&) {
    REQUIRE(values.at(name).size() == view.rows * view.cols);
    for (std::size_t i = 0; i < view.rows * view.cols; ++i) {
      const double x = values.at(name)[i], y = static_cast<double>(view.data[i]);
      largest = std::max(largest, std::abs(x - y) / std::max(1e-30, std::abs(x)));
    }
  });
  return largest;
}

std::filesystem::path reference(const char* name) { return ReferenceFile::path_of(name); }

}  // namespace

TEST_CASE("base checkpoint: F32 comes back bit for bit, in any type and precision") {
  const test::Folder folder;
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  save_base(*base, folder / "a" / "b", {.tokenizer = "byte", .token_ids = {.eos = "[7, 3]"}});
  const auto again = load_base<TinyAny>(folder / "a" / "b");
  CHECK(again->dimensions() == tiny_dimensions);
  CHECK(fingerprint(*again) == fingerprint(*base));
  CHECK(again->A(1)(3, 4) == base->A(1)(3, 4));
  CHECK(difference(*base, *load_base<Tiny>(folder / "a" / "b")) == 0.0);
  CHECK(difference(*base, *load_base<Tiny, double>(folder / "a" / "b")) == 0.0);
  const CheckpointConfig config = read_checkpoint_config(folder / "a" / "b");
  CHECK(config.tokenizer == "byte");
  CHECK(config.end_of_text == 7);
  CHECK(config.stop_tokens == std::vector<std::int32_t>{7, 3});
  CHECK(config.norm_epsilon == tiny_dimensions.norm_epsilon);
}

TEST_CASE("base checkpoint: narrow dtypes round to nearest") {
  const test::Folder folder;
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  for (const auto& [dtype, ulp] : {std::pair{Dtype::BF16, 0x1p-8}, std::pair{Dtype::F16, 0x1p-11}}) {
    save_base(*base, folder.path(), {.dtype = dtype});
    CHECK(TensorFile::open(folder / "model.safetensors").info("backbone.norm_f.weight").dtype == dtype);
    const auto again = load_base<TinyAny>(folder.path());
    const double largest = difference(*base, *again);
    CHECK(largest <= (dtype == Dtype::F16 ? 4.0 * ulp : ulp));  // F16: some are subnormal
    CHECK(largest > ulp / 8.0);
    save_base(*again, folder.path(), {.dtype = dtype});
    CHECK(fingerprint(*load_base<TinyAny>(folder.path())) == fingerprint(*again));
  }
  auto wide = rough_base<TinyAny, float>(tiny_dimensions);
  wide->layer(0).D.data[0] = 1e6F;
  const std::string before = test::content(folder / "model.safetensors");
  check_error<ArgumentError>([&] { save_base(*wide, folder.path(), {.dtype = Dtype::F16}); },
                             {"mixer.D", "F16"});
  wide->layer(0).D.data[0] = std::numeric_limits<float>::quiet_NaN();
  check_error<Error>([&] { save_base(*wide, folder.path()); }, {"mixer.D", "not finite", "element 0"});
  CHECK(test::content(folder / "model.safetensors") == before);
  CHECK(folder.entries() == 2);
}

TEST_CASE("base checkpoint: new weights never stand beside the config.json of other ones") {
  const test::Folder folder;
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  save_base(*base, folder.path(), {.tokenizer = "byte"});
  // A directory under the weights' name: they cannot be written, and the run ends there.
  std::filesystem::remove(folder / "model.safetensors");
  std::filesystem::create_directory(folder / "model.safetensors");
  CHECK_THROWS_AS(save_base(*base, folder.path(), {.tokenizer = "byte"}), FileError);
  const std::string config = test::content(folder / "config.json");
  CHECK_THROWS_AS(save_base(*base, folder.path()), FileError);
  CHECK(test::content(folder / "config.json") == config);
  CHECK(folder.entries() == 2);

  folder.write("file", "");
  check_error<FileError>([&] { save_base(*base, folder / "file"); },
                         {(folder / "file").string(), "directory"});
}

TEST_CASE("base checkpoint: a full disk leaves the one that stood there whole") {
  const test::Folder folder;
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  save_base(*base, folder.path(), {.tokenizer = "byte"});
  const std::string config = test::content(folder / "config.json");
  const std::string weights = test::content(folder / "model.safetensors");
  // No file may grow beyond a size between those of the two.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{config.size() + 1000, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string text = test::error_of<FileError>([&] { save_base(*base, folder.path()); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, ignored);
  CHECK(text.find("check the free space") != std::string::npos);
  CHECK(test::content(folder / "config.json") == config);
  CHECK(test::content(folder / "model.safetensors") == weights);
  CHECK(folder.entries() == 2);

  // A process that is killed there leaves what is found by the names of the two.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    std::signal(SIGXFSZ, SIG_DFL);
    ::setrlimit(RLIMIT_FSIZE, &small);
    save_base(*base, folder.path());
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(folder.entries() > 2);
  remove_leftovers(folder / "config.json");
  remove_leftovers(folder / "model.safetensors");
  CHECK(folder.entries() == 2);
  CHECK(test::content(folder / "model.safetensors") == weights);
}

TEST_CASE("base checkpoint: what save_pretrained writes loads, and the state-spaces style") {
  const auto one = load_base<presets::AnyMamba>(reference("one_layer"));
  CHECK(one->dimensions().d_model == 8);
  CHECK(one->dimensions().dt_rank == 1);  // "auto"
  const auto two = load_base<presets::AnyMamba>(reference("two_layers"));
  CHECK(two->dimensions().d_model == 13);
  CHECK(two->dimensions().n_layer == 2);
  CHECK(two->dimensions().dt_rank == 3);
  CHECK(two->dimensions().vocab_size == 37);
  const auto three = load_base<presets::AnyMamba>(reference("three_layers"));
  CHECK(three->dimensions().n_layer == 3);
  const TensorFile file = TensorFile::open(reference("three_layers") / "model.safetensors");
  const auto x_proj = file.read<float>("backbone.layers.2.mixer.x_proj.weight");
  CHECK(three->layer(2).x_proj(1, 2) == x_proj[1 * 36 + 2]);
  const float A_log = file.read<float>("backbone.layers.2.mixer.A_log")[5 * 16 + 3];
  CHECK(three->A(2)(5, 3) == doctest::Approx(-std::exp(A_log)).epsilon(1e-6));

  const auto original = load_base<presets::AnyMamba>(reference("original_keys"));
  CHECK(original->dimensions().vocab_size == 32);  // 29, padded
  const test::Folder folder;
  save_base(*original, folder.path());  // in the other style
  CHECK(fingerprint(*load_base<presets::AnyMamba>(folder.path())) == fingerprint(*original));
}

TEST_CASE("base checkpoint: a stored head is the embedding or the model's own") {
  Checkpoint c;
  const std::string embedding = "backbone.embeddings.weight";
  c.tensors["lm_head.weight"] = c.tensors.at(embedding);
  c.write();
  CHECK(difference(*c.load(), *rough_base<TinyAny, float>(tiny_dimensions)) == 0.0);
  c.tensors["lm_head.weight"].second[18 * 10 + 9] += 1.0F;
  c.write();
  const auto own = c.load();  // though config.json has it tied
  CHECK_FALSE(own->dimensions().tied_head);
  CHECK(own->head()(18, 9) == own->embedding()(18, 9) + 1.0F);
  CHECK(own->head()(17, 9) == own->embedding()(17, 9));
  c.tensors["lm_head.weight"] = {{1, 10}, std::vector<float>(10)};
  c.write();
  c.check_refused("model.safetensors", {"lm_head.weight", "[19, 10]", "[1, 10]"});

  c.set("tie_word_embeddings", false);
  c.check_refused("model.safetensors", {"lm_head.weight", "[19, 10]", "[1, 10]"});
  c.tensors["lm_head.weight"] = c.tensors.at(embedding);
  c.write();
  c.set("tie_word_embeddings", false);
  const auto equal = c.load();  // of its own, though the values are the same
  CHECK_FALSE(equal->dimensions().tied_head);
  CHECK(equal->head().data != equal->embedding().data);
  c.tensors.erase("lm_head.weight");
  c.write();
  c.set("tie_word_embeddings", false);
  c.check_refused("model.safetensors", {"lm_head.weight", "missing"});
}

TEST_CASE("base checkpoint: norms of dt, B and C, a head of its own and any inner width come back") {
  MambaDimensions m = tiny_dimensions;
  m.d_inner = 21;  // no multiple of d_model
  m.mixer_norm_epsilon = 3e-4;
  m.tied_head = false;
  const auto base = rough_base<presets::AnyMamba, float>(m);
  const test::Folder folder;
  save_base(*base, folder.path());
  const auto back = load_base<presets::AnyMamba>(folder.path());
  CHECK(back->dimensions() == m);
  CHECK(fingerprint(*back) == fingerprint(*base));
  CHECK(back->head()(18, 9) == base->head()(18, 9));
  const MambaModel<presets::AnyMamba, presets::NothingTrains> before(base), after(back);
  const Batch batch = some_batch({7, 1, 3});
  CHECK(before.loss(batch).sum == after.loss(batch).sum);
  check_error<FileError>([&] { load_base<TinyAny>(folder.path()); }, {"config.json", "intermediate_size"});
}

TEST_CASE("base checkpoint: the weights decide sizes that config.json does not say under its style's names") {
  const auto expected = rough_base<TinyAny, float>(tiny_dimensions);
  for (const char* said : {"time_step_rank", "state_size", "conv_kernel", "intermediate_size"}) {
    CAPTURE(said);
    const Checkpoint c;
    nlohmann::json config = nlohmann::json::parse(test::content(c.folder / "config.json"));
    config.erase(said);
    for (const char* stale : {"d_model", "n_layer", "d_inner", "dt_rank", "d_state", "d_conv"})
      config[stale] = 99;
    config["expand"] = 16;
    config["ssm_cfg"] = {{"d_state", 8}, {"d_conv", 3}, {"dt_rank", 7}, {"expand", 5}};
    c.folder.write("config.json", config.dump());
    CHECK(difference(*expected, *c.load()) == 0.0);
    const CheckpointConfig read = read_base_config(c.folder.path());
    CHECK(read.d_inner() == tiny_dimensions.d_inner);
    CHECK(read.dt_rank == tiny_dimensions.dt_rank);
  }
}

TEST_CASE("base checkpoint: names before which there is another part than backbone, or none") {
  const auto expected = rough_base<TinyAny, float>(tiny_dimensions);
  for (const std::string prefix : {"", "model.", "model.backbone.", "a.norm_f.weight."}) {
    CAPTURE(prefix);
    Checkpoint c;
    auto tensors = std::move(c.tensors);
    c.tensors.clear();
    for (auto& [name, tensor] : tensors)
      c.tensors[prefix + name.substr(std::string("backbone.").size())] = std::move(tensor);
    c.write();
    CHECK(difference(*expected, *c.load()) == 0.0);
    // A head of its own beside them.
    const std::string head = prefix == "model.backbone." ? "model.lm_head.weight" : "lm_head.weight";
    c.tensors[head] = c.tensors.at(prefix + "embeddings.weight");
    c.tensors[head].second[0] += 1.0F;
    c.write();
    CHECK(c.load()->head()(0, 0) == expected->embedding()(0, 0) + 1.0F);
    c.tensors["backbone.norm.weight"] = {{1}, {1.0F}};
    c.write();
    c.check_refused("model.safetensors", {"backbone.norm.weight", "besides"});
  }
}

TEST_CASE("base checkpoint: the original style's vocabulary is padded or not, as the weights have it") {
  Checkpoint c;
  c.folder.write("config.json",
                 R"({"d_model": 10, "n_layer": 2, "vocab_size": 19, "ssm_cfg": {"dt_rank": 3}})");
  CHECK(c.load()->dimensions().vocab_size == 19);
  auto& embedding = c.tensors.at("backbone.embeddings.weight");
  embedding.first[0] = 24;
  embedding.second.resize(240);
  c.write();
  CHECK(load_base<presets::AnyMamba>(c.folder.path())->dimensions().vocab_size == 24);
  CHECK(read_base_config(c.folder.path()).unpadded_vocab_size == 19);
}

TEST_CASE("base checkpoint: what is no checkpoint is named, with what to do") {
  const auto refused = [](const std::filesystem::path& path, std::initializer_list<std::string> parts) {
    check_error<FileError>([&] { (void)read_base_config(path); }, {path.string()});
    check_error<FileError>([&] { (void)read_base_config(path); }, parts);
  };
  refused("state-spaces/mamba-130m-hf",
          {"no such folder", "hf download state-spaces/mamba-130m-hf --local-dir mamba-130m-hf"});
  const test::Folder folder;
  refused(folder / "absent", {"no such folder; give a checkpoint's"});
  std::filesystem::create_directory(folder / "snapshots");
  refused(folder.path(), {"a cache of the hub", "snapshots/"});
  folder.write("adapter_config.json", "{}");
  refused(folder.path(), {"found an adapter", "its base"});

  const Checkpoint c;
  c.folder.write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n");
  c.check_refused("model.safetensors", {"git-lfs", "git lfs pull"});
  std::filesystem::remove(c.folder / "model.safetensors");
  c.folder.write("pytorch_model.bin", "PK");
  refused(c.folder.path(), {"found pytorch_model.bin", "python3 -c", "torch.load", "save_file"});
}

TEST_CASE("base checkpoint: tensors that are missing, too many, misshapen or not finite") {
  const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : Checkpoint().tensors) all.push_back(name);
    return all;
  }();
  CHECK(names.size() == 22);
  for (const std::string& name : names) {
    CAPTURE(name);
    Checkpoint c;
    const auto kept = c.tensors.at(name);
    c.tensors.erase(name);
    c.write();
    c.check_refused("model.safetensors", {name, "missing"});
    c.tensors[name] = {{kept.second.size(), 1, 1, 1}, kept.second};
    c.write();
    c.check_refused("model.safetensors",
                    {name, "expected shape", "found [" + std::to_string(kept.second.size())});
    c.tensors[name] = kept;
    c.tensors[name].second.back() = -std::numeric_limits<float>::infinity();
    c.write();
    c.check_refused("model.safetensors",
                    {name, "element " + std::to_string(kept.second.size() - 1), "-infinity"});
  }
  Checkpoint c;
  c.tensors["backbone.layers.2.norm.weight"] = c.tensors.at("backbone.layers.1.norm.weight");
  c.write();
  c.check_refused("model.safetensors", {"backbone.layers.2.norm.weight", "2 layers", "besides"});
  // A name for no terminal, and a longer one than any message needs.
  c.tensors.erase("backbone.layers.2.norm.weight");
  c.tensors[std::string("a\0b\x1b[31m", 8) + std::string(100'000, 'x')] = {{1}, {1.0F}};
  c.write();
  try {
    c.load();
    FAIL("accepted");
  } catch (const FileError& error) {
    const std::string text = error.what();
    CAPTURE(text);
    CHECK(text.size() < 1000);
    CHECK(text.find("a\\x00b\\x1b[31mxxx") != std::string::npos);
    CHECK(text.find("besides") != std::string::npos);
  }
}

TEST_CASE("base checkpoint: a config.json that contradicts the weights, however large") {
  for (const std::uint64_t size : {std::uint64_t{9}, std::uint64_t{1} << 24, std::uint64_t{1} << 63}) {
    for (const char* key : {"hidden_size", "num_hidden_layers", "vocab_size", "time_step_rank"}) {
      CAPTURE(key);
      CAPTURE(size);
      const Checkpoint c;
      c.set(key, size);
      if (std::string(key) == "hidden_size") c.set("intermediate_size", 2 * size);
      const std::string text = test::error_of<FileError>([&] { c.load(); });
      CHECK(text.find(c.folder.path().string()) != std::string::npos);
    }
  }
  const auto field = [](const char* key, auto value, std::initializer_list<std::string> parts) {
    const Checkpoint c;
    c.set(key, value);
    c.check_refused("config.json", {std::string("field ") + key});
    c.check_refused("config.json", parts);
  };
  field("state_size", 8, {"expected 16", "found 8"});
  field("conv_kernel", 3, {"expected 4", "found 3"});
  field("use_conv_bias", false, {"expected true", "found false"});
  field("hidden_act", "gelu", {"\"silu\"", "\"gelu\""});
  field("intermediate_size", 21, {"20", "21"});
  field("num_hidden_layers", -1, {"-1"});
  const Checkpoint c;
  c.set("expand", 4);
  c.set("intermediate_size", 40);
  c.check_refused("config.json", {"field expand", "expected 2", "found 4"});
}

TEST_CASE("base checkpoint: biases of in_proj and out_proj are read where config.json says so") {
  Checkpoint c;
  c.set("use_bias", true);
  c.check_refused("model.safetensors", {"backbone.layers.0.mixer.in_proj.bias", "missing"});
  for (const std::string layer : {"backbone.layers.0.mixer.", "backbone.layers.1.mixer."}) {
    c.tensors[layer + "in_proj.bias"] = {{40}, std::vector<float>(40, 0.5F)};
    c.tensors[layer + "out_proj.bias"] = {{10}, std::vector<float>(10, -0.25F)};
  }
  c.write();
  const auto base = c.load();
  CHECK(base->dimensions().use_bias);
  CHECK(base->layer(1).in_proj_bias(0, 39) == 0.5F);
  CHECK(base->layer(0).out_proj_bias(0, 0) == -0.25F);
  const test::Folder again;
  save_base(*base, again.path());
  CHECK(difference(*base, *load_base<TinyAny>(again.path())) == 0.0);

  c.set("use_bias", false);
  c.check_refused("model.safetensors", {"mixer.in_proj.bias", "found this one besides"});
  c.set("use_bias", true);
  c.tensors["backbone.layers.1.mixer.in_proj.bias"] = {{20}, std::vector<float>(20, 0.5F)};
  c.write();
  c.check_refused("model.safetensors", {"backbone.layers.1.mixer.in_proj.bias", "40", "20"});
}

TEST_CASE("base checkpoint: a type of other sizes than the checkpoint's is refused") {
  const Checkpoint c;
  check_error<ArgumentError>([&] { load_base<Wide>(c.folder.path()); }, {"d_model", "12", "10", "AnyMamba"});
}

TEST_CASE("base checkpoint: files that are missing or cut short") {
  const test::Folder none;
  check_error<FileError>([&] { load_base<TinyAny>(none / "absent"); }, {(none / "absent").string()});
  check_error<FileError>([&] { load_base<TinyAny>(none.path()); }, {"config.json"});
  Checkpoint c;
  check_error<FileError>([&] { load_base<TinyAny>(c.folder / "config.json"); },
                         {(c.folder / "config.json").string(), "directory", "found a file"});
  const std::string whole = test::content(c.folder / "model.safetensors");
  for (std::size_t size = 0; size < whole.size(); size += 997) {
    c.folder.write("model.safetensors", whole.substr(0, size));
    c.check_refused("model.safetensors", {});
  }
  std::filesystem::remove(c.folder / "model.safetensors");
  check_error<FileError>([&] { c.load(); }, {c.folder.path().string(), "model.safetensors"});
  // A layer too many in config.json, with tensors of no values where it is looked for.
  const Checkpoint d;
  d.set("num_hidden_layers", 3);
  d.check_refused("model.safetensors", {"backbone.layers.2.norm.weight", "missing"});
}
