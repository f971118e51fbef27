#include <doctest/doctest.h>

#include <sdlora/model/fingerprint.hpp>

#include <string>

using namespace sdlora;

namespace {

struct Small {
  static constexpr MambaConfig config{.d_model = 6, .n_layer = 2, .vocab_size = 11};
};

constexpr MambaDimensions small = dimensions(Small::config);

}  // namespace

TEST_CASE("the fingerprint names a base, whatever its types and the number of threads") {
  const auto base = Base<Small>::random(small, 3);
  const std::uint64_t value = fingerprint(base);
  CHECK(value == fingerprint(Base<Small>::random(small, 3)));
  CHECK(value == fingerprint(Base<presets::AnyMamba>::random(small, 3)));
  CHECK(value == fingerprint(Base<Small, double>::random(small, 3)));
  CHECK(value != fingerprint(Base<Small>::random(small, 4)));
  const std::size_t threads = thread_count();
  set_thread_count(3);
  CHECK(value == fingerprint(base));
  set_thread_count(threads);
}

TEST_CASE("every single weight is in the fingerprint") {
  auto base = Base<Small>::random(small, 3);
  const std::uint64_t value = fingerprint(base);
  std::size_t tensors = 0;
  base.visit([&](const std::string& name, MatrixView<float> values, const std::vector<std::size_t>&) {
    CAPTURE(name);
    ++tensors;
    for (std::size_t i = 0; i < values.rows * values.cols; i += 7) {
      const float kept = values.data[i];
      values.data[i] += 0.25F;
      CHECK(fingerprint(base) != value);
      values.data[i] = kept;
    }
  });
  CHECK(tensors == 2 + 2 * 10);
  CHECK(fingerprint(base) == value);
  // Exchanging two values of one tensor shows.
  std::swap(base.embedding()(0, 0), base.embedding()(0, 1));
  CHECK(fingerprint(base) != value);
}

TEST_CASE("a Mamba's fingerprint stays what it was: adapters carry it") {
  Base<Small> base(small);
  float next = 0.0F;
  base.visit([&](const std::string&, MatrixView<float> values, const std::vector<std::size_t>&) {
    for (std::size_t i = 0; i < values.rows * values.cols; ++i) values.data[i] = 0.5F * (next += 1.0F);
  });
  CHECK(fingerprint_text(fingerprint(base)) == "7a0859fbf62446d1");
}

TEST_CASE("norms of dt, B and C and a head of its own are in the fingerprint") {
  using Any = Base<presets::AnyMamba>;
  MambaDimensions own = small, normed = small;
  own.tied_head = false;
  normed.mixer_norm_epsilon = 1e-6;
  const std::uint64_t plain = fingerprint(Any::random(small, 3));
  auto base = Any::random(own, 3);
  CHECK(fingerprint(base) != plain);
  const std::uint64_t before = fingerprint(base);
  base.head()(10, 5) += 0.25F;
  CHECK(fingerprint(base) != before);
  const std::uint64_t value = fingerprint(Any::random(normed, 3));
  CHECK(value != plain);
  normed.mixer_norm_epsilon = 1e-5;
  CHECK(fingerprint(Any::random(normed, 3)) != value);
}

TEST_CASE("norm_epsilon is in the fingerprint, as float32") {
  MambaDimensions other = small;
  other.norm_epsilon = 1e-6;
  CHECK(fingerprint(Base<Small>::random(other, 3)) != fingerprint(Base<Small>::random(small, 3)));
  other.norm_epsilon = static_cast<double>(1e-5F);
  CHECK(other.norm_epsilon != small.norm_epsilon);
  CHECK(fingerprint(Base<Small, double>::random(other, 3)) == fingerprint(Base<Small>::random(small, 3)));
}

TEST_CASE("a fingerprint is written as 16 hexadecimal digits") {
  CHECK(fingerprint_text(0) == "0000000000000000");
  CHECK(fingerprint_text(0x0123456789abcdefU) == "0123456789abcdef");
  CHECK(fingerprint_text(~std::uint64_t{0}) == "ffffffffffffffff");
}
