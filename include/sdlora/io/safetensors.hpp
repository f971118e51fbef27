#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "half.hpp"
#include "json.hpp"
#include "mapped_file.hpp"

namespace sdlora {

static_assert(std::endian::native == std::endian::little,
              "sdlora: safetensors are read without swapping bytes; a little-endian machine is needed");

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

/// The types that tensors are read into and written from. F16, BF16, F32 and F64 are read as float
/// or double, I32 and I64 as std::int32_t or std::int64_t (range checked).
template <class T>
concept TensorElement = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, std::int32_t> ||
                        std::same_as<T, std::int64_t>;

struct ReadOptions {
  /// Whether an infinity or NaN among the values is a FileError.
  bool require_finite = true;
};

namespace detail {

inline constexpr std::size_t max_safetensors_header = 100'000'000;  // of the format's reference reader
inline constexpr std::size_t max_tensor_rank = 32;

inline std::string tensor_place(std::string_view name) { return "tensor " + in_quotes(name); }

/// Element i of raw data as T; unaligned data is fine.
template <class Stored>
Stored load(const std::byte* data, std::size_t i) {
  Stored value;
  std::memcpy(&value, data + i * sizeof(Stored), sizeof(Stored));
  return value;
}

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
    result.reserve(entries_->size());
    for (const auto& [name, entry] : *entries_) result.push_back(name);
    return result;
  }
  std::size_t size() const { return entries_->size(); }
  bool contains(std::string_view name) const { return entries_->find(name) != entries_->end(); }

  /// dtype and shape; FileError where there is no such tensor.
  const TensorInfo& info(std::string_view name) const { return entry(name).info; }

  /// The free-form texts under `__metadata__`.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// The raw bytes of a tensor, inside the mapping (valid while a copy of this object lives; not
  /// aligned to the element).
  std::span<const std::byte> bytes(std::string_view name) const {
    const Entry& found = entry(name);
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
    const Entry& found = entry(name);
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
  struct Entry {
    TensorInfo info;
    std::size_t begin = 0;  // offsets in the file
    std::size_t end = 0;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  explicit TensorFile(const std::filesystem::path& path)
      : file_(std::make_shared<const MappedFile>(path)), entries_(std::make_shared<Entries>()) {
    const auto bytes = file_->bytes();
    if (bytes.size() < 8) {
      throw FileError(this->path(), "byte 0",
                      "expected the 8 bytes of a header length, the file has " +
                          std::to_string(bytes.size()) + "; copy or write it again");
    }
    const auto length = detail::load<std::uint64_t>(bytes.data(), 0);
    if (length > detail::max_safetensors_header || length > bytes.size() - 8) {
      throw FileError(this->path(), "byte 0",
                      "expected a header length of at most " +
                          std::to_string(std::min(detail::max_safetensors_header, bytes.size() - 8)) +
                          ", found " + std::to_string(length) +
                          "; this is no safetensors file, or it was cut short: copy or write it again");
    }
    const auto header_bytes = static_cast<std::size_t>(length);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, header_bytes);
    if (!text.starts_with('{')) {
      throw FileError(this->path(), "header, byte 8",
                      "expected \"{\", found other bytes; this is no safetensors file: convert it");
    }
    const nlohmann::json document =
        parse_json(text, {.file = this->path(), .part = "header", .first_byte = 8},
                   {.max_bytes = detail::max_safetensors_header, .max_depth = 4, .max_values = 2'000'000});
    const JsonObject header(document, this->path(), "header");
    const std::size_t data_begin = 8 + header_bytes;
    for (const auto& [name, value] : document.get_ref<const nlohmann::json::object_t&>()) {
      if (name == "__metadata__") {
        read_metadata(header.object(name));
      } else {
        read_entry(name, value, data_begin, bytes.size());
      }
    }
    check_coverage(data_begin, bytes.size());
  }

  void read_metadata(const JsonObject& texts) {
    for (const auto& [key, value] : texts.value().get_ref<const nlohmann::json::object_t&>()) {
      if (!value.is_string()) {
        throw FileError(
            path(), "header.__metadata__." + detail::printable(key),
            "expected a string, found " + std::string(value.type_name()) + "; write metadata as strings");
      }
      metadata_.emplace(key, value.get_ref<const std::string&>());
    }
  }

  void read_entry(const std::string& name, const nlohmann::json& value, std::size_t data_begin,
                  std::size_t file_bytes) {
    const std::string place = detail::tensor_place(name);
    const JsonObject fields(value, path(), place);
    for (const auto& [key, unused] : value.get_ref<const nlohmann::json::object_t&>()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        throw FileError(
            path(), place,
            "expected dtype, shape and data_offsets, found " + detail::in_quotes(key) + "; remove it");
      }
    }
    Entry found;
    const auto dtype = fields.required<std::string>("dtype");
    const detail::DtypeRow* row = std::begin(detail::dtype_rows);
    while (row != std::end(detail::dtype_rows) && row->name != dtype) ++row;
    if (row == std::end(detail::dtype_rows)) {
      throw FileError(path(), place,
                      "expected a dtype such as F32, F16 or BF16, found " + detail::in_quotes(dtype) +
                          "; convert the file");
    }
    found.info.dtype = static_cast<Dtype>(row - std::begin(detail::dtype_rows));

    found.info.shape = fields.required<std::vector<std::size_t>>("shape");
    if (found.info.shape.size() > detail::max_tensor_rank) {
      throw FileError(path(), place,
                      "expected at most " + std::to_string(detail::max_tensor_rank) + " dimensions, found " +
                          std::to_string(found.info.shape.size()) + "; this is no tensor of a model");
    }
    std::size_t expected = row->bytes;
    const bool empty =
        std::find(found.info.shape.begin(), found.info.shape.end(), 0u) != found.info.shape.end();
    for (const std::size_t extent : found.info.shape) {
      if (!empty && extent > std::numeric_limits<std::size_t>::max() / expected) {
        throw FileError(path(), place,
                        "the product of shape " + shape_text(found.info.shape) +
                            " overflows; the header is damaged: copy or write the file again");
      }
      expected = empty ? 0 : expected * extent;
    }

    const auto offsets = fields.required<std::vector<std::size_t>>("data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      throw FileError(path(), place,
                      "expected data_offsets [begin, end] with begin <= end, found " +
                          shape_text(std::span(offsets).first(std::min<std::size_t>(offsets.size(), 4))) +
                          "; the header is damaged: copy or write the file again");
    }
    if (offsets[1] > file_bytes - data_begin) {
      throw FileError(path(), place,
                      "expected data_offsets inside of the " + std::to_string(file_bytes - data_begin) +
                          " bytes of data, found " + shape_text(offsets) +
                          "; the file was cut short: copy or write it again");
    }
    if (offsets[1] - offsets[0] != expected) {
      throw FileError(path(), place,
                      "expected " + std::to_string(expected) + " bytes for " + dtype + " " +
                          shape_text(found.info.shape) + ", found data_offsets " + shape_text(offsets) +
                          " (" + std::to_string(offsets[1] - offsets[0]) +
                          "); the header is damaged: copy or write the file again");
    }
    found.begin = data_begin + offsets[0];
    found.end = data_begin + offsets[1];
    entries_->emplace(name, std::move(found));
  }

  /// The tensors, in the order of their offsets, must follow each other without overlap or hole and
  /// end with the file.
  void check_coverage(std::size_t data_begin, std::size_t file_bytes) const {
    std::vector<const Entries::value_type*> order;
    order.reserve(entries_->size());
    for (const auto& item : *entries_) order.push_back(&item);
    std::sort(order.begin(), order.end(), [](const Entries::value_type* a, const Entries::value_type* b) {
      const Entry &left = a->second, &right = b->second;
      return left.begin != right.begin ? left.begin < right.begin : left.end < right.end;
    });
    std::size_t reached = data_begin;
    for (const auto* item : order) {
      if (item->second.begin != reached) {
        throw FileError(path(), detail::tensor_place(item->first),
                        "expected its data at offset " + std::to_string(reached - data_begin) +
                            ", where the tensor before it ends, found offset " +
                            std::to_string(item->second.begin - data_begin) +
                            (item->second.begin < reached ? " (they overlap)" : " (a hole between them)") +
                            "; the header is damaged: copy or write the file again");
      }
      reached = item->second.end;
    }
    if (reached != file_bytes) {
      throw FileError(path(), "byte " + std::to_string(reached),
                      "expected the end of the file, found " + std::to_string(file_bytes - reached) +
                          " bytes that belong to no tensor; copy or write the file again");
    }
  }

  const Entry& entry(std::string_view name) const {
    const auto found = entries_->find(name);
    if (found == entries_->end()) {
      throw FileError(path(), detail::tensor_place(name),
                      "missing; the file holds " + std::to_string(entries_->size()) +
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
          to[i] = detail::bfloat16_to_float(detail::load<std::uint16_t>(data, i));
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
  std::shared_ptr<Entries> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace sdlora
