#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../tensor/bfloat16.hpp"
#include "../tensor/float16.hpp"
#include "atomic_file.hpp"
#include "json.hpp"
#include "safetensors.hpp"

namespace sdlora {

/// Writes one safetensors file. `add` only notes where the values are or how to compute them;
/// `save` or `write` streams them out through a small buffer, so that nothing is held twice.
///
///     SafetensorsWriter writer;
///     writer.add("weight", Dtype::BF16, {rows, cols}, std::span<const float>(weight));
///     writer.save("model.safetensors");
class SafetensorsWriter {
 public:
  /// Called when the tensor's turn comes; the values must last until its next call.
  template <TensorElement T>
  using Producer = std::function<std::span<const T>()>;

  /// A text under `__metadata__`. ArgumentError where it is not UTF-8.
  void set_metadata(const std::string& key, const std::string& value) {
    require_utf8("metadata key", key);
    require_utf8("metadata value", value);
    metadata_[key] = value;
  }

  /// Notes a tensor whose values lie at `values` until they are written. float and double are written as F32,
  /// F64, F16 or BF16 (to nearest, ties to even), integers as I32 or I64. ArgumentError where the
  /// name is taken or not UTF-8, the shape does not hold as many values, or the dtype is another.
  template <TensorElement T>
  void add(const std::string& name, Dtype dtype, std::vector<std::size_t> shape, std::span<const T> values) {
    add(name, dtype, std::move(shape), Producer<T>([values] { return values; }));
    const Item& item = items_.back();
    if (item.info.elements() != values.size()) {
      const std::string text = shape_text(item.info.shape);
      names_.erase(name);
      items_.pop_back();
      throw ArgumentError("SafetensorsWriter: tensor " + detail::in_quotes(name) + " of shape " + text +
                          " was given " + std::to_string(values.size()) +
                          " values; pass as many as the shape holds");
    }
  }

  /// Notes a tensor whose values `produce` computes when it is written: the merged weights of a
  /// whole model need memory for one tensor.
  template <TensorElement T>
  void add(const std::string& name, Dtype dtype, std::vector<std::size_t> shape, Producer<T> produce) {
    const bool fits = std::floating_point<T> ? dtype == Dtype::F32 || dtype == Dtype::F16 ||
                                                   dtype == Dtype::BF16 || dtype == Dtype::F64
                                             : dtype == Dtype::I32 || dtype == Dtype::I64;
    if (!fits) {
      throw ArgumentError("SafetensorsWriter: tensor " + detail::in_quotes(name) + " cannot be written as " +
                          std::string(dtype_name(dtype)) +
                          "; write real numbers as F32, F16, BF16 or F64 and integers as I32 or I64");
    }
    require_utf8("tensor name", name);
    if (name == "__metadata__") throw ArgumentError("SafetensorsWriter: \"__metadata__\" names no tensor");
    if (!names_.insert(name).second) {
      throw ArgumentError("SafetensorsWriter: tensor " + detail::in_quotes(name) +
                          " was added before; add it once");
    }
    items_.push_back({name,
                      {dtype, std::move(shape)},
                      [produce = std::move(produce), name, dtype](AtomicFile& file, std::size_t elements) {
                        write_values<T>(file, name, dtype, produce(), elements);
                      }});
  }

  std::size_t size() const { return items_.size(); }

  /// Writes the file, atomically (see `AtomicFile`). ArgumentError where a finite value would turn
  /// infinite in its dtype, or a producer gives another number of values than its shape holds.
  void save(const std::filesystem::path& path) const {
    AtomicFile file(path);
    write(file);
    file.commit();
  }

  /// The same into a file that the caller commits.
  void write(AtomicFile& file) const {
    // Wide elements first: every tensor then begins at a multiple of its element size.
    std::vector<const Item*> order;
    order.reserve(items_.size());
    for (const Item& item : items_) order.push_back(&item);
    std::sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
      const std::size_t wide = dtype_bytes(a->info.dtype), other = dtype_bytes(b->info.dtype);
      return wide != other ? wide > other : a < b;  // by address: as added
    });

    std::string header = "{";
    if (!metadata_.empty()) {
      header += "\"__metadata__\":{";
      for (const auto& [key, value] : metadata_) {
        header += json_string(key) + ":" + json_string(value) + ",";
      }
      header.back() = '}';
      header += ',';
    }
    std::size_t offset = 0;
    for (const Item* item : order) {
      const std::size_t end = offset + item->info.bytes();
      header += json_string(item->name) + ":{\"dtype\":\"" + std::string(dtype_name(item->info.dtype)) +
                "\",\"shape\":" + shape_text(item->info.shape) + ",\"data_offsets\":[" +
                std::to_string(offset) + "," + std::to_string(end) + "]},";
      offset = end;
    }
    if (header.back() == ',') header.pop_back();
    header += '}';
    header.resize((header.size() + 7) / 8 * 8, ' ');
    if (header.size() > detail::max_safetensors_header) {
      throw ArgumentError("SafetensorsWriter: the header takes " + std::to_string(header.size()) +
                          " bytes, the format allows " + std::to_string(detail::max_safetensors_header) +
                          "; write several files");
    }

    const auto length = static_cast<std::uint64_t>(header.size());
    file.write(std::as_bytes(std::span(&length, 1)));
    file.write(header);
    for (const Item* item : order) item->write(file, item->info.elements());
  }

 private:
  struct Item {
    std::string name;
    TensorInfo info;
    std::function<void(AtomicFile&, std::size_t)> write;
  };

  static void require_utf8(const char* what, const std::string& text) {
    if (find_invalid_utf8(text) != std::string_view::npos) {
      throw ArgumentError(std::string("SafetensorsWriter: the ") + what + " " + detail::in_quotes(text) +
                          " is not UTF-8; encode it");
    }
  }

  template <class Stored, class T, class Convert>
  static void write_converted(AtomicFile& file, std::span<const T> values, const Convert& convert) {
    constexpr std::size_t block = 16384;
    std::vector<Stored> buffer(std::min(block, values.size()));
    for (std::size_t first = 0; first < values.size(); first += block) {
      const std::size_t count = std::min(block, values.size() - first);
      for (std::size_t i = 0; i < count; ++i) buffer[i] = convert(values[first + i], first + i);
      file.write(std::as_bytes(std::span<const Stored>(buffer.data(), count)));
    }
  }

  template <class T>
  static void write_values(AtomicFile& file, const std::string& name, Dtype dtype, std::span<const T> values,
                           std::size_t elements) {
    if (values.size() != elements) {
      throw ArgumentError("SafetensorsWriter: tensor " + detail::in_quotes(name) + " of " +
                          std::to_string(elements) + " elements was given " + std::to_string(values.size()) +
                          " values; pass as many as the shape holds");
    }
    const auto refuse = [&](T value, std::size_t i) {
      throw ArgumentError("SafetensorsWriter: tensor " + detail::in_quotes(name) + ", element " +
                          std::to_string(i) + ": " + std::to_string(value) + " is outside of " +
                          std::string(dtype_name(dtype)) + "; write a wider dtype");
    };
    if constexpr (std::floating_point<T>) {
      const auto narrow = [&](T value, std::size_t i) {
        const auto result = static_cast<float>(value);
        if (std::isinf(result) && !std::isinf(value)) refuse(value, i);
        return result;
      };
      switch (dtype) {
        case Dtype::F64:
          if constexpr (std::same_as<T, double>) return file.write(std::as_bytes(values));
          return write_converted<double>(file, values,
                                         [](T value, std::size_t) { return static_cast<double>(value); });
        case Dtype::F32:
          if constexpr (std::same_as<T, float>) return file.write(std::as_bytes(values));
          return write_converted<float>(file, values, narrow);
        case Dtype::BF16:
          return write_converted<std::uint16_t>(file, values, [&](T value, std::size_t i) {
            const std::uint16_t bits = BFloat16(narrow(value, i)).bits;
            if ((bits & 0x7FFFu) == 0x7F80u && !std::isinf(value)) refuse(value, i);
            return bits;
          });
        default:
          return write_converted<std::uint16_t>(file, values, [&](T value, std::size_t i) {
            const std::uint16_t bits = detail::float_to_float16(narrow(value, i));
            if ((bits & 0x7FFFu) == 0x7C00u && !std::isinf(value)) refuse(value, i);
            return bits;
          });
      }
    } else if (dtype == Dtype::I64) {
      write_converted<std::int64_t>(file, values, [](T value, std::size_t) { return std::int64_t{value}; });
    } else {
      write_converted<std::int32_t>(file, values, [&](T value, std::size_t i) {
        if (!std::in_range<std::int32_t>(value)) refuse(value, i);
        return static_cast<std::int32_t>(value);
      });
    }
  }

  std::map<std::string, std::string> metadata_;
  std::vector<Item> items_;
  std::set<std::string> names_;
};

}  // namespace sdlora
