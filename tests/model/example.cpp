#include <doctest/doctest.h>

#include <sdlora/model/example.hpp>

using namespace sdlora;

TEST_CASE("the first label is predicted from nothing and never counts") {
  CHECK(loss_tokens({}) == 0);
  CHECK(loss_tokens({{7}, {7}}) == 0);
  CHECK(loss_tokens({{7, 8, 9}, {7, 8, 9}}) == 2);
  CHECK(loss_tokens({{7, 8, 9}, {-100, -100, 9}}) == 1);
  CHECK(loss_tokens({{7, 8, 9}, {7, -100, -100}}) == 0);
}
