#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sdlora {

/// Element types that a safetensors file may hold.
enum class Dtype : std::uint8_t {
  Bool,
  U8,
  I8,
  F8_E5M2,
  F8_E4M3,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  F64,
  I64,
  U64
};

namespace detail {

struct DtypeRow {
  std::string_view name;
  std::size_t bytes;
};

inline constexpr DtypeRow dtype_rows[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
                                          {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                                          {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};

}  // namespace detail

/// The name in files: "F32".
constexpr std::string_view dtype_name(Dtype dtype) {
  return detail::dtype_rows[static_cast<std::size_t>(dtype)].name;
}

/// Bytes of one element.
constexpr std::size_t dtype_bytes(Dtype dtype) {
  return detail::dtype_rows[static_cast<std::size_t>(dtype)].bytes;
}

static_assert(dtype_name(Dtype::U64) == "U64" && dtype_name(Dtype::BF16) == "BF16");

/// "[768, 24]".
inline std::string shape_text(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (const std::size_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

/// What a file says about one tensor. The product of the shape is known not to overflow.
struct TensorInfo {
  Dtype dtype = Dtype::F32;
  std::vector<std::size_t> shape;

  std::size_t elements() const {
    std::size_t product = 1;
    for (const std::size_t extent : shape) product *= extent;
    return product;
  }
  std::size_t bytes() const { return elements() * dtype_bytes(dtype); }
};

}  // namespace sdlora
