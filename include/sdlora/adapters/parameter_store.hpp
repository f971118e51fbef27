#pragma once

#include "../error.hpp"
#include "../tensor/device.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/matrix_view.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
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
  double rate_factor = 1.0;               ///< times the learning rate

  std::size_t size() const { return rows * cols; }
};

/// How a learned tensor is trained, where not as its place says.
struct HowLearned {
  double rate_factor = 1.0;        ///< times the learning rate, as for LoRA+'s B
  std::optional<bool> decay = {};  ///< whether weight decay applies
};

/// A learned matrix and its gradient, of equal shape. Empty where nothing learns.
template <class T, class Device = Cpu>
struct Learned {
  MatrixView<T, Device> value;
  MatrixView<T, Device> gradient;

  explicit operator bool() const { return value.data != nullptr; }
};

/// Everything that learns in a model, in the memory of a device: one contiguous array of values, one of
/// gradients, and the names and shapes of their parts. Optimizer, clipping, checkpoints and files all work on
/// it, so they need to know nothing of layers or adapters.
template <class T, class Device = Cpu>
class ParameterStore {
 public:
  using device_type = Device;

  /// Room for exactly `count` values, all zero. Throws ShapeError where no memory can hold them.
  explicit ParameterStore(std::size_t count)
      : capacity_(count), values_(std::max<std::size_t>(1, count)), gradients_(values_.capacity()) {
    Storage<T, Device>::zero(values_.data(), capacity_);
    Storage<T, Device>::zero(gradients_.data(), capacity_);
  }

  /// Appends a parameter (rows, cols). Parameters added one after another lie one after another. Throws
  /// ShapeError where there is no room.
  Learned<T, Device> add(std::string name, std::string_view site, std::size_t rows, std::size_t cols,
                         bool decay, std::optional<std::size_t> layer = {}, double rate_factor = 1.0) {
    const std::size_t count =
        detail::checked_size(Extents<dyn, dyn>(rows, cols), sizeof(T), "ParameterStore");
    if (count > capacity_ - used_) {
      throw ShapeError("ParameterStore: " + name + " does not fit: room for " + std::to_string(capacity_) +
                       " values, " + std::to_string(used_ + count) +
                       " needed; the placement's count and its state disagree");
    }
    entries_.push_back({std::move(name), std::string(site), rows, cols, used_, decay, layer, rate_factor});
    const Learned<T, Device> learned{{values_.data() + used_, rows, cols},
                                     {gradients_.data() + used_, rows, cols}};
    used_ += count;
    return learned;
  }

  /// Appends what a policy's state learns at its place (a SitePlace): the place says the site, the layer and
  /// whether it decays; the parameter's name is the place's and then `suffix`, as ".lora_A".
  template <class Place>
  Learned<T, Device> add(const Place& place, std::string_view suffix, std::size_t rows, std::size_t cols,
                         HowLearned how = {}) {
    return add(place.name + std::string(suffix), place.site.name, rows, cols, how.decay.value_or(place.decay),
               place.layer, how.rate_factor);
  }

  /// Values (rows, cols) that do not learn, are not saved and serve every place of the model that asks for
  /// them by the same key, as a method's random matrices: value(i) of the host, made for the first. They live
  /// as long as the store.
  template <class Function>
  MatrixView<const T, Device> constant(const std::string& key, std::size_t rows, std::size_t cols,
                                       const Function& value) {
    const std::string name = key + " " + detail::extents_text(rows, cols);
    const auto [found, fresh] = constants_.try_emplace(name);
    auto& [memory, view] = found->second;
    if (fresh) {
      const std::size_t count =
          detail::checked_size(Extents<dyn, dyn>(rows, cols), sizeof(T), "ParameterStore");
      std::vector<T> host(count);
      for (std::size_t i = 0; i < count; ++i) host[i] = static_cast<T>(value(i));
      memory = Storage<T, Device>(count);
      Storage<T, Device>::write(memory.data(), host.data(), count);
      view = {memory.data(), rows, cols};
    }
    return view;
  }

  /// The values that a place asked for by that key, of one of the shapes where there are several; empty where
  /// none did.
  MatrixView<const T, Device> find_constant(const std::string& key) const {
    const auto found = constants_.lower_bound(key + " (");
    if (found == constants_.end() || !found->first.starts_with(key + " (")) return {};
    return found->second.second;
  }

  std::size_t size() const { return used_; }
  std::size_t capacity() const { return capacity_; }
  const std::vector<ParameterInfo>& entries() const { return entries_; }

  /// All values, (1, size), and their gradients.
  MatrixView<T, Device> value_row() { return {values_.data(), 1, used_}; }
  MatrixView<const T, Device> value_row() const { return {values_.data(), 1, used_}; }
  MatrixView<T, Device> gradient_row() { return {gradients_.data(), 1, used_}; }
  MatrixView<const T, Device> gradient_row() const { return {gradients_.data(), 1, used_}; }

  /// Copies of all values and gradients in host memory.
  std::vector<T> host_values() const { return on_host(values_); }
  std::vector<T> host_gradients() const { return on_host(gradients_); }
  /// Sets all values from host memory. Throws ShapeError unless they are `size()`.
  void set_values(std::span<const T> values) {
    if (values.size() != used_) {
      throw ShapeError("ParameterStore: expected " + std::to_string(used_) + " values, found " +
                       std::to_string(values.size()) + "; give one for each that learns");
    }
    Storage<T, Device>::write(values_.data(), values.data(), used_);
  }

  // The memory itself, on the host.
  std::span<T> values()
    requires is_host<Device>
  {
    return {values_.data(), used_};
  }
  std::span<const T> values() const
    requires is_host<Device>
  {
    return {values_.data(), used_};
  }
  std::span<T> gradients()
    requires is_host<Device>
  {
    return {gradients_.data(), used_};
  }
  std::span<const T> gradients() const
    requires is_host<Device>
  {
    return {gradients_.data(), used_};
  }
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

  void zero_gradients() { Storage<T, Device>::zero(gradients_.data(), used_); }

 private:
  std::vector<T> on_host(const Storage<T, Device>& memory) const {
    std::vector<T> result(used_);
    Storage<T, Device>::read(result.data(), memory.data(), used_);
    return result;
  }

  std::size_t capacity_;
  std::size_t used_ = 0;
  Storage<T, Device> values_;
  Storage<T, Device> gradients_;
  std::vector<ParameterInfo> entries_;
  std::map<std::string, std::pair<Storage<T, Device>, MatrixView<const T, Device>>> constants_;
};

}  // namespace sdlora
