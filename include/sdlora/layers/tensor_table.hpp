#pragma once

#include "../adapters/policy.hpp"

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace sdlora {

/// Rows of a tensor, one after another: those of one site, or of none (an empty name), which stay as they
/// are.
template <class Dimensions>
struct TensorPart {
  std::string_view site = {};
  std::size_t (*rows)(const Dimensions&) = nullptr;
};

/// The shape that a checkpoint gives to (rows, cols) values.
enum class TensorForm {
  Vector,       ///< (cols), of one row
  Matrix,       ///< (rows, cols)
  Convolution,  ///< (rows, 1, cols)
};

/// What is known of one pre-trained tensor before its values are.
template <class Dimensions>
struct TensorFacts {
  std::string_view key;  ///< in a checkpoint of Hugging Face's style, behind the prefix of its layer
  TensorForm form = TensorForm::Matrix;
  std::array<TensorPart<Dimensions>, 3> parts = {};  ///< those without `rows` do not exist
  std::size_t (*cols)(const Dimensions&) = nullptr;
  bool decay = true;                             ///< whether weight decay applies to what learns here
  std::size_t place = 0;                         ///< its place among the tensors of a checkpoint
  bool (*present)(const Dimensions&) = nullptr;  ///< whether there is such a tensor; null: always

  constexpr bool exists(const Dimensions& m) const { return present == nullptr || present(m); }
  /// The shape of its values in memory.
  constexpr SiteShape shape(const Dimensions& m) const {
    std::size_t rows = 0;
    for (const TensorPart<Dimensions>& part : parts) rows += part.rows == nullptr ? 0 : part.rows(m);
    return {rows, cols(m)};
  }
  /// Its shape in a checkpoint.
  std::vector<std::size_t> stored_shape(const Dimensions& m) const {
    const SiteShape s = shape(m);
    switch (form) {
      case TensorForm::Vector:
        return {s.cols};
      case TensorForm::Convolution:
        return {s.rows, 1, s.cols};
      default:
        return {s.rows, s.cols};
    }
  }
};

/// A line of an architecture's table: where the tensor is among the weights, and what is known of it.
/// A table is a std::tuple of such lines.
template <class Member, class Dimensions>
struct TensorLine {
  Member member;
  TensorFacts<Dimensions> facts;
};

/// Calls f(line) for every line of a table.
template <class Function, class... Lines>
constexpr void for_each_line(const std::tuple<Lines...>& table, const Function& f) {
  std::apply([&](const auto&... line) { (f(line), ...); }, table);
}

/// What is known of the tensors of a table.
template <class... Lines>
constexpr auto facts_of(const std::tuple<Lines...>& table) {
  return std::apply([](const auto&... line) { return std::array{line.facts...}; }, table);
}

/// to's members = from's, for two tables of the same lines.
template <class To, class From, class... ToLines, class... FromLines>
constexpr void assign_members(To& to, const std::tuple<ToLines...>& to_table, const From& from,
                              const std::tuple<FromLines...>& from_table) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((to.*std::get<I>(to_table).member = from.*std::get<I>(from_table).member), ...);
  }(std::make_index_sequence<sizeof...(ToLines)>{});
}

/// Where a site lies: a tensor of a table, and which of its parts. Not `found`: in none.
struct SitePosition {
  bool found = false;
  std::size_t tensor = 0;
  std::size_t part = 0;
};

/// Where a table has the site of this name.
template <class Dimensions, std::size_t Count>
constexpr SitePosition position_of(const std::array<TensorFacts<Dimensions>, Count>& facts,
                                   std::string_view site) {
  for (std::size_t i = 0; i < Count; ++i) {
    for (std::size_t k = 0; k < facts[i].parts.size(); ++k) {
      if (facts[i].parts[k].rows != nullptr && facts[i].parts[k].site == site) return {true, i, k};
    }
  }
  return {};
}

/// The shape of the `part`th part of a tensor.
template <class Dimensions>
constexpr SiteShape part_shape(const TensorFacts<Dimensions>& facts, std::size_t part, const Dimensions& m) {
  return {facts.parts[part].rows(m), facts.cols(m)};
}

/// The first row of the `part`th part of a tensor.
template <class Dimensions>
constexpr std::size_t first_row(const TensorFacts<Dimensions>& facts, std::size_t part, const Dimensions& m) {
  std::size_t first = 0;
  for (std::size_t k = 0; k < part; ++k) first += facts.parts[k].rows(m);
  return first;
}

/// How many values the tensors of a table have.
template <class Dimensions, std::size_t Count>
constexpr std::size_t values_of(const std::array<TensorFacts<Dimensions>, Count>& facts,
                                const Dimensions& m) {
  std::size_t count = 0;
  for (const TensorFacts<Dimensions>& each : facts) count += each.exists(m) ? each.shape(m).size() : 0;
  return count;
}

/// Values that learn where a checkpoint has none, as the initial state.
template <class Dimensions>
struct AddedValues {
  std::string_view site;
  SiteShape (*shape)(const Dimensions&);  ///< of a prompt or prefix that of one row
  bool decay;
};

}  // namespace sdlora
