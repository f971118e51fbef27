// Bases that store their matrices as bfloat16 or int8, from checkpoints of either precision: no copy in float
// is made on the way.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/model/fingerprint.hpp>
#include <sdlora/tensor/emulated.hpp>

#include "support.hpp"
#include "support/counted_allocations.hpp"
#include "support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr LoadBaseOptions as_bfloat16{.weights = StoredType::BFloat16};
constexpr LoadBaseOptions as_int8{.weights = StoredType::Int8};

/// The names and bits of all values.
template <class B>
std::string bits_of(const B& base) {
  std::string all;
  const auto add = [&](const auto& values) {
    all.append(reinterpret_cast<const char*>(values.data), values.rows * values.cols * sizeof(*values.data));
  };
  base.visit(Overloaded{[&](const std::string& name, const auto& values, const auto&) {
                          all += name;
                          add(values);
                        },
                        [&](const std::string& name, const auto& values, const auto& scales, const auto&) {
                          all += name;
                          add(values);
                          add(scales);
                        }});
  return all;
}

/// Sizes of which the matrices are most: 3 Mi values.
MambaDimensions large() {
  MambaDimensions m = tiny_dimensions;
  m.d_model = 128;
  m.d_inner = 256;
  m.n_layer = 3;
  m.vocab_size = 20011;
  return m;
}

}  // namespace

TEST_CASE("base weights: a float32 checkpoint is rounded once per value") {
  const test::Folder folder;
  const auto base = rough_base<TinyFalcon, float>(dimensions(TinyFalcon::config));
  save_base(*base, folder.path());
  const auto loaded = load_base<TinyFalcon>(folder.path(), as_bfloat16);
  CHECK(loaded->weights() == StoredType::BFloat16);
  CHECK(bits_of(*loaded) == bits_of(base->stored_as(StoredType::BFloat16)));
  CHECK(fingerprint(*loaded) != fingerprint(*base));
  CHECK(load_base<TinyFalcon>(folder.path())->weights() == StoredType::Scalar);
  const auto there = load_base<TinyFalcon, float, Emulated>(folder.path(), as_bfloat16);
  CHECK(bits_of(there->on_host()) == bits_of(*loaded));
  CHECK_THROWS_WITH_AS((load_base<TinyFalcon, double>(folder.path(), as_bfloat16)),
                       doctest::Contains("Base of float"), ArgumentError);
}

TEST_CASE(
    "base weights: int8 is rounded from either precision, and written as the values that it stands for") {
  const auto base = rough_base<TinyFalcon, float>(dimensions(TinyFalcon::config));
  for (const Dtype dtype : {Dtype::F32, Dtype::BF16}) {
    const test::Folder folder;
    save_base(*base, folder.path(), {.dtype = dtype});
    const auto loaded = load_base<TinyFalcon>(folder.path(), as_int8);
    const auto floats = load_base<TinyFalcon>(folder.path());
    CHECK(loaded->weights() == StoredType::Int8);
    CHECK(bits_of(*loaded) == bits_of(floats->stored_as(StoredType::Int8)));
    CHECK(fingerprint(*loaded) != fingerprint(*floats));
    const auto there = load_base<TinyFalcon, float, Emulated>(folder.path(), as_int8);
    CHECK(bits_of(there->on_host()) == bits_of(*loaded));
    save_base(*loaded, folder / "again");
    const auto again = load_base<TinyFalcon>(folder / "again");
    CHECK(bits_of(*again) == bits_of(loaded->stored_as(StoredType::Scalar)));
    CHECK(fingerprint(*again) == fingerprint(*loaded));
    save_base(*loaded, folder / "rounded", {.dtype = Dtype::BF16});
    save_base(loaded->stored_as(StoredType::Scalar), folder / "expected", {.dtype = Dtype::BF16});
    CHECK(bits_of(*load_base<TinyFalcon>(folder / "rounded")) ==
          bits_of(*load_base<TinyFalcon>(folder / "expected")));
    CHECK_THROWS_WITH_AS((load_base<TinyFalcon, double>(folder.path(), as_int8)),
                         doctest::Contains("Base of float"), ArgumentError);
  }
}

TEST_CASE("base weights: a bfloat16 checkpoint keeps its values, there and back") {
  const test::Folder folder;
  const auto base = rough_base<TinyFalcon, float>(dimensions(TinyFalcon::config));
  save_base(*base, folder.path(), {.dtype = Dtype::BF16});
  const auto loaded = load_base<TinyFalcon>(folder.path(), as_bfloat16);
  const auto floats = load_base<TinyFalcon>(folder.path());
  CHECK(fingerprint(*loaded) == fingerprint(*floats));
  for (const Dtype dtype : {Dtype::BF16, Dtype::F32}) {
    save_base(*loaded, folder / "again", {.dtype = dtype});
    const auto file = TensorFile::open(folder / "again" / "model.safetensors");
    CHECK(file.info("backbone.layers.1.mixer.x_proj.weight").dtype == dtype);
    CHECK(bits_of(*load_base<TinyFalcon>(folder / "again", as_bfloat16)) == bits_of(*loaded));
    CHECK(bits_of(*load_base<TinyFalcon>(folder / "again")) == bits_of(*floats));
  }
}

TEST_CASE("base weights: loading allocates what the base takes, and no copy in float") {
  const test::Folder folder;
  save_base(Base<presets::AnyMamba>::random(large(), 3), folder.path(), {.dtype = Dtype::BF16});
  const auto loaded_bytes = [&](const LoadBaseOptions& options) {
    const std::size_t before = new_bytes.load();
    const auto base = load_base<presets::AnyMamba>(folder.path(), options);
    const std::size_t found = new_bytes.load() - before;
    if (counting) {
      CHECK(found >= base->bytes());
      // Besides the base: blocks of 64 Ki floats, the header, names.
      const std::size_t blocks = base->weights() == StoredType::Scalar ? 0 : 13 * 4 * (std::size_t{1} << 16);
      CHECK(found <= base->bytes() + blocks + (std::size_t{1} << 19));
    }
    return base->bytes();
  };
  const std::size_t rounded = loaded_bytes(as_bfloat16), floats = loaded_bytes({});
  const std::size_t narrow = loaded_bytes(as_int8);
  CHECK(static_cast<double>(rounded) < 0.53 * static_cast<double>(floats));
  CHECK(static_cast<double>(narrow) < 0.31 * static_cast<double>(floats));
}

TEST_CASE("base weights: matrices that are read in many blocks") {
  const test::Folder folder;
  save_base(Base<presets::AnyMamba>::random(large(), 3), folder.path());
  const auto floats = load_base<presets::AnyMamba>(folder.path());
  for (const LoadBaseOptions& options : {as_bfloat16, as_int8}) {
    CHECK(bits_of(*load_base<presets::AnyMamba>(folder.path(), options)) ==
          bits_of(floats->stored_as(options.weights)));
  }
}

TEST_CASE("base weights: values that bfloat16 cannot hold") {
  const test::Folder folder;
  auto base = rough_base<TinyAny, float>(tiny_dimensions);
  base->layer(1).out_proj(2, 3) = 3.4e38F;  // the next of bfloat16 is infinite
  save_base(*base, folder.path());
  CHECK_NOTHROW(load_base<TinyAny>(folder.path()));
  test::check_error<FileError>([&] { load_base<TinyAny>(folder.path(), as_bfloat16); },
                               {"layers.1.mixer.out_proj.weight", "element 43", "bfloat16", "float weights"});
  auto stored = base->stored_as(StoredType::BFloat16);
  test::check_error<Error>([&] { save_base(stored, folder.path()); },
                           {"out_proj", "not finite", "element 43", "nothing was written"});
}
