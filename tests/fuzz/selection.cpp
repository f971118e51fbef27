#include "target.hpp"

#include <sdlora/training/selection_file.hpp>

namespace fuzz_selection {

using namespace sdlora;

void read(std::string_view input) {
  (void)read_selection(fuzz::write("selection.json", input), 20, 16, {{"base", "a"}});
}

std::vector<std::string> seeds() {
  const auto path = fuzz::folder() / "selection.json";
  write_selection(path, {20, 16, {{{1, 7, 19}, {0, 15, 3}}, {{0, 1, 2}, {0, 1, 2}}}}, {{"base", "a"}});
  return {fuzz::content(path)};
}

[[maybe_unused]] const bool added = fuzz::add({"selection", fuzz::Parts::json, read, seeds});

}  // namespace fuzz_selection
