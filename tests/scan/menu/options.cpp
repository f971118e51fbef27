#include <sdlora/scan/menu/options.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("scan options: by default inclusive, forward, one sequence, from the identity or from zero") {
  const std::vector<std::string> letters = {"a", "b", "c"};
  std::vector<std::string> out(3);
  scan(Sequential{}, letters, out, {}, scan_checks::Concatenate{});
  CHECK(out == std::vector<std::string>{"a", "ab", "abc"});
  scan(Sequential{}, letters, out, {.kind = ScanKind::Exclusive}, scan_checks::Concatenate{});
  CHECK(out == std::vector<std::string>{"", "a", "ab"});
  scan(Sequential{}, letters, out, {.direction = ScanDirection::Reverse, .initial = "x"},
       scan_checks::Concatenate{});
  CHECK(out == std::vector<std::string>{"xcba", "xcb", "xc"});

  const float a[] = {2, 3}, b[] = {5, 7};
  float h[2];
  const MatrixView<float> result(h, 2, 1);
  scan(Sequential{}, {a, 2, 1}, {b, 2, 1}, result);
  CHECK(h[0] == 5);
  CHECK(h[1] == 22);
  const float initial = 1;
  scan(Sequential{}, {a, 2, 1}, {b, 2, 1}, result,
       {.kind = ScanKind::Exclusive, .initial = {&initial, 1, 1}});
  CHECK(h[0] == 1);
  CHECK(h[1] == 7);
}
