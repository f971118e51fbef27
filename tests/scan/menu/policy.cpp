#include <sdlora/scan/menu/policy.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

namespace {

struct Nameless {
  template <AssociativeOperator Op>
  static void inclusive(std::span<typename Op::value_type>, const Op&, Workspace&) {}
};
struct Idle {
  [[maybe_unused]] static constexpr std::string_view name = "idle";
};
struct WithState : Sequential {
  int state = 0;
};
/// A policy of a user: nothing but the one function for any operator.
struct Backwards {
  static constexpr std::string_view name = "backwards";
  template <AssociativeOperator Op>
  static void inclusive(std::span<typename Op::value_type> x, const Op& op, Workspace&) {
    for (std::size_t i = x.size(); i-- > 1;) {
      for (std::size_t j = i; j < x.size() && i == 1; ++j) x[j] = op(x[j - 1], x[j]);
    }
  }
};

/// A policy of a user with a limited domain: it takes no initial state.
struct FromZero {
  static constexpr std::string_view name = "from_zero";
  template <class T>
  static void check(const LinearBlock<T>& x) {
    if (x.initial) throw ArgumentError("FromZero: column " + std::to_string(x.first_column));
  }
  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace& workspace) {
    Sequential::columns(x, workspace);
  }
};

static_assert(!ScanPolicy<Nameless>);
static_assert(ScanPolicy<FromZero> && GuardedColumnScan<FromZero> && !GuardedColumnScan<Sequential>);
static_assert(!ScanPolicy<Idle>);
static_assert(!ScanPolicy<WithState>);
static_assert(ScanPolicy<Backwards> && ElementScan<Backwards> && !ColumnScan<Backwards>);

}  // namespace

TEST_CASE("scan policy: a user's own works for elements, columns and gradients") {
  scan_checks::check_exactly<scan_checks::Concatenate>(Backwards{}, 20);
  scan_checks::check_columns(
      Backwards{}, scan_checks::ColumnProblem<float>(23, 5, scan_checks::signs, scan_checks::inputs), 1e-6);
  scan_checks::check_gradients(Backwards{}, 5, 3, {}, ScanDirection::Reverse, true);
}

TEST_CASE("scan policy: a user's own guard is asked before anything is written") {
  const std::vector<float> a(2 * 600, 0.5F), initial(600, 1.0F);
  std::vector<float> h(a.size(), -77.0F);
  const MatrixView<const float> x(a.data(), 2, 600);
  const MatrixView<float> result(h.data(), 2, 600);
  CHECK_THROWS_WITH_AS(scan(FromZero{}, x, x, result, {.initial = {initial.data(), 1, 600}}),
                       "FromZero: column 0", ArgumentError);
  CHECK(std::ranges::count(h, -77.0F) == 1200);
  scan(FromZero{}, x, x, result);
  CHECK(std::ranges::count(h, 0.75F) == 600);
}

TEST_CASE("LinearBlock: a part keeps to its columns") {
  const float a[6] = {}, initial[6] = {1, 2, 3, 4, 5, 6};
  float h[6];
  LinearBlock<float> x;
  x.a = x.b = a;
  x.h = h;
  x.columns = 6;
  x.initial = initial;
  const auto part = x.columns_from(2, 3).columns_from(1, 2);
  CHECK(part.a == a + 3);
  CHECK(part.h == h + 3);
  CHECK(part.columns == 2);
  CHECK(part.first_column == 3);
  CHECK(part.initial_state(1) == 5);
  x.initial = nullptr;
  CHECK(x.columns_from(2, 3).initial_state(1) == 0);
}
