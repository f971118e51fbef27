#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace test {

/// The bytes of a safetensors file: header length, header, data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes.append(header).append(data);
}

/// `count` elements of raw data, each the given bytes.
template <class T>
std::string raw(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  return bytes;
}

/// One F32 tensor "a" of two values.
inline std::string small_safetensors() {
  return safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                           raw<float>({1.5f, -2.0f}));
}

}  // namespace test
