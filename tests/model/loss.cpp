#include <sdlora/model/loss.hpp>

#include <doctest/doctest.h>

using namespace sdlora;

TEST_CASE("loss: the mean over its predictions, and zero of none") {
  CHECK(Loss{6.0, 4}.mean() == 1.5);
  CHECK(Loss{}.mean() == 0.0);
}
