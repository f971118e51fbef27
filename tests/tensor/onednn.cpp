#include "support/naive_backend.hpp"
#include "support/weight_cases.hpp"

#include <sdlora/tensor/matmul.hpp>
#include <sdlora/tensor/onednn.hpp>
#include <sdlora/tensor/packed_weight.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <string>
#include <thread>

using namespace sdlora;
using namespace sdlora_test;

namespace {

const std::vector<WeightShape> shapes{{1, 1, 1},    {1, 70, 1031}, {3, 5, 2},   {5, 1, 17},  {6, 1031, 3},
                                      {31, 257, 3}, {257, 31, 64}, {300, 5, 2}, {37, 67, 41}};

/// Whether oneDNN multiplies bfloat16 here; where not, sdlora's own panels are tested by the same calls.
bool has_bfloat16() {
  if (!OneDnn::instance().multiplies_bfloat16()) {
    std::puts(
        "oneDNN: this processor has no bfloat16 products; sdlora's panels on oneDNN's floats are tested "
        "instead");
  }
  return OneDnn::instance().multiplies_bfloat16();
}

/// op(a) · op(b) of whole numbers, by the definition.
struct Product {
  std::size_t m, n, k;
  bool transpose_a = false, transpose_b = false;
  std::vector<float> a, b, expected;

  Product(std::size_t m_, std::size_t n_, std::size_t k_, bool ta, bool tb)
      : m(m_),
        n(n_),
        k(k_),
        transpose_a(ta),
        transpose_b(tb),
        a(exact_values(m * k, m)),
        b(exact_values(k * n, n)),
        expected(m * n) {
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t l = 0; l < k; ++l) {
          expected[i * n + j] += (ta ? a[l * m + i] : a[i * k + l]) * (tb ? b[j * k + l] : b[l * n + j]);
        }
      }
    }
  }
  MatrixView<const float> A() const { return {a.data(), transpose_a ? k : m, transpose_a ? m : k}; }
  MatrixView<const float> B() const { return {b.data(), transpose_b ? n : k, transpose_b ? k : n}; }
};

}  // namespace

TEST_CASE("onednn: float products by the definition, in every layout") {
  const OneDnn& onednn = OneDnn::instance();
  for (const auto& [m, n, k] : {WeightShape{1, 1, 1}, WeightShape{7, 13, 3}, WeightShape{65, 2, 130},
                                WeightShape{1, 33, 5}, WeightShape{31, 1, 9}}) {
    for (const int layout : {0, 1, 2}) {
      const Product p(m, n, k, layout == 1, layout == 2);
      Padded<float> out(m, n, 2, std::vector<double>(m * n, std::numeric_limits<double>::quiet_NaN()));
      REQUIRE(
          onednn.multiply(out.view, {p.A(), p.transpose_a}, {p.B(), p.transpose_b}, Write::Overwrite, 1.0F));
      CHECK(out.values() == p.expected);
      REQUIRE(onednn.multiply(out.view, {p.A(), p.transpose_a}, {p.B(), p.transpose_b}, Write::Add, -0.5F));
      std::vector<float> half(p.expected);
      for (float& value : half) value *= 0.5F;
      CHECK(out.values() == half);
    }
  }
  // Rows that are all the same are left to Eigen.
  const Product p(3, 2, 4, false, false);
  std::vector<float> out(6);
  CHECK(!onednn.multiply(MatrixView<float>(out.data(), 3, 2), {MatrixView<const float>(p.a.data(), 3, 4, 0)},
                         {p.B()}, Write::Overwrite, 1.0F));
}

TEST_CASE("onednn: primitives by the definition, plain and packed, for every number of rows") {
  auto& products = detail::OneDnnProducts<float>::instance();
  for (const std::size_t m : {1U, 2U, 3U, 17U, 32U, 33U, 65U}) {
    for (const bool transposed : {false, true}) {
      const Product p(m, 37, 19, false, transposed);
      CAPTURE(m);
      CAPTURE(transposed);
      const MatmulOperand<float> a{p.A()}, b{p.B(), transposed};
      const auto check = [&](const MatmulOperand<float>& right) {
        Padded<float> out(m, 37, 3, std::vector<double>(m * 37, std::numeric_limits<double>::quiet_NaN()));
        REQUIRE(products.multiply(out.view, a, right, Write::Overwrite, 1.0F));
        CHECK(out.values() == p.expected);
        REQUIRE(products.multiply(out.view, a, right, Write::Add, 2.0F));
        std::vector<float> thrice(p.expected);
        for (float& value : thrice) value *= 3;
        CHECK(out.values() == thrice);
        for (std::size_t i = 0; i < m; ++i) {
          for (std::size_t j = 37; j < 40; ++j) REQUIRE(out.memory[i * 40 + j] == 1e30F);
        }
      };
      check(b);
      const auto packed = products.pack(b, 256);
      REQUIRE(packed != nullptr);
      CHECK(packed->bytes() >= 37 * 19 * sizeof(float));
      check({MatrixView<const float>(nullptr, b.values.rows, b.values.cols), transposed, packed.get()});
    }
  }
  // A transposed left operand is another's work.
  const Product p(3, 2, 4, true, false);
  std::vector<float> out(6);
  CHECK(!products.multiply(MatrixView<float>(out.data(), 3, 2), {p.A(), true}, {p.B()}, Write::Overwrite,
                           1.0F));
}

TEST_CASE("onednn: bfloat16 is multiplied where the processor has that, and left to sdlora where not") {
  const bool bfloat16 = has_bfloat16();
  const Product p(33, 37, 19, false, true);
  std::vector<BFloat16> a, b;
  for (const float value : p.a) a.emplace_back(value);
  for (const float value : p.b) b.emplace_back(value);
  const MatmulOperand<BFloat16> left{MatrixView<const BFloat16>(a.data(), 33, 19)};
  const MatmulOperand<BFloat16> right{MatrixView<const BFloat16>(b.data(), 37, 19), true};
  std::vector<float> out(33 * 37);
  const MatrixView<float> view(out.data(), 33, 37);
  CHECK(OneDnn::instance().multiply(view, left, right, Write::Overwrite, 1.0F) == bfloat16);
  CHECK((OneDnn::instance().pack(right, 33) != nullptr) == bfloat16);
  // Asked for in spite of that, a primitive is refused without an error, or right.
  if (detail::OneDnnProducts<BFloat16>::instance().multiply(view, left, right, Write::Overwrite, 1.0F)) {
    CHECK(out == p.expected);
  } else {
    CHECK(!bfloat16);
  }
}

TEST_CASE("onednn: so many primitives are kept, whatever the shapes") {
  auto& products = detail::OneDnnProducts<float>::instance();
  using Products = detail::OneDnnProducts<float>;
  const std::vector<float> a(600 * 3, 1.0F);
  std::vector<float> out(600);
  const std::size_t before = products.primitives();
  for (std::size_t n = 1; n <= 600; ++n) {
    REQUIRE(products.multiply(MatrixView<float>(out.data(), 1, n), {MatrixView<const float>(a.data(), 1, 3)},
                              {MatrixView<const float>(a.data(), 3, n)}, Write::Overwrite, 1.0F));
    REQUIRE(out[n - 1] == 3.0F);
  }
  CHECK(before < Products::most_primitives);
  CHECK(products.primitives() == Products::most_primitives);
}

TEST_CASE("onednn: matmul and weights by the definition") {
  has_bfloat16();
  use_onednn();
  CHECK(std::string(matmul_backend_name()) == "oneDNN");
  check_weight_products<BFloat16, BFloat16>(shapes);
  check_weight_products<std::int8_t, BFloat16>(shapes);
  check_weight_products<float, BFloat16>(shapes);
  check_weight_products<BFloat16, float>(shapes);
  check_weight_products<float, float>(shapes);
  check_weight_products<double, double>({{5, 7, 3}});
  use_matmul_backend(nullptr);
}

TEST_CASE("onednn: the number of threads changes no bit") {
  has_bfloat16();
  const UseBackend use(&OneDnn::instance());
  for (const WeightShape& shape :
       {WeightShape{3, 150, 67}, WeightShape{300, 290, 131}, WeightShape{9, 1100, 61}}) {
    check_weight_bits<float, float>(shape);
    check_weight_bits<BFloat16, BFloat16>(shape);
    check_weight_bits<std::int8_t, BFloat16>(shape);
    check_weight_bits<float, BFloat16>(shape);
    check_weight_bits<BFloat16, float>(shape);
  }
}

TEST_CASE("onednn: packed weights give the products of those that are not") {
  const bool bfloat16 = has_bfloat16();
  const UseBackend use(&OneDnn::instance());
  const std::size_t m = 300, n = 260, k = 130;
  const StoredMatrix<BFloat16> stored(n, k, exact_values(n * k, 3));
  const auto x = exact_values(m * k, 1);
  const MatrixView<const float> X(x.data(), m, k);
  const PackedWeight<BFloat16> packed(stored.weight(), Packing::Both);
  CHECK((packed.bytes() >= 2 * n * k * sizeof(BFloat16)) == bfloat16);
  std::vector<float> first(m * n), second(m * n), third(m * k), fourth(m * k);
  matmul(MatrixView<float>(first.data(), m, n), X, transposed(stored.weight()));
  matmul(MatrixView<float>(second.data(), m, n), X, transposed(packed.weight()));
  CHECK(first == second);
  for (float& value : first) value = std::nearbyint(value / 64);
  const MatrixView<const float> d_y(first.data(), m, n);
  matmul(MatrixView<float>(third.data(), m, k), d_y, stored.weight());
  matmul(MatrixView<float>(fourth.data(), m, k), d_y, packed.weight());
  CHECK(third == fourth);
}

TEST_CASE("onednn: OpenMP's number of threads is left as it was, and none are started") {
  const auto most = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  const auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (most == nullptr) return;  // a oneDNN without threads
  const int before = most();
  set(5);
  const auto tasks = [] {
    const std::filesystem::path folder("/proc/self/task");
    if (!std::filesystem::exists(folder)) return std::ptrdiff_t{0};
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
  };
  const std::ptrdiff_t started = tasks();
  const Product p(64, 300, 300, false, false);
  std::vector<float> out(64 * 300);
  REQUIRE(OneDnn::instance().multiply(MatrixView<float>(out.data(), 64, 300), {p.A()}, {p.B()},
                                      Write::Overwrite, 1.0F));
  CHECK(most() == 5);
  CHECK(tasks() == started);
  CHECK(out == p.expected);
  set(before);
}

TEST_CASE("onednn: many threads multiply at the same time") {
  auto& products = detail::OneDnnProducts<float>::instance();
  std::vector<Product> all;
  for (std::size_t n = 1; n <= 12; ++n) all.emplace_back(5, n, 9, false, n % 2 == 0);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10; ++round) {
        for (const Product& p : all) {
          std::vector<float> out(p.m * p.n);
          const bool done = products.multiply(MatrixView<float>(out.data(), p.m, p.n), {p.A()},
                                              {p.B(), p.transpose_b}, Write::Overwrite, 1.0F);
          wrong += !done || out != p.expected ? 1 : 0;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}
