#include <sdlora/tensor/detail/bounded_cache.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>

using sdlora::detail::BoundedCache;

TEST_CASE("bounded_cache: what was put in is found, and a second value takes the first one's place") {
  BoundedCache<int, std::string> cache(3);
  CHECK(cache.find(1) == nullptr);
  CHECK(cache.insert(1, "one") == "one");
  REQUIRE(cache.find(1) != nullptr);
  CHECK(*cache.find(1) == "one");
  CHECK(cache.insert(1, "uno") == "uno");
  CHECK(*cache.find(1) == "uno");
  CHECK(cache.size() == 1);
}

TEST_CASE("bounded_cache: the one that was not asked for for the longest time goes") {
  BoundedCache<int, std::string> cache(3);
  for (const int key : {1, 2, 3}) cache.insert(key, std::to_string(key));
  CHECK(cache.find(1) != nullptr);
  cache.insert(4, "4");
  CHECK(cache.size() == 3);
  CHECK(cache.find(2) == nullptr);
  CHECK(cache.find(1) != nullptr);
  CHECK(cache.find(3) != nullptr);
  cache.insert(3, "again");  // which is there, so that nothing goes
  CHECK(cache.find(1) != nullptr);
  CHECK(cache.find(4) != nullptr);
  CHECK(cache.size() == 3);
  for (int key = 10; key < 30; ++key) cache.insert(key, "");
  CHECK(cache.size() == 3);
  CHECK(cache.find(26) == nullptr);
  CHECK(cache.find(27) != nullptr);
}

TEST_CASE("bounded_cache: of one, and of values that cannot be copied") {
  BoundedCache<int, std::unique_ptr<int>> cache(1);
  cache.insert(1, std::make_unique<int>(7));
  cache.insert(2, std::make_unique<int>(8));
  CHECK(cache.find(1) == nullptr);
  REQUIRE(cache.find(2) != nullptr);
  CHECK(**cache.find(2) == 8);
}
