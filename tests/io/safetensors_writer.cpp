#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sdlora/io/safetensors_writer.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

template <class T>
std::span<const T> view(const std::vector<T>& values) {
  return values;
}

}  // namespace

TEST_CASE("what is written is read back") {
  const test::Folder folder;
  const auto path = folder / "m.safetensors";
  for (const std::size_t size : {1u, 7u, 16384u, 16385u, 40001u}) {
    std::vector<float> floats(size);
    std::vector<double> doubles(size);
    std::vector<std::int64_t> wide(size);
    std::vector<std::int32_t> narrow(size);
    for (std::size_t i = 0; i < size; ++i) {
      floats[i] = std::sin(static_cast<float>(i)) * 100;
      doubles[i] = std::cos(static_cast<double>(i)) * 1e-30;
      wide[i] = (static_cast<std::int64_t>(i) << 40) - 3;
      narrow[i] = -static_cast<std::int32_t>(i);
    }
    SafetensorsWriter writer;
    writer.set_metadata("format", "pt");
    writer.set_metadata("k\"\\\n", "\xC3\xA9\x01");
    writer.add("h", Dtype::F16, {size}, view(floats));
    writer.add("b", Dtype::BF16, {1, size, 1}, view(floats));
    writer.add("f", Dtype::F32, {size, 1}, view(floats));
    writer.add("d", Dtype::F64, {size}, view(doubles));
    writer.add("df", Dtype::F32, {size}, view(doubles));
    writer.add("fd", Dtype::F64, {size}, view(floats));
    writer.add("l", Dtype::I64, {size}, view(wide));
    writer.add("il", Dtype::I64, {size}, view(narrow));
    writer.add("i", Dtype::I32, {size}, view(narrow));
    writer.add("none", Dtype::F32, {3, 0}, std::span<const float>());
    writer.add("one", Dtype::F32, {}, view(floats).first(1));
    writer.add("name \"\xC3\xA9\n", Dtype::I32, {1}, view(narrow).first(1));
    CHECK(writer.size() == 12);
    writer.save(path);

    const std::string bytes = test::content(path);
    CHECK(static_cast<unsigned char>(bytes[0]) % 8 == 0);  // the header is padded
    const auto file = TensorFile::open(path);
    REQUIRE(file.size() == 12);
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.metadata().at("k\"\\\n") == "\xC3\xA9\x01");
    CHECK(file.read<float>("f") == floats);
    CHECK(file.info("f").shape == std::vector<std::size_t>{size, 1});
    CHECK(file.info("b").shape == std::vector<std::size_t>{1, size, 1});
    CHECK(file.read<double>("d") == doubles);
    CHECK(file.read<float>("fd") == floats);
    CHECK(file.read<std::int64_t>("l") == wide);
    CHECK(file.read<std::int32_t>("il") == narrow);
    CHECK(file.read<std::int32_t>("i") == narrow);
    CHECK(file.read<float>("none").empty());
    CHECK(file.read<float>("one") == std::vector<float>{floats[0]});
    CHECK(file.contains("name \"\xC3\xA9\n"));
    const auto half = file.read<float>("h"), brain = file.read<float>("b"),
               from_double = file.read<float>("df");
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < size; ++i) {
      wrong += !(std::abs(half[i] - floats[i]) <= std::abs(floats[i]) * std::ldexp(1.0f, -11) + 1e-7f);
      wrong += !(std::abs(brain[i] - floats[i]) <= std::abs(floats[i]) * std::ldexp(1.0f, -8));
      wrong += from_double[i] != static_cast<float>(doubles[i]);
    }
    CHECK(wrong == 0);
    // Every tensor begins at a multiple of its element size.
    for (const auto& name : file.names()) {
      const auto offset = file.bytes(name).data() - file.bytes("d").data();
      CHECK(offset % static_cast<std::ptrdiff_t>(dtype_bytes(file.info(name).dtype)) == 0);
    }
  }
}

TEST_CASE("no tensors at all is a file too") {
  const test::Folder folder;
  SafetensorsWriter{}.save(folder / "m");
  CHECK(TensorFile::open(folder / "m").size() == 0);
}

TEST_CASE("producers are called one at a time, in the turn of their tensors") {
  const test::Folder folder;
  std::vector<float> scratch;  // one buffer for all
  SafetensorsWriter writer;
  int calls = 0;
  for (int i = 0; i < 5; ++i) {
    writer.add<float>("t" + std::to_string(i), Dtype::F32, {static_cast<std::size_t>(i) + 1}, [&, i] {
      ++calls;
      scratch.assign(static_cast<std::size_t>(i) + 1, static_cast<float>(i));
      return std::span<const float>(scratch);
    });
  }
  CHECK(calls == 0);
  writer.save(folder / "m");
  CHECK(calls == 5);
  const auto file = TensorFile::open(folder / "m");
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(file.read<float>("t" + std::to_string(i)) == std::vector<float>(i + 1, static_cast<float>(i)));
  }
}

TEST_CASE("what cannot be written is refused, by name, and leaves nothing") {
  const test::Folder folder;
  const std::vector<float> values{1, 2, 3};
  SafetensorsWriter writer;
  writer.add("a", Dtype::F32, {3}, view(values));
  check_error<ArgumentError>([&] { writer.add("a", Dtype::F32, {3}, view(values)); }, {"\"a\"", "before"});
  check_error<ArgumentError>([&] { writer.add("b", Dtype::F32, {2, 2}, view(values)); },
                             {"\"b\"", "[2, 2]", "3"});
  CHECK_NOTHROW(writer.add("b", Dtype::F32, {1, 3}, view(values)));  // the failed one left nothing
  check_error<ArgumentError>([&] { writer.add("c", Dtype::I64, {3}, view(values)); }, {"\"c\"", "I64"});
  check_error<ArgumentError>([&] { writer.add("c", Dtype::U8, {3}, view(values)); }, {"\"c\"", "U8"});
  check_error<ArgumentError>([&] { writer.add("c", Dtype::F32, {1}, std::span<const std::int32_t>()); },
                             {"\"c\""});
  check_error<ArgumentError>([&] { writer.add("\xFF", Dtype::F32, {3}, view(values)); }, {"\\xff", "UTF-8"});
  check_error<ArgumentError>([&] { writer.add("__metadata__", Dtype::F32, {3}, view(values)); },
                             {"__metadata__"});
  check_error<ArgumentError>([&] { writer.set_metadata("k", "\xFF"); }, {"UTF-8"});
  check_error<FileError>([&] { writer.save(folder / "absent/m"); }, {"absent/m"});
  check_error<FileError>([&] { writer.save(folder.path()); }, {folder.path().string()});

  SafetensorsWriter liar;
  liar.add<float>("a", Dtype::F32, {4}, [&] { return view(values); });
  check_error<ArgumentError>([&] { liar.save(folder / "m"); }, {"\"a\"", "4 elements", "3 values"});
  CHECK(folder.entries() == 0);
}

TEST_CASE("bfloat16 is the upper half of a float, rounded to nearest, ties to even") {
  const test::Folder folder;
  std::vector<float> values;
  for (const std::uint32_t bits :
       {0x3F80'7FFFU, 0x3F80'8000U, 0x3F80'8001U, 0x3F81'8000U, 0xBF81'8000U, 0x7F80'0001U}) {
    values.push_back(std::bit_cast<float>(bits));
  }
  SafetensorsWriter writer;
  writer.add("a", Dtype::BF16, {values.size()}, view(values));
  writer.save(folder / "m");
  const auto back = TensorFile::open(folder / "m").read<float>("a", {.require_finite = false});
  const std::vector<std::uint32_t> expected{0x3F80'0000, 0x3F80'0000, 0x3F81'0000, 0x3F82'0000, 0xBF82'0000};
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(std::bit_cast<std::uint32_t>(back[i]) == expected[i]);
  CHECK(std::isnan(back[5]));  // and no infinity, to which its upper half alone would round
}

TEST_CASE("a value that its dtype cannot hold is refused; one that is not finite is written as it is") {
  const test::Folder folder;
  const auto save = [&](Dtype dtype, const std::vector<double>& values) {
    SafetensorsWriter writer;
    writer.add("a", dtype, {values.size()}, view(values));
    writer.save(folder / "m");
  };
  check_error<ArgumentError>([&] { save(Dtype::F16, {1, 65520}); }, {"\"a\", element 1", "F16"});
  CHECK_NOTHROW(save(Dtype::F16, {65519, -65504}));
  check_error<ArgumentError>([&] { save(Dtype::BF16, {3.4e38}); }, {"\"a\", element 0", "BF16"});
  check_error<ArgumentError>([&] { save(Dtype::F32, {1, 2, 1e39}); }, {"\"a\", element 2", "F32"});
  const double inf = std::numeric_limits<double>::infinity();
  for (const Dtype dtype : {Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64}) {
    save(dtype, {inf, -inf, std::nan("")});
    const auto back = TensorFile::open(folder / "m").read<double>("a", {.require_finite = false});
    CHECK(back[0] == inf);
    CHECK(back[1] == -inf);
    CHECK(std::isnan(back[2]));
  }
  const std::vector<std::int64_t> wide{1, std::int64_t{1} << 31};
  SafetensorsWriter writer;
  writer.add("a", Dtype::I32, {2}, view(wide));
  check_error<ArgumentError>([&] { writer.save(folder / "n"); }, {"\"a\", element 1", "2147483648", "I32"});
}
