#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

namespace sdlora::detail {

/// At most so many values by their keys. One more takes the place of that which was not asked for for the
/// longest time. Not for several threads at once.
template <class Key, class Value>
class BoundedCache {
 public:
  explicit BoundedCache(std::size_t most) : most_(most) {}

  /// Null where it is not there. Valid until the next `insert`.
  const Value* find(const Key& key) {
    const auto place = entries_.find(key);
    if (place == entries_.end()) return nullptr;
    place->second.used = ++clock_;
    return &place->second.value;
  }

  /// Where the key is there, its value is replaced.
  const Value& insert(const Key& key, Value value) {
    if (entries_.size() >= most_ && !entries_.contains(key)) {
      entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& x, const auto& y) {
        return x.second.used < y.second.used;
      }));
    }
    return entries_.insert_or_assign(key, Entry{std::move(value), ++clock_}).first->second.value;
  }

  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Value value;
    std::uint64_t used;
  };
  std::size_t most_;
  std::map<Key, Entry> entries_;
  std::uint64_t clock_ = 0;
};

}  // namespace sdlora::detail
