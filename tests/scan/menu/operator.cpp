#include <doctest/doctest.h>

#include <random>
#include <sdlora/scan/menu/operator.hpp>
#include <string>

using namespace sdlora;

TEST_CASE("LinearRecurrence: composes in scan order, is associative, has an identity, does not commute") {
  const LinearRecurrence<long> op;
  std::mt19937 generator(1);
  const auto make = [&] {
    return LinearStep<long>{static_cast<long>(generator() % 9) - 4, static_cast<long>(generator() % 9)};
  };
  int commuting = 0;
  for (int i = 0; i < 200; ++i) {
    const auto x = make(), y = make(), z = make();
    const long state = static_cast<long>(generator() % 100);
    CHECK(op.apply(op(x, y), state) == op.apply(y, op.apply(x, state)));
    CHECK(op(op(x, y), z) == op(x, op(y, z)));
    CHECK(op(op.identity(), x) == x);
    CHECK(op(x, op.identity()) == x);
    commuting += op(x, y) == op(y, x);
  }
  CHECK(commuting < 100);
  CHECK(LinearRecurrence<long>::apply({}, 42) == 42);
  static_assert(LinearRecurrence<int>{}({2, 3}, {5, 7}) == LinearStep<int>{10, 22});
}

namespace {

struct NoIdentity {
  using value_type = int;
  int operator()(int x, int y) const { return x + y; }
};
struct NoValueType {
  int operator()(int x, int y) const { return x + y; }
  static int identity() { return 0; }
};
/// An operator with a state of its own: an identity that only its values know.
struct Padded {
  using value_type = std::string;
  std::string nothing;
  std::string operator()(const std::string& x, const std::string& y) const {
    return x == nothing ? y : y == nothing ? x : x + y;
  }
  std::string identity() const { return nothing; }
};

static_assert(!AssociativeOperator<NoIdentity>);
static_assert(!AssociativeOperator<NoValueType>);
static_assert(AssociativeOperator<Padded>);
static_assert(std::is_same_v<default_operator_t<LinearStep<double>>, LinearRecurrence<double>>);

}  // namespace
