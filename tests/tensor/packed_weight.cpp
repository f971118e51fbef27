#include "support/naive_backend.hpp"
#include "support/weight_cases.hpp"

#include <sdlora/tensor/packed_weight.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Products of a weight through its packed panels, against those without.
template <class Stored, class Products>
void check_packed(NaiveBackend& backend, Packing packing) {
  const std::size_t m = 9, n = 700, k = 300;
  const StoredMatrix<Stored> stored(n, k, exact_values(n * k, 3), 1, sizeof(Stored) > 2 ? 0 : 1);
  const auto weight = stored.template weight<Products>();
  const auto x = exact_values(m * n, 1);  // for both directions
  const auto products = [&](const auto& w) {
    std::vector<float> found(m * w.rows + m * k);
    matmul(MatrixView<float>(found.data(), m, w.rows), MatrixView<const float>(x.data(), m, k),
           transposed(w));
    matmul(MatrixView<float>(found.data() + m * w.rows, m, k), MatrixView<const float>(x.data(), m, w.rows),
           w);
    return found;
  };
  const UseBackend use(&backend);
  const std::vector<float> expected = products(weight);
  const std::size_t without = backend.packed_products;
  const PackedWeight<Stored, Products> packed(weight, packing);
  const std::size_t directions = packing == Packing::Both ? 2 : packing == Packing::Forward ? 1 : 0;
  CHECK(without == 0);
  const std::size_t value = std::is_same_v<Products, BFloat16> && backend.bfloat16 ? 2 : 4;
  CHECK(packed.bytes() == directions * n * k * value);
  CHECK(products(packed.weight()) == expected);
  CHECK((backend.packed_products > 0) == (directions > 0));

  // Blocks of rows go through the panels of the forward product where these are whole.
  const auto through = [&](std::size_t first, std::size_t count) {
    backend.packed_products = 0;
    const auto w = packed.weight().rows_from(first, count);
    CHECK(products(w) == products(weight.rows_from(first, count)));
    return backend.packed_products > 0;
  };
  CHECK(through(256, 256) == (directions > 0));
  CHECK(through(512, 188) == (directions > 0));
  CHECK(!through(256, 100));
  CHECK(!through(5, 256));
  backend.packed_products = 0;
}

}  // namespace

TEST_CASE("packed_weight: products read the panels that were packed, and give the same") {
  for (const Packing packing : {Packing::None, Packing::Forward, Packing::Both}) {
    NaiveBackend backend;
    backend.bfloat16 = true;
    check_packed<BFloat16, BFloat16>(backend, packing);
    check_packed<float, BFloat16>(backend, packing);
    check_packed<float, float>(backend, packing);
    backend.bfloat16 = false;
    check_packed<BFloat16, BFloat16>(backend, packing);
    check_packed<BFloat16, float>(backend, packing);
  }
}

TEST_CASE("packed_weight: a backend that no longer takes its panels gets the weight") {
  NaiveBackend backend;
  backend.bfloat16 = true;
  const StoredMatrix<BFloat16> stored(300, 40, exact_values(300 * 40, 3));
  const auto x = exact_values(9 * 40, 1);
  std::vector<float> first(9 * 300), second(9 * 300);
  const MatrixView<const float> X(x.data(), 9, 40);
  const UseBackend use(&backend);
  const PackedWeight<BFloat16> packed(stored.weight(), Packing::Both);
  matmul(MatrixView<float>(first.data(), 9, 300), X, transposed(packed.weight()));
  backend.refuses_packed = true;
  matmul(MatrixView<float>(second.data(), 9, 300), X, transposed(packed.weight()));
  CHECK(first == second);
  backend.refuses_bfloat16 = true;
  matmul(MatrixView<float>(second.data(), 9, 300), X, transposed(packed.weight()));
  CHECK(first == second);
}

TEST_CASE("packed_weight: without a backend, or with another, the weight is read where it lies") {
  NaiveBackend backend;
  const StoredMatrix<BFloat16> stored(30, 40, exact_values(1200, 3));
  const auto x = exact_values(9 * 40, 1);
  std::vector<float> first(9 * 30), second(9 * 30);
  const MatrixView<const float> X(x.data(), 9, 40);
  const PackedWeight<BFloat16> nothing(stored.weight(), Packing::Both);
  CHECK(nothing.bytes() == 0);
  CHECK(nothing.weight().packed == nullptr);
  CHECK(PackedWeight<BFloat16>().bytes() == 0);
  std::unique_ptr<PackedWeight<BFloat16>> packed;
  {
    const UseBackend use(&backend);
    packed = std::make_unique<PackedWeight<BFloat16>>(stored.weight(), Packing::Forward);
  }
  CHECK(packed->bytes() > 0);
  matmul(MatrixView<float>(first.data(), 9, 30), X, transposed(stored.weight()));
  matmul(MatrixView<float>(second.data(), 9, 30), X, transposed(packed->weight()));
  CHECK(first == second);
  CHECK(backend.packed_products == 0);
}
