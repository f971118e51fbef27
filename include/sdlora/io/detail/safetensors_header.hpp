#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../../error.hpp"
#include "../json.hpp"
#include "../tensor_info.hpp"
#include "../utf8.hpp"
#include "lfs_pointer.hpp"

namespace sdlora::detail {

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

/// One tensor of a file.
struct SafetensorsEntry {
  TensorInfo info;
  std::size_t begin = 0;  // offsets in the file
  std::size_t end = 0;
};
using SafetensorsEntries = std::map<std::string, SafetensorsEntry, std::less<>>;

/// What the header of a safetensors file says, every field of it checked against the others and
/// against the size of the file.
struct SafetensorsHeader {
  SafetensorsEntries entries;
  std::map<std::string, std::string> metadata;
};

/// Reads a header. Throws FileError that names the file, the place and the remedy, whatever the bytes are.
class SafetensorsHeaderReader {
 public:
  static SafetensorsHeader read(std::span<const std::byte> bytes, const std::string& path) {
    SafetensorsHeaderReader reader(bytes.size(), path);
    reader.read_all(bytes);
    return std::move(reader.header_);
  }

 private:
  SafetensorsHeaderReader(std::size_t file_bytes, const std::string& path)
      : path_(path), file_bytes_(file_bytes) {}

  void read_all(std::span<const std::byte> bytes) {
    refuse_lfs_pointer({reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 64)},
                       path_);
    if (file_bytes_ < 8) {
      throw FileError(path_, "byte 0",
                      "expected the 8 bytes of a header length, the file has " + std::to_string(file_bytes_) +
                          "; copy or write it again");
    }
    const auto length = load<std::uint64_t>(bytes.data(), 0);
    if (length > max_safetensors_header || length > file_bytes_ - 8) {
      throw FileError(path_, "byte 0",
                      "expected a header length of at most " +
                          std::to_string(std::min(max_safetensors_header, file_bytes_ - 8)) + ", found " +
                          std::to_string(length) +
                          "; this is no safetensors file, or it was cut short: copy or write it again");
    }
    const auto header_bytes = static_cast<std::size_t>(length);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, header_bytes);
    if (!text.starts_with('{')) {
      throw FileError(path_, "header, byte 8",
                      "expected \"{\", found other bytes; this is no safetensors file: convert it");
    }
    const nlohmann::json document =
        parse_json(text, {.file = path_, .part = "header", .first_byte = 8},
                   {.max_bytes = max_safetensors_header, .max_depth = 4, .max_values = 2'000'000});
    const JsonObject header(document, path_, "header");
    data_begin_ = 8 + header_bytes;
    for (const auto& [name, value] : document.get_ref<const nlohmann::json::object_t&>()) {
      if (name == "__metadata__") {
        read_metadata(header.object(name));
      } else {
        read_entry(name, value);
      }
    }
    check_coverage();
  }

  void read_metadata(const JsonObject& texts) {
    for (const auto& [key, value] : texts.value().get_ref<const nlohmann::json::object_t&>()) {
      if (!value.is_string()) {
        throw FileError(
            path_, "header.__metadata__." + printable(key),
            "expected a string, found " + std::string(value.type_name()) + "; write metadata as strings");
      }
      header_.metadata.emplace(key, value.get_ref<const std::string&>());
    }
  }

  void read_entry(const std::string& name, const nlohmann::json& value) {
    const std::string place = tensor_place(name);
    const JsonObject fields(value, path_, place);
    for (const auto& [key, unused] : value.get_ref<const nlohmann::json::object_t&>()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        throw FileError(path_, place,
                        "expected dtype, shape and data_offsets, found " + in_quotes(key) + "; remove it");
      }
    }
    SafetensorsEntry found;
    const auto dtype = fields.required<std::string>("dtype");
    const DtypeRow* row = std::begin(dtype_rows);
    while (row != std::end(dtype_rows) && row->name != dtype) ++row;
    if (row == std::end(dtype_rows)) {
      throw FileError(
          path_, place,
          "expected a dtype such as F32, F16 or BF16, found " + in_quotes(dtype) + "; convert the file");
    }
    found.info.dtype = static_cast<Dtype>(row - std::begin(dtype_rows));

    found.info.shape = fields.required<std::vector<std::size_t>>("shape");
    if (found.info.shape.size() > max_tensor_rank) {
      throw FileError(path_, place,
                      "expected at most " + std::to_string(max_tensor_rank) + " dimensions, found " +
                          std::to_string(found.info.shape.size()) + "; this is no tensor of a model");
    }
    std::size_t expected = row->bytes;
    const bool empty =
        std::find(found.info.shape.begin(), found.info.shape.end(), 0u) != found.info.shape.end();
    for (const std::size_t extent : found.info.shape) {
      if (!empty && extent > std::numeric_limits<std::size_t>::max() / expected) {
        throw FileError(path_, place,
                        "the product of shape " + shape_text(found.info.shape) +
                            " overflows; the header is damaged: copy or write the file again");
      }
      expected = empty ? 0 : expected * extent;
    }

    const auto offsets = fields.required<std::vector<std::size_t>>("data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      throw FileError(path_, place,
                      "expected data_offsets [begin, end] with begin <= end, found " +
                          shape_text(std::span(offsets).first(std::min<std::size_t>(offsets.size(), 4))) +
                          "; the header is damaged: copy or write the file again");
    }
    if (offsets[1] > file_bytes_ - data_begin_) {
      throw FileError(path_, place,
                      "expected data_offsets inside of the " + std::to_string(file_bytes_ - data_begin_) +
                          " bytes of data, found " + shape_text(offsets) +
                          "; the file was cut short: copy or write it again");
    }
    if (offsets[1] - offsets[0] != expected) {
      throw FileError(path_, place,
                      "expected " + std::to_string(expected) + " bytes for " + dtype + " " +
                          shape_text(found.info.shape) + ", found data_offsets " + shape_text(offsets) +
                          " (" + std::to_string(offsets[1] - offsets[0]) +
                          "); the header is damaged: copy or write the file again");
    }
    found.begin = data_begin_ + offsets[0];
    found.end = data_begin_ + offsets[1];
    header_.entries.emplace(name, std::move(found));
  }

  /// The tensors, in the order of their offsets, must follow each other without overlap or hole and
  /// end with the file.
  void check_coverage() const {
    std::vector<const SafetensorsEntries::value_type*> order;
    order.reserve(header_.entries.size());
    for (const auto& item : header_.entries) order.push_back(&item);
    std::sort(order.begin(), order.end(),
              [](const SafetensorsEntries::value_type* a, const SafetensorsEntries::value_type* b) {
                const SafetensorsEntry &left = a->second, &right = b->second;
                return left.begin != right.begin ? left.begin < right.begin : left.end < right.end;
              });
    std::size_t reached = data_begin_;
    for (const auto* item : order) {
      if (item->second.begin != reached) {
        throw FileError(path_, tensor_place(item->first),
                        "expected its data at offset " + std::to_string(reached - data_begin_) +
                            ", where the tensor before it ends, found offset " +
                            std::to_string(item->second.begin - data_begin_) +
                            (item->second.begin < reached ? " (they overlap)" : " (a hole between them)") +
                            "; the header is damaged: copy or write the file again");
      }
      reached = item->second.end;
    }
    if (reached != file_bytes_) {
      throw FileError(path_, "byte " + std::to_string(reached),
                      "expected the end of the file, found " + std::to_string(file_bytes_ - reached) +
                          " bytes that belong to no tensor; copy or write the file again");
    }
  }

  const std::string& path_;
  std::size_t file_bytes_;
  std::size_t data_begin_ = 0;
  SafetensorsHeader header_;
};

}  // namespace sdlora::detail
