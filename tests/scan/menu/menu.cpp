#include <sdlora/scan/menu/menu.hpp>
#include <set>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("menu: all algorithms of one call agree, and no two share a name") {
  const scan_checks::ColumnProblem<float> p(97, 33, scan_checks::decay, scan_checks::positive);
  const auto options = p.options(ScanKind::Inclusive, ScanDirection::Forward, true);
  const auto expected = p.oracle(options);
  std::set<std::string_view> names;
  const auto run = [&](auto policy) {
    CAPTURE(policy.name);
    CHECK(names.insert(policy.name).second);
    std::vector<float> h(p.a.size());
    scan(policy, p.view(p.a), p.view(p.b), p.view(h), options);
    CHECK(scan_checks::largest_error(p, h, expected) < 2e-5);
  };
  ColumnPolicies::for_each(run);
  GuardedPolicies::for_each(run);
  CHECK(names.size() == 10);
  ElementPolicies::for_each([&](auto policy) { CHECK(names.contains(policy.name)); });
}
