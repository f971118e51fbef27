#pragma once

#include "place.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace sdlora {

namespace detail {
template <class... S, class... P>
std::vector<std::string> entry_texts(const Place<On<S, P>...>&) {
  return {(std::string(S::name) + "=" + std::string(P::name))...};
}
}  // namespace detail

/// A placement as text, "A_log=selected_dimensions out_proj=lora", in a fixed order: what adapter
/// files hold. Static and run-time sizes give the same text.
template <Placement P>
std::string describe() {
  std::vector<std::string> entries = detail::entry_texts(P{});
  std::sort(entries.begin(), entries.end());
  std::string text;
  for (const std::string& entry : entries) text += (text.empty() ? "" : " ") + entry;
  return text;
}

}  // namespace sdlora
