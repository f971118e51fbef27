#include "target.hpp"

#include <sdlora/io/safetensors.hpp>
#include <sdlora/io/tensor_source.hpp>

namespace fuzz_safetensors {

using namespace sdlora;

/// Reads every tensor as every type.
template <class Source>
void read_all(const Source& source) {
  for (const std::string& name : source.names()) {
    fuzz::accepted([&] { (void)source.template read<float>(name); });
    fuzz::accepted([&] { (void)source.template read<double>(name, {.require_finite = false}); });
    fuzz::accepted([&] { (void)source.template read<std::int32_t>(name); });
    fuzz::accepted([&] { (void)source.template read<std::int64_t>(name); });
  }
}

void read_file(std::string_view input) {
  const TensorFile file = TensorFile::open(fuzz::write("a.safetensors", input));
  for (const std::string& name : file.names()) (void)file.bytes(name);
  read_all(file);
}

/// The index that the first line is, and beside it a good file and the one that follows.
void read_index(std::string_view input) {
  static const std::string good = fuzz::content(fuzz::reference("peft_embedding/adapter_model.safetensors"));
  const std::string_view index = fuzz::first_line(input);
  fuzz::write("good.safetensors", good);
  fuzz::write("other.safetensors", input);
  read_all(TensorSource::open(fuzz::write("model.safetensors.index.json", index)));
}

std::vector<std::string> files() {
  return {fuzz::content(fuzz::reference("peft_embedding/adapter_model.safetensors"))};
}

std::vector<std::string> indices() {
  std::string map;
  const auto other = fuzz::reference("peft_a_log/adapter_model.safetensors");
  for (const auto& [shard, path] :
       {std::pair("good", fuzz::reference("peft_embedding/adapter_model.safetensors")), {"other", other}}) {
    for (const std::string& name : TensorFile::open(path).names())
      map += (map.empty() ? "\"" : ", \"") + name + "\": \"" + shard + ".safetensors\"";
  }
  return {fuzz::with_line("{\"weight_map\": {" + map + "}}", fuzz::content(other))};
}

[[maybe_unused]] const bool added =
    fuzz::add({"safetensors", fuzz::Parts::safetensors, read_file, files}) &&
    fuzz::add({"index", fuzz::Parts::json_and_safetensors, read_index, indices});

}  // namespace fuzz_safetensors
