#pragma once

#include "version.hpp"

#include <cmath>
#include <string_view>

namespace sdlora {

/// What there is to say of one setting, a member of a struct of options. Such a struct names its members
/// once, in a visitor: a function that calls visit(Setting, member) for each. Checks, files, command lines
/// and the identities of runs all go by it.
struct Setting {
  std::string_view name;  ///< the member's
  std::string_view help;  ///< what it is, beside its name; may be empty
  /// As what it stands in a RunIdentity, where not as its name. Neighbours of one key are one text.
  std::string_view key = {};
  /// What a value has to be, as "a learning rate above 0", and whether one is; null: any is good.
  std::string_view expected = {};
  bool (*good)(double value) = nullptr;
  /// It decides when a run ends, and nothing before: a run goes on with another value, and no RunIdentity
  /// has it.
  bool ends_only = false;

  constexpr std::string_view identity_key() const { return key.empty() ? name : key; }
};

namespace detail {
inline constexpr double most_examples = 1 << 24;
constexpr bool is_count(double value) { return value >= 1.0 && value <= most_examples; }
constexpr bool is_count_or_zero(double value) { return value >= 0.0 && value <= most_examples; }
constexpr bool is_below_one(double value) { return value >= 0.0 && value < 1.0; }
constexpr bool is_part(double value) { return value >= 0.0 && value <= 1.0; }
inline bool is_positive(double value) { return value > 0.0 && std::isfinite(value); }
inline bool is_not_negative(double value) { return value >= 0.0 && std::isfinite(value); }
}  // namespace detail

}  // namespace sdlora
