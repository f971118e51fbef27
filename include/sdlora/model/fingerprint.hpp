#pragma once

#include "../tensor/extents.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/random.hpp"
#include "base.hpp"
#include "example.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sdlora {

namespace detail {

/// A 64-bit hash that is fed step by step; it tells files and options apart, and is no defence
/// against someone who means harm.
class Hash {
 public:
  void add(std::uint64_t word) { state_ = splitmix(state_ ^ splitmix(word + 0x9e3779b97f4a7c15U)); }
  void add(double value) { add(std::bit_cast<std::uint64_t>(value)); }
  void add(std::string_view text) {
    add(static_cast<std::uint64_t>(text.size()));
    std::uint64_t fnv = 0xcbf29ce484222325U;
    for (const char c : text) fnv = (fnv ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    add(fnv);
  }
  std::uint64_t value() const { return splitmix(state_); }

 private:
  std::uint64_t state_ = 0;
};

/// The hash of `count` values as float32, which next() gives one after another, with four independent lanes
/// so that memory sets the pace.
template <class Next>
std::uint64_t hash_values(std::size_t count, Next next) {
  std::uint64_t lanes[4] = {1, 2, 3, 4};
  const auto add = [&](std::size_t i) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(next()));
    lanes[i % 4] = std::rotl(lanes[i % 4] ^ (bits + 0x9e3779b97f4a7c15U), 27) * 0xbf58476d1ce4e5b9U;
  };
  for (std::size_t i = 0; i < count; ++i) add(i);
  Hash hash;
  for (const std::uint64_t lane : lanes) hash.add(lane);
  return hash.value();
}

}  // namespace detail

/// Which base this is: a hash over the names, shapes and values (as float32) of all its tensors, and
/// over norm_epsilon and mixer_norm_epsilon (as float32 too), the numbers besides them that decide what it
/// computes.
/// The same for both styles of checkpoint and for every configuration type, scalar type and number
/// of threads; any changed weight changes it. Matrices that are stored as bfloat16 or int8 count by their
/// values: a base that was rounded from a float32 checkpoint is another one, one that a bfloat16 checkpoint
/// gives is the same in both precisions. Adapters and training checkpoints carry it.
template <Config C, class T, class D>
std::uint64_t fingerprint(const Base<C, T, D>& base) {
  if constexpr (!is_host<D>) {
    return fingerprint(base.on_host());
  } else {
    constexpr std::size_t block = std::size_t{1} << 18;
    detail::Hash hash;
    hash.add(std::uint64_t{std::bit_cast<std::uint32_t>(static_cast<float>(base.dimensions().norm_epsilon))});
    if (const auto mixer = static_cast<float>(base.dimensions().mixer_norm_epsilon); mixer != 0.0F) {
      hash.add(std::uint64_t{std::bit_cast<std::uint32_t>(mixer)});  // so that Mamba's stay what they were
    }
    std::vector<std::uint64_t> parts;
    // values_from(first) is a function that gives the values from there on.
    const auto add = [&](const std::string& name, const std::vector<std::size_t>& shape, std::size_t count,
                         const auto& values_from) {
      hash.add(name);
      for (const std::size_t extent : shape) hash.add(static_cast<std::uint64_t>(extent));
      parts.resize(detail::ceil_div(count, block));
      parallel_for(parts.size(), [&](std::size_t task) {
        const std::size_t first = task * block;
        parts[task] = detail::hash_values(std::min(block, count - first), values_from(first));
      });
      for (const std::uint64_t part : parts) hash.add(part);
    };
    base.visit(Overloaded{
        [&](const std::string& name, const auto& values, const std::vector<std::size_t>& shape) {
          add(name, shape, values.rows * values.cols,
              [&](std::size_t first) { return [at = values.data + first]() mutable { return *at++; }; });
        },
        [&](const std::string& name, MatrixView<const std::int8_t> values, MatrixView<const float> scales,
            const std::vector<std::size_t>& shape) {
          add(name, shape, values.rows * values.cols, [&](std::size_t first) {
            return [&, row = first / values.cols, column = first % values.cols]() mutable {
              const float value = static_cast<float>(values(row, column)) * scales(0, row);
              if (++column == values.cols) {
                column = 0;
                ++row;
              }
              return value;
            };
          });
        }});
    return hash.value();
  }
}

/// Which examples these are, and in which order: a hash over all ids and labels.
inline std::uint64_t fingerprint(std::span<const Example> examples) {
  detail::Hash hash;
  for (const Example& example : examples) {
    hash.add(static_cast<std::uint64_t>(example.ids.size()));
    for (const std::int32_t id : example.ids) hash.add(static_cast<std::uint64_t>(id));
    for (const std::int32_t label : example.labels) hash.add(static_cast<std::uint64_t>(label));
  }
  return hash.value();
}

/// A fingerprint as files carry it: 16 hexadecimal digits.
inline std::string fingerprint_text(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15U];
  return text;
}

}  // namespace sdlora
