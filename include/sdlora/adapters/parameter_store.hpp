#pragma once

#include "../error.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/workspace.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora {

/// One named parameter of those that learn.
struct ParameterInfo {
  std::string name;  ///< unique in a model, as "layers.3.out_proj.lora_A"
  std::string site;  ///< the site's name, as "out_proj"
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t offset = 0;                 ///< of the first value in the store
  bool decay = false;                     ///< whether weight decay applies to it
  std::optional<std::size_t> layer = {};  ///< none: it is the model's own, as the embedding

  std::size_t size() const { return rows * cols; }
};

/// A learned matrix and its gradient, of equal shape. Empty where nothing learns.
template <class T>
struct Learned {
  MatrixView<T> value;
  MatrixView<T> gradient;

  explicit operator bool() const { return value.data != nullptr; }
};

/// Everything that learns in a model: one contiguous array of values, one of gradients, and the
/// names and shapes of their parts. Optimizer, clipping, checkpoints and files all work on it, so
/// they need to know nothing of layers or adapters.
template <class T>
class ParameterStore {
 public:
  /// Room for exactly `count` values, all zero. Throws ShapeError where no memory can hold them.
  explicit ParameterStore(std::size_t count)
      : capacity_(count),
        values_(detail::allocate_aligned(bytes_of(count))),
        gradients_(detail::allocate_aligned(bytes_of(count))) {
    std::fill_n(value_data(), count, T(0));
    std::fill_n(gradient_data(), count, T(0));
  }

  /// Appends a parameter (rows, cols). Parameters added one after another lie one after another. Throws
  /// ShapeError where there is no room.
  Learned<T> add(std::string name, std::string_view site, std::size_t rows, std::size_t cols, bool decay,
                 std::optional<std::size_t> layer = {}) {
    const std::size_t count =
        detail::checked_size(Extents<dyn, dyn>(rows, cols), sizeof(T), "ParameterStore");
    if (count > capacity_ - used_) {
      throw ShapeError("ParameterStore: " + name + " does not fit: room for " + std::to_string(capacity_) +
                       " values, " + std::to_string(used_ + count) +
                       " needed; the placement's count and its state disagree");
    }
    entries_.push_back({std::move(name), std::string(site), rows, cols, used_, decay, layer});
    const Learned<T> learned{{value_data() + used_, rows, cols}, {gradient_data() + used_, rows, cols}};
    used_ += count;
    return learned;
  }

  /// Appends what a policy's state learns at its place (a SitePlace): the place says the site, the layer and
  /// whether it decays; the parameter's name is the place's and then `suffix`, as ".lora_A".
  template <class Place>
  Learned<T> add(const Place& place, std::string_view suffix, std::size_t rows, std::size_t cols) {
    return add(place.name + std::string(suffix), place.site, rows, cols, place.decay, place.layer);
  }

  std::size_t size() const { return used_; }
  std::size_t capacity() const { return capacity_; }
  std::span<T> values() { return {value_data(), used_}; }
  std::span<const T> values() const { return {reinterpret_cast<const T*>(values_.get()), used_}; }
  std::span<T> gradients() { return {gradient_data(), used_}; }
  std::span<const T> gradients() const { return {reinterpret_cast<const T*>(gradients_.get()), used_}; }
  const std::vector<ParameterInfo>& entries() const { return entries_; }

  std::span<T> values(const ParameterInfo& entry) { return values().subspan(entry.offset, entry.size()); }
  std::span<const T> values(const ParameterInfo& entry) const {
    return values().subspan(entry.offset, entry.size());
  }
  std::span<T> gradients(const ParameterInfo& entry) {
    return gradients().subspan(entry.offset, entry.size());
  }
  std::span<const T> gradients(const ParameterInfo& entry) const {
    return gradients().subspan(entry.offset, entry.size());
  }

  /// The parameter of that name, or null.
  const ParameterInfo* find(std::string_view name) const {
    for (const ParameterInfo& entry : entries_) {
      if (entry.name == name) return &entry;
    }
    return nullptr;
  }

  void zero_gradients() { std::fill_n(gradient_data(), used_, T(0)); }

 private:
  static std::size_t bytes_of(std::size_t count) {
    return detail::checked_bytes(std::max<std::size_t>(1, count), sizeof(T), "ParameterStore");
  }
  T* value_data() { return reinterpret_cast<T*>(values_.get()); }
  T* gradient_data() { return reinterpret_cast<T*>(gradients_.get()); }

  std::size_t capacity_;
  std::size_t used_ = 0;
  detail::AlignedBytes values_;
  detail::AlignedBytes gradients_;
  std::vector<ParameterInfo> entries_;
};

}  // namespace sdlora
