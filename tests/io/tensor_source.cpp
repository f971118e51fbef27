#include <cstdint>
#include <sdlora/io/safetensors_writer.hpp>
#include <sdlora/io/tensor_source.hpp>
#include <string>
#include <vector>

#include "safetensors_support.hpp"
#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

/// Writes tensors of one value each.
void save(const std::filesystem::path& path, const std::vector<std::pair<std::string, float>>& tensors) {
  SafetensorsWriter writer;
  for (const auto& [name, value] : tensors) {
    writer.add(name, Dtype::F32, {1}, std::span<const float>(&value, 1));
  }
  writer.save(path);
}

constexpr const char* index_name = "model.safetensors.index.json";

}  // namespace

TEST_CASE("a directory, a file and an index open alike") {
  const test::Folder folder;
  save(folder / "model.safetensors", {{"a", 1.0f}, {"b", 2.0f}});
  for (const auto& path : {folder.path(), folder / "model.safetensors"}) {
    const auto source = TensorSource::open(path);
    CHECK(source.names() == std::vector<std::string>{"a", "b"});
    CHECK(source.path() == (folder / "model.safetensors").string());
    CHECK(source.read<float>("b") == std::vector<float>{2});
  }

  const test::Folder sharded;
  save(sharded / "x.safetensors", {{"b", 2.0f}});
  save(sharded / "y.safetensors", {{"a", 1.0f}, {"c", 3.0f}});
  sharded.write(index_name, R"({"metadata":{"total_size":12},"weight_map":)"
                            R"({"a":"y.safetensors","b":"x.safetensors","c":"y.safetensors"}})");
  for (const auto& path : {sharded.path(), sharded / index_name}) {
    const auto source = TensorSource::open(path);
    CHECK(source.names() == std::vector<std::string>{"a", "b", "c"});
    CHECK(source.size() == 3);
    for (const auto& [name, value] : {std::pair{"a", 1.0f}, {"b", 2.0f}, {"c", 3.0f}}) {
      REQUIRE(source.contains(name));
      CHECK(source.read<float>(name) == std::vector<float>{value});
      CHECK(source.info(name).shape == std::vector<std::size_t>{1});
      float read = 0;
      source.read(name, std::span(&read, 1));
      CHECK(read == value);
      source.read_part(name, 0, std::span(&read, 1));
      CHECK(read == value);
    }
    CHECK(source.file_of("b").path() == (sharded / "x.safetensors").string());
    CHECK_FALSE(source.contains("d"));
    check_error<FileError>([&] { (void)source.info("d"); }, {index_name, "tensor \"d\"", "missing"});
    check_error<FileError>([&] { source.require_shape("a", std::vector<std::size_t>{2}); },
                           {"y.safetensors", "[2]"});
  }
}

TEST_CASE("an index in the current folder finds its shards") {
  const test::Folder folder;
  save(folder / "x.safetensors", {{"a", 1.0f}});
  folder.write(index_name, R"({"weight_map":{"a":"x.safetensors"}})");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  CHECK(TensorSource::open(index_name).read<float>("a") == std::vector<float>{1});
  CHECK(TensorSource::open(".").read<float>("a") == std::vector<float>{1});
  std::filesystem::current_path(before);
}

TEST_CASE("directories without a checkpoint say what is missing") {
  const test::Folder folder;
  check_error<FileError>([&] { (void)TensorSource::open(folder / "absent"); }, {"absent", "no such file"});
  check_error<FileError>([&] { (void)TensorSource::open(folder.path()); },
                         {folder.path().string(), "model.safetensors.index.json", "neither"});
  // Whole, and in shards: a recipe for the file that is there.
  for (const char* name : {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin"}) {
    CAPTURE(name);
    std::filesystem::remove(folder / "pytorch_model.bin");
    folder.write(name, "x");
    check_error<FileError>(
        [&] { (void)TensorSource::open(folder.path()); },
        {"found pytorch_model.bin", "python3 -c '", "pytorch_model*.bin", "contiguous().clone()",
         "/model.safetensors", "' '" + folder.path().string() + "'"});
  }
  const auto quote = folder / "it's";
  std::filesystem::create_directory(quote);
  folder.write("it's/pytorch_model.bin", "x");
  check_error<FileError>([&] { (void)TensorSource::open(quote); }, {"/it'\\''s'"});
}

TEST_CASE("bad indexes are refused") {
  const test::Folder folder;
  const test::Folder outside;
  save(folder / "x.safetensors", {{"a", 1.0f}});
  save(folder / "y.safetensors", {{"b", 1.0f}, {"c", 1.0f}});
  save(outside / "z.safetensors", {{"a", 1.0f}});
  const auto refused = [&](const std::string& text, std::initializer_list<std::string> parts) {
    folder.write(index_name, text);
    INFO(text);
    check_error<FileError>([&] { (void)TensorSource::open(folder.path()); }, {folder.path().string()});
    check_error<FileError>([&] { (void)TensorSource::open(folder.path()); }, parts);
  };
  refused("", {index_name, "found nothing"});
  refused("[]", {index_name, "an object"});
  refused("{}", {index_name, "weight_map", "missing"});
  refused(R"({"weight_map":[]})", {"weight_map", "found array"});
  refused(R"({"weight_map":{}})", {"weight_map", "found none"});
  refused(R"({"weight_map":{"a":1}})", {"field weight_map.a", "a string"});
  refused(R"({"weight_map":{"a":null}})", {"field weight_map.a"});
  refused(R"({"weight_map":{"a":"x.safetensors","a":"x.safetensors"}})", {"\"a\" stands twice", "line 1"});
  refused(R"({"weight_map":{"a":"w.safetensors"}})", {"w.safetensors", "missing"});
  refused(R"({"weight_map":{"a":"x.safetensors","b":"x.safetensors"}})",
          {"field weight_map.b", "x.safetensors", "does not hold it"});
  refused(R"({"weight_map":{"a":"x.safetensors","b":"y.safetensors"}})",
          {"y.safetensors", "tensor \"c\"", "not assigned"});
  folder.write("v.safetensors", "short");
  refused(R"({"weight_map":{"a":"v.safetensors"}})", {"v.safetensors", "byte 0"});
  // nothing outside of the folder is reached
  const std::string relative = "../" + outside.path().filename().string() + "/z.safetensors";
  REQUIRE(std::filesystem::exists(folder / relative));
  for (const std::string& name :
       {relative, (outside / "z.safetensors").string(), std::string("./x.safetensors"),
        std::string("sub\\\\x.safetensors"), std::string(""), std::string(".."), std::string("config.json"),
        std::string("x.safetensors\\u0000.safetensors"), std::string(300, 'x') + ".safetensors"}) {
    refused(R"({"weight_map":{"a":")" + name + R"("}})", {"field weight_map.a", "plain name"});
  }
  const std::string good = R"({"weight_map":{"a":"x.safetensors","b":"y.safetensors","c":"y.safetensors"}})";
  folder.write(index_name, good);
  CHECK(TensorSource::open(folder.path()).size() == 3);
  for (std::size_t length = 0; length < good.size(); ++length) refused(good.substr(0, length), {index_name});
}

TEST_CASE("the reference checkpoint that save_pretrained wrote") {
  const auto source = TensorSource::open(SDLORA_SOURCE_DIR "/tests/reference/data/two_layers");
  CHECK(source.metadata().at("format") == "pt");
  CHECK(source.size() == 2 + 2 * 10);  // embedding and final norm, ten of each layer, the head tied
  source.require_shape("backbone.embeddings.weight", std::vector<std::size_t>{37, 13});
  for (const auto& name : source.names())
    CHECK(source.read<float>(name).size() == source.info(name).elements());
}
