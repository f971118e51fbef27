#include <sdlora/scan/menu/segmented.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;
using scan_checks::ModularMatrix;

TEST_CASE("Segmented: is associative, has an identity, and forgets what comes before a head") {
  const Segmented<ModularMatrix> op;
  std::mt19937 generator(3);
  for (int i = 0; i < 200; ++i) {
    SegmentedValue<ModularMatrix::value_type> v[3];
    for (auto& x : v) x = {ModularMatrix::random(generator), generator() % 2 == 0};
    CHECK(op(op(v[0], v[1]), v[2]) == op(v[0], op(v[1], v[2])));
    CHECK(op(op.identity(), v[0]) == v[0]);
    CHECK(op(v[0], op.identity()) == v[0]);
    v[1].starts = true;
    CHECK(op(v[0], v[1]).value == v[1].value);
  }
}

TEST_CASE("Segmented: a scan under it restarts at heads") {
  using Value = SegmentedValue<std::string>;
  const std::vector<Value> in = {{"a", true},  {"b", false}, {"c", true},
                                 {"d", false}, {"e", false}, {"f", true}};
  std::vector<Value> out(in.size());
  scan(Sequential{}, in, out, {}, Segmented<scan_checks::Concatenate>{});
  const char* const expected[] = {"a", "ab", "c", "cd", "cde", "f"};
  for (std::size_t i = 0; i < out.size(); ++i) CHECK(out[i].value == expected[i]);
}
