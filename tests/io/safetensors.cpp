#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <sdlora/io/safetensors.hpp>
#include <string>
#include <vector>

#include "safetensors_support.hpp"
#include "support.hpp"

using namespace sdlora;
using test::check_error;
using test::raw;
using test::safetensors_bytes;

namespace {

/// Opens a file of that header and data.
TensorFile open(const test::Folder& folder, std::string_view header, std::string_view data) {
  return TensorFile::open(folder.write("m.safetensors", safetensors_bytes(header, data)));
}

/// That header and data are refused, with the file and the parts in the text.
void check_refused(std::string_view header, std::string_view data, std::initializer_list<std::string> parts) {
  const test::Folder folder;
  INFO("header: ", std::string(header.substr(0, 200)));
  check_error<FileError>([&] { open(folder, header, data); }, {"m.safetensors: "});
  check_error<FileError>([&] { open(folder, header, data); }, parts);
}

}  // namespace

TEST_CASE("every dtype that is read, as float and as double") {
  const test::Folder folder;
  const auto file = open(folder,
                         R"({"__metadata__":{"format":"pt","note":"\u00e9"},)"
                         R"("d":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},)"
                         R"("f":{"dtype":"F32","shape":[1,3],"data_offsets":[16,28]},)"
                         R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[28,34]},)"
                         R"("h":{"dtype":"F16","shape":[3,1,1],"data_offsets":[34,40]},)"
                         R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[40,40]},)"
                         R"("one":{"dtype":"F32","shape":[],"data_offsets":[40,44]}}   )",
                         raw<double>({1e-300, 0.1}) + raw<float>({1, -2, 0.25f}) +
                             raw<std::uint16_t>({0x3F80, 0xC000, 0x0001}) +
                             raw<std::uint16_t>({0x3C00, 0xC000, 0x0001}) + raw<float>({7}));
  CHECK(file.size() == 6);
  CHECK(file.names() == std::vector<std::string>{"b", "d", "f", "h", "none", "one"});
  CHECK(file.contains("f"));
  CHECK_FALSE(file.contains("__metadata__"));
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.metadata().at("note") == "\xC3\xA9");
  CHECK(file.info("h").shape == std::vector<std::size_t>{3, 1, 1});
  CHECK(file.info("h").dtype == Dtype::F16);
  CHECK(file.info("h").bytes() == 6);
  CHECK(file.bytes("b").size() == 6);

  CHECK(file.read<double>("d") == std::vector<double>{1e-300, 0.1});
  CHECK(file.read<float>("d") == std::vector<float>{0, 0.1f});
  CHECK(file.read<float>("f") == std::vector<float>{1, -2, 0.25f});
  CHECK(file.read<double>("f") == std::vector<double>{1, -2, 0.25});
  CHECK(file.read<float>("b") == std::vector<float>{1, -2, std::ldexp(1.0f, -133)});
  CHECK(file.read<double>("h") == std::vector<double>{1, -2, std::ldexp(1.0, -24)});
  CHECK(file.read<float>("none").empty());
  CHECK(file.read<float>("one") == std::vector<float>{7});

  std::vector<float> part(2);
  file.read_part("f", 1, std::span(part));
  CHECK(part == std::vector<float>{-2, 0.25f});
  file.read_part("f", 3, std::span<float>());
  check_error<FileError>([&] { file.read_part("f", 2, std::span(part)); },
                         {"tensor \"f\"", "2 values", "[1, 3]"});
  check_error<FileError>([&] { file.read_part("f", SIZE_MAX, std::span(part)); }, {"tensor \"f\""});
  check_error<FileError>([&] { file.read("f", std::span(part)); },
                         {"tensor \"f\"", "2 values", "[1, 3] (3)"});
  check_error<FileError>([&] { file.read<float>("g"); }, {"m.safetensors", "tensor \"g\"", "missing"});
  check_error<FileError>([&] { (void)file.info(""); }, {"tensor \"\"", "missing"});
  CHECK_NOTHROW(file.require_shape("f", std::vector<std::size_t>{1, 3}));
  check_error<FileError>([&] { file.require_shape("f", std::vector<std::size_t>{3, 1}); },
                         {"tensor \"f\"", "expected shape [3, 1]", "found [1, 3]"});
}

TEST_CASE("integers are read as integers, in their range") {
  const test::Folder folder;
  const auto file = open(folder,
                         R"({"l":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
                         R"("i":{"dtype":"I32","shape":[2],"data_offsets":[16,24]},)"
                         R"("u":{"dtype":"U8","shape":[1],"data_offsets":[24,25]}})",
                         raw<std::int64_t>({-5, std::int64_t{1} << 40}) + raw<std::int32_t>({7, -7}) + "x");
  CHECK(file.read<std::int64_t>("l") == std::vector<std::int64_t>{-5, std::int64_t{1} << 40});
  CHECK(file.read<std::int64_t>("i") == std::vector<std::int64_t>{7, -7});
  CHECK(file.read<std::int32_t>("i") == std::vector<std::int32_t>{7, -7});
  check_error<FileError>([&] { file.read<std::int32_t>("l"); }, {"tensor \"l\", element 1", "1099511627776"});
  check_error<FileError>([&] { file.read<float>("l"); }, {"tensor \"l\"", "expected dtype F32", "found I64"});
  check_error<FileError>([&] { file.read<std::int64_t>("u"); }, {"expected dtype I64", "found U8"});
  check_error<FileError>([&] { file.read<double>("u"); }, {"found U8"});
}

TEST_CASE("values that are not finite are refused with their index, or let pass on request") {
  const test::Folder folder;
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  std::string data(4 * 3000, '\0');
  std::memcpy(data.data() + 4 * 2500, &nan, 4);
  const auto file =
      open(folder,
           R"({"big":{"dtype":"F32","shape":[3,1000],"data_offsets":[0,12000]},)"
           R"("inf":{"dtype":"F32","shape":[2],"data_offsets":[12000,12008]},)"
           R"("half":{"dtype":"F16","shape":[1],"data_offsets":[12008,12010]},)"
           R"("brain":{"dtype":"BF16","shape":[1],"data_offsets":[12010,12012]},)"
           R"("wide":{"dtype":"F64","shape":[1],"data_offsets":[12012,12020]}})",
           data + raw<float>({1, -inf}) + raw<std::uint16_t>({0x7C00, 0xFFFF}) + raw<double>({1e300}));
  check_error<FileError>([&] { file.read<float>("big"); },
                         {"m.safetensors", "tensor \"big\", element 2500", "NaN"});
  check_error<FileError>([&] { file.read<double>("inf"); }, {"tensor \"inf\", element 1", "-infinity"});
  check_error<FileError>([&] { file.read<float>("half"); }, {"tensor \"half\", element 0", "infinity"});
  check_error<FileError>([&] { file.read<double>("brain"); }, {"tensor \"brain\", element 0", "NaN"});
  CHECK(file.read<double>("wide") == std::vector<double>{1e300});
  check_error<FileError>([&] { file.read<float>("wide"); }, {"tensor \"wide\", element 0"});  // not in float
  CHECK(std::isnan(file.read<float>("big", {.require_finite = false})[2500]));
  CHECK(file.read<float>("inf", {.require_finite = false})[1] == -inf);
  std::vector<float> part(1000);
  CHECK_NOTHROW(file.read_part("big", 0, std::span(part)));
  check_error<FileError>([&] { file.read_part("big", 2000, std::span(part)); }, {"element 2500"});
}

TEST_CASE("a file that Python's safetensors wrote") {
  // save_file({"w": tensor([[1, 2], [3, 4]], float32), "b": tensor([0.5, -1], bfloat16),
  //            "h": tensor([0.1], float16), "i": tensor([5, 6])}, metadata={"format": "pt"}), version 0.8.0
  const test::Folder folder;
  const auto file = TensorFile::open(folder.write(
      "m.safetensors",
      safetensors_bytes(
          R"({"__metadata__":{"format":"pt"},"i":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"w":)"
          R"({"dtype":"F32","shape":[2,2],"data_offsets":[16,32]},"b":{"dtype":"BF16","shape":[2],"data)"
          R"(_offsets":[32,36]},"h":{"dtype":"F16","shape":[1],"data_offsets":[36,38]}}  )",
          raw<unsigned char>({0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x00,
                              0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00,
                              0x40, 0x40, 0x00, 0x00, 0x80, 0x40, 0x00, 0x3F, 0x80, 0xBF, 0x66, 0x2E}))));
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.names() == std::vector<std::string>{"b", "h", "i", "w"});
  CHECK(file.info("w").shape == std::vector<std::size_t>{2, 2});
  CHECK(file.read<float>("w") == std::vector<float>{1, 2, 3, 4});
  CHECK(file.read<float>("b") == std::vector<float>{0.5f, -1});
  CHECK(file.read<double>("h") == std::vector<double>{0.0999755859375});
  CHECK(file.read<std::int64_t>("i") == std::vector<std::int64_t>{5, 6});
}

TEST_CASE("a copy keeps the mapping alive") {
  const test::Folder folder;
  std::vector<TensorFile> copies;
  {
    const auto file = TensorFile::open(folder.write("m.safetensors", test::small_safetensors()));
    copies.push_back(file);
  }
  std::filesystem::remove(folder / "m.safetensors");
  CHECK(copies[0].read<float>("a") == std::vector<float>{1.5f, -2});
}

TEST_CASE("every truncation of a file is refused") {
  const test::Folder folder;
  const std::string bytes = test::small_safetensors();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const auto path = folder.write("cut.safetensors", bytes.substr(0, length));
    check_error<FileError>([&] { (void)TensorFile::open(path); }, {"cut.safetensors: "});
  }
  check_error<FileError>([&] { (void)TensorFile::open(folder.write("long", bytes + "x")); },
                         {"long", "1 bytes that belong to no tensor"});
}

TEST_CASE("every damaged byte of a header is refused or leaves a file that reads") {
  const test::Folder folder;
  const std::string bytes =
      safetensors_bytes(R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                        R"("b":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}})",
                        raw<float>({1, 2}) + raw<std::int64_t>({3}));
  const auto attempt = [&](const std::string& damaged) {
    const auto path = folder.write("bad.safetensors", damaged);
    try {
      const auto file = TensorFile::open(path);
      for (const auto& name : file.names()) {
        if (file.info(name).dtype == Dtype::F32) (void)file.read<float>(name, {.require_finite = false});
        if (file.info(name).dtype == Dtype::I64) (void)file.read<std::int64_t>(name);
      }
      return 1;
    } catch (const FileError& error) {
      CHECK(std::string(error.what()).find("bad.safetensors: ") != std::string::npos);
      return 0;
    }
  };
  int good = 0, all = 0;
  for (std::size_t at = 0; at < bytes.size() - 16; ++at) {
    for (int bit = 0; bit < 8; ++bit, ++all) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      good += attempt(damaged);
    }
  }
  CHECK(good < all / 2);       // names and metadata may change unnoticed
  std::mt19937 random(12345);  // its sequence is fixed by the standard
  for (int i = 0; i < 800; ++i) {
    std::string damaged = bytes;
    for (auto flips = 1 + random() % 4; flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
    }
    if (random() % 4 == 0) damaged.resize(random() % damaged.size());
    attempt(damaged);
  }
}

TEST_CASE("header lengths beyond the file or the format") {
  const test::Folder folder;
  for (const std::uint64_t length :
       {std::uint64_t{55}, std::uint64_t{1} << 31, std::uint64_t{1} << 63,
        std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max() - 7}) {
    std::string bytes = safetensors_bytes("{}", "");
    std::memcpy(bytes.data(), &length, 8);
    check_error<FileError>([&] { (void)TensorFile::open(folder.write("m", bytes)); },
                           {"byte 0", "header length", std::to_string(length)});
  }
  // a hole of 200 MB on the disk takes no space
  std::string bytes = safetensors_bytes("{", "");
  const std::uint64_t length = 150'000'000;
  std::memcpy(bytes.data(), &length, 8);
  folder.write("sparse", bytes);
  std::filesystem::resize_file(folder / "sparse", 200'000'000);
  check_error<FileError>([&] { (void)TensorFile::open(folder / "sparse"); }, {"100000000", "150000000"});
  check_error<FileError>([&] { (void)TensorFile::open(folder / "absent"); }, {"absent", "No such file"});
  check_error<FileError>([&] { (void)TensorFile::open(folder.path()); }, {"regular file"});
}

TEST_CASE("headers that are not what they must be") {
  const std::string data = raw<float>({1, 2});
  check_refused("", "", {"header", "expected \"{\""});
  check_refused("[]", "", {"header", "expected \"{\""});
  check_refused(" {}", "", {"header", "expected \"{\""});
  check_refused("{", "", {"header, line 1", "strict JSON"});
  check_refused("{} x", "", {"header, line 1, column 4 (byte 11)"});
  check_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{}})", data,
                {"header, line 1", "\"a\" stands twice"});
  check_refused(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", data,
                {"\"dtype\" stands twice"});
  check_refused("{\"\xFF\":{}}", "", {"header", "UTF-8"});
  check_refused(std::string("{}\0\0", 4), "", {"zero byte", "byte 10"});
  check_refused(R"({"a":{"dtype":[[[[1]]]]}})", "", {"nested deeper"});
  check_refused(R"({"a":1})", "", {"tensor \"a\"", "an object", "found 1"});
  check_refused(R"({"a":null})", "", {"tensor \"a\"", "an object", "found null"});
  check_refused(R"({"__metadata__":{"k":1}})", "", {"header.__metadata__.k", "a string"});
  check_refused(R"({"__metadata__":{"k":{"l":"m"}}})", "", {"header.__metadata__.k", "found object"});
  check_refused(R"({"__metadata__":[]})", "", {"header.__metadata__", "found array"});
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) deep += "[";
  check_refused(deep, "", {"nested deeper"});
}

TEST_CASE("tensor entries that are not what they must be") {
  const auto refused = [](const std::string& entry, std::initializer_list<std::string> parts,
                          std::size_t data = 8) {
    check_refused("{\"a\":{" + entry + "}}", std::string(data, '\0'), parts);
  };
  CHECK_NOTHROW([&] {
    const test::Folder folder;
    open(folder, R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", std::string(8, '\0'));
  }());
  refused(R"("shape":[2],"data_offsets":[0,8])", {"tensor \"a\".dtype", "missing"});
  refused(R"("dtype":"F32","data_offsets":[0,8])", {"tensor \"a\".shape", "missing"});
  refused(R"("dtype":"F32","shape":[2])", {"tensor \"a\".data_offsets", "missing"});
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1)", {"tensor \"a\"", "\"x\""});
  for (const char* dtype : {"\"F33\"", "\"f32\"", "\"\"", "\"F32\\u0000\"", "1", "null", "[\"F32\"]"}) {
    refused(std::string("\"dtype\":") + dtype + R"(,"shape":[2],"data_offsets":[0,8])",
            {"tensor \"a\"", "dtype"});
  }
  for (const char* shape : {"2", "[-2]", "[2.0]", "[\"2\"]", "[[2]]", "[null]", "{}", "\"[2]\"", "[1e0]",
                            "[18446744073709551616]", "[true]"}) {
    refused(std::string(R"("dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,8])",
            {"tensor \"a\".shape"});
  }
  for (const char* offsets : {"[0]", "[]", "[0,8,8]", "[8,0]", "[0,-8]", "8", "[0,8.0]", "[\"0\",8]", "{}",
                              "[0,18446744073709551616]"}) {
    refused(std::string(R"("dtype":"F32","shape":[2],"data_offsets":)") + offsets,
            {"tensor \"a\"", "data_offsets"});
  }
  // 2^63 · 2 and the like wrap around to sizes that would fit
  for (const char* shape : {"[9223372036854775808,2]", "[9223372036854775808]", "[4294967296,4294967296]",
                            "[18446744073709551615]", "[4611686018427387904]", "[6148914691236517206,3,2]",
                            "[2,4611686018427387905]"}) {
    refused(std::string(R"("dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,8])",
            {"tensor \"a\"", "overflows"});
  }
  refused(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])",
          {"expected 12 bytes for F32 [3]", "[0, 8] (8)"});
  refused(R"("dtype":"F16","shape":[2],"data_offsets":[0,8])", {"expected 4 bytes for F16 [2]"});
  refused(R"("dtype":"F32","shape":[0,9223372036854775808,4],"data_offsets":[0,8])", {"expected 0 bytes"});
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[0,9])", {"inside of the 8 bytes"});
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[8,16])", {"inside of the 8 bytes"});
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615])",
          {"inside of the 8 bytes"});
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[8,16])", {"a hole"}, 16);
  refused(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", {"8 bytes that belong to no tensor"}, 16);
  std::string ones = "1";
  for (int i = 0; i < 40; ++i) ones += ",1";
  refused(R"("dtype":"F32","shape":[)" + ones + R"(],"data_offsets":[0,4])",
          {"at most 32 dimensions, found 41"}, 4);
}

TEST_CASE("tensors that overlap or leave a hole between them") {
  const auto two = [](const char* first, const char* second) {
    return std::string(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)") + first +
           R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + second + "}}";
  };
  const test::Folder folder;
  CHECK_NOTHROW(open(folder, two("[0,8]", "[8,16]"), std::string(16, '\0')));
  CHECK_NOTHROW(open(folder, two("[8,16]", "[0,8]"), std::string(16, '\0')));
  check_refused(two("[0,8]", "[0,8]"), std::string(8, '\0'), {"tensor \"b\"", "overlap"});
  check_refused(two("[0,8]", "[4,12]"), std::string(12, '\0'),
                {"tensor \"b\"", "offset 8", "offset 4", "overlap"});
  check_refused(two("[0,8]", "[12,20]"), std::string(20, '\0'), {"tensor \"b\"", "a hole"});
  check_refused(two("[4,12]", "[12,20]"), std::string(20, '\0'), {"tensor \"a\"", "a hole"});
}
