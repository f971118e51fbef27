#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../tensor/bfloat16.hpp"
#include "../tensor/float16.hpp"
#include "detail/safetensors_header.hpp"
#include "mapped_file.hpp"
#include "tensor_info.hpp"

namespace sdlora {

static_assert(std::endian::native == std::endian::little,
              "sdlora: safetensors are read without swapping bytes; a little-endian machine is needed");

/// The types that tensors are read into and written from. F16, BF16, F32 and F64 are read as float
/// or double, I32 and I64 as std::int32_t or std::int64_t (range checked).
template <class T>
concept TensorElement = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, std::int32_t> ||
                        std::same_as<T, std::int64_t>;

/// How tensors are read.
struct ReadOptions {
  /// Whether an infinity or NaN among the values is a FileError.
  bool require_finite = true;
};

namespace detail {

/// The index of the first value that is infinite or NaN; the size where there is none.
template <class T>
std::size_t find_not_finite(std::span<const T> values) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr Bits exponent = sizeof(T) == 4 ? Bits{0x7F80'0000u} : static_cast<Bits>(0x7FF0'0000'0000'0000u);
  constexpr std::size_t block = 1024;
  for (std::size_t first = 0; first < values.size(); first += block) {
    const std::size_t last = std::min(values.size(), first + block);
    Bits bad = 0;  // without branches, so that it vectorises
    for (std::size_t i = first; i < last; ++i) {
      bad |= static_cast<Bits>((std::bit_cast<Bits>(values[i]) & exponent) == exponent);
    }
    if (bad == 0) continue;
    for (std::size_t i = first; i < last; ++i) {
      if ((std::bit_cast<Bits>(values[i]) & exponent) == exponent) return i;
    }
  }
  return values.size();
}

}  // namespace detail

/// One safetensors file, mapped read-only; every field of its header is checked before any is used
/// (https://github.com/huggingface/safetensors, "Format"). Cheap to copy: copies share the mapping.
class TensorFile {
 public:
  /// FileError that names the file, the place and the remedy, whatever the bytes are.
  static TensorFile open(const std::filesystem::path& path) { return TensorFile(path); }

  const std::string& path() const { return file_->path(); }

  /// The tensors' names, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    result.reserve(header_->entries.size());
    for (const auto& [name, entry] : header_->entries) result.push_back(name);
    return result;
  }
  std::size_t size() const { return header_->entries.size(); }
  bool contains(std::string_view name) const { return header_->entries.find(name) != header_->entries.end(); }

  /// dtype and shape; FileError where there is no such tensor.
  const TensorInfo& info(std::string_view name) const { return entry(name).info; }

  /// The free-form texts under `__metadata__`.
  const std::map<std::string, std::string>& metadata() const { return header_->metadata; }

  /// The raw bytes of a tensor, inside the mapping (valid while a copy of this object lives; not
  /// aligned to the element).
  std::span<const std::byte> bytes(std::string_view name) const {
    const detail::SafetensorsEntry& found = entry(name);
    return file_->bytes().subspan(found.begin, found.end - found.begin);
  }

  /// Checks that a tensor is there with that shape.
  void require_shape(std::string_view name, std::span<const std::size_t> shape) const {
    const TensorInfo& found = info(name);
    if (!std::equal(found.shape.begin(), found.shape.end(), shape.begin(), shape.end())) {
      throw FileError(path(), detail::tensor_place(name),
                      "expected shape " + shape_text(shape) + ", found " + shape_text(found.shape) +
                          "; use the file that belongs to this configuration");
    }
  }

  /// Reads a whole tensor, converted to T. FileError where it is missing, is not of as many
  /// elements as `to`, is of a dtype that T does not take, or holds a value that it must not.
  template <TensorElement T>
  void read(std::string_view name, std::span<T> to, ReadOptions options = {}) const {
    const std::size_t elements = info(name).elements();
    if (to.size() != elements) {
      throw FileError(path(), detail::tensor_place(name),
                      "expected " + std::to_string(to.size()) + " values, found shape " +
                          shape_text(info(name).shape) + " (" + std::to_string(elements) +
                          "); use the file that belongs to this configuration");
    }
    read_part(name, 0, to, options);
  }

  /// Reads elements [first, first + to.size()) of a tensor, in row-major order.
  template <TensorElement T>
  void read_part(std::string_view name, std::size_t first, std::span<T> to, ReadOptions options = {}) const {
    const detail::SafetensorsEntry& found = entry(name);
    const std::size_t elements = found.info.elements();
    if (first > elements || to.size() > elements - first) {
      throw FileError(path(), detail::tensor_place(name),
                      "expected at least " + std::to_string(to.size()) + " values from the " +
                          std::to_string(first) + "th on, found shape " + shape_text(found.info.shape) +
                          "; use the file that belongs to this configuration");
    }
    if (to.empty()) return;
    const std::byte* data = file_->bytes().data() + found.begin + first * dtype_bytes(found.info.dtype);
    if constexpr (std::floating_point<T>) {
      read_floats(name, found.info, first, data, to, options);
    } else {
      read_integers(name, found.info, first, data, to);
    }
  }

  /// Reads a whole tensor into new memory. (Its size is bounded by the file's.)
  template <TensorElement T>
  std::vector<T> read(std::string_view name, ReadOptions options = {}) const {
    std::vector<T> values(info(name).elements());
    read(name, std::span<T>(values), options);
    return values;
  }

 private:
  explicit TensorFile(const std::filesystem::path& path)
      : file_(std::make_shared<const MappedFile>(path)),
        header_(std::make_shared<const detail::SafetensorsHeader>(
            detail::SafetensorsHeaderReader::read(file_->bytes(), file_->path()))) {}

  const detail::SafetensorsEntry& entry(std::string_view name) const {
    const auto found = header_->entries.find(name);
    if (found == header_->entries.end()) {
      throw FileError(path(), detail::tensor_place(name),
                      "missing; the file holds " + std::to_string(header_->entries.size()) +
                          " other tensors: use the file that belongs to this configuration");
    }
    return found->second;
  }

  [[noreturn]] void refuse_dtype(std::string_view name, Dtype found, const std::string& expected) const {
    throw FileError(
        path(), detail::tensor_place(name),
        "expected dtype " + expected + ", found " + std::string(dtype_name(found)) + "; convert the file");
  }

  template <std::floating_point T>
  void read_floats(std::string_view name, const TensorInfo& found, std::size_t first, const std::byte* data,
                   std::span<T> to, ReadOptions options) const {
    switch (found.dtype) {
      case Dtype::F32:
        if constexpr (std::same_as<T, float>) {
          std::memcpy(to.data(), data, to.size_bytes());
        } else {
          for (std::size_t i = 0; i < to.size(); ++i) to[i] = detail::load<float>(data, i);
        }
        break;
      case Dtype::F64:
        for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<T>(detail::load<double>(data, i));
        break;
      case Dtype::BF16:
        for (std::size_t i = 0; i < to.size(); ++i) {
          to[i] = static_cast<float>(detail::load<BFloat16>(data, i));
        }
        break;
      case Dtype::F16:
        for (std::size_t i = 0; i < to.size(); ++i) {
          to[i] = detail::float16_to_float(detail::load<std::uint16_t>(data, i));
        }
        break;
      default:
        refuse_dtype(name, found.dtype, "F32, F16, BF16 or F64");
    }
    if (!options.require_finite) return;
    if (const std::size_t i = detail::find_not_finite(std::span<const T>(to)); i != to.size()) {
      throw FileError(path(), detail::tensor_place(name) + ", element " + std::to_string(first + i),
                      "expected finite values, found " +
                          std::string(std::isnan(to[i]) ? "NaN"
                                      : to[i] > 0       ? "infinity"
                                                        : "-infinity") +
                          "; use a file from before the training diverged");
    }
  }

  template <std::integral T>
  void read_integers(std::string_view name, const TensorInfo& found, std::size_t first, const std::byte* data,
                     std::span<T> to) const {
    if (found.dtype != Dtype::I32 && found.dtype != Dtype::I64) refuse_dtype(name, found.dtype, "I64 or I32");
    for (std::size_t i = 0; i < to.size(); ++i) {
      const std::int64_t value = found.dtype == Dtype::I64 ? detail::load<std::int64_t>(data, i)
                                                           : detail::load<std::int32_t>(data, i);
      if (!std::in_range<T>(value)) {
        throw FileError(
            path(), detail::tensor_place(name) + ", element " + std::to_string(first + i),
            "expected a 32-bit integer, found " + std::to_string(value) + "; write the file again");
      }
      to[i] = static_cast<T>(value);
    }
  }

  std::shared_ptr<const MappedFile> file_;
  std::shared_ptr<const detail::SafetensorsHeader> header_;
};

}  // namespace sdlora
