#include "support/backend_device_cases.hpp"
#include "support/column_major_backend.hpp"
#include "support/naive_backend.hpp"
#include "support/weight_cases.hpp"
#include "support/weight_device_cases.hpp"

#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/matmul.hpp>
#include <sdlora/tensor/matmul_backend.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("matmul_backend: Eigen multiplies unless another is named") {
  CHECK(matmul_backend() == nullptr);
  CHECK(std::string(matmul_backend_name()) == "Eigen");
  NaiveBackend backend;
  {
    const UseBackend use(&backend);
    CHECK(matmul_backend() == &backend);
    CHECK(std::string(matmul_backend_name()) == "naive");
  }
  CHECK(matmul_backend() == nullptr);
}

TEST_CASE("matmul_backend: products of float go to it in blocks, or stay with Eigen where it refuses") {
  NaiveBackend backend;
  const std::size_t m = 300, n = 20, k = 7;
  const auto a = exact_values(m * k, 1), b = exact_values(n * k, 2);
  const MatrixView<const float> A(a.data(), m, k), At(a.data(), k, m), B(b.data(), k, n), Bt(b.data(), n, k);
  const auto products = [&] {
    std::vector<float> out(4 * m * n, 1.0F);
    matmul(MatrixView<float>(out.data(), m, n), A, B);
    matmul(MatrixView<float>(out.data() + m * n, m, n), A, transposed(Bt), Write::Add, 2.0F);
    matmul(MatrixView<float>(out.data() + 2 * m * n, m, n), transposed(At), B, Write::Overwrite, -1.0F);
    return out;
  };
  const std::vector<float> expected = products();
  CHECK(backend.products == 0);
  const UseBackend use(&backend);
  CHECK(products() == expected);
  CHECK(backend.products == 3 * 2);
  backend.refuses = true;
  CHECK(products() == expected);
  CHECK(backend.products == 3 * 2);
}

TEST_CASE("matmul_backend: a double product is Eigen's, as is one without an inner extent") {
  NaiveBackend backend;
  const UseBackend use(&backend);
  const std::vector<double> a{1, 2}, b{3, 4};
  double out = 0;
  matmul(MatrixView<double>(&out, 1, 1), MatrixView<const double>(a.data(), 1, 2),
         MatrixView<const double>(b.data(), 2, 1));
  CHECK(out == 11);
  float zero = 5;
  matmul(MatrixView<float>(&zero, 1, 1), MatrixView<const float>(nullptr, 1, 0),
         MatrixView<const float>(nullptr, 0, 1));
  CHECK(zero == 0);
  CHECK(backend.products == 0);
}

TEST_CASE("matmul_backend: weights meet it in bfloat16 where it multiplies that, else in floats") {
  for (const bool bfloat16 : {false, true}) {
    NaiveBackend backend;
    backend.bfloat16 = bfloat16;
    const UseBackend use(&backend);
    const std::vector<WeightShape> shapes{{5, 3, 7}, {9, 257, 129}, {300, 5, 2}, {11, 1031, 3}};
    check_weight_products<BFloat16, BFloat16>(shapes);
    check_weight_products<std::int8_t, BFloat16>(shapes);
    check_weight_products<float, BFloat16>(shapes);
    CHECK(backend.products > 0);
  }
}

TEST_CASE("matmul_backend: every device has its own") {
  CHECK(matmul_backend<Emulated>() == nullptr);
  CHECK(std::string(matmul_backend_name<Emulated>()) == "tiled kernel");
  const ColumnMajorBackend backend;
  const UseBackend use(&backend);
  CHECK(matmul_backend<Emulated>() == &backend);
  CHECK(std::string(matmul_backend_name<Emulated>()) == "column-major");
  CHECK(matmul_backend() == nullptr);
}

TEST_CASE("matmul_backend: a device's products of float go to it whole, or stay with the kernel") {
  const std::vector<MatmulShape> shapes{{5, 3, 7}, {1, 13, 2}, {11, 1, 3}, {2, 17, 1}, {67, 5, 131}};
  ColumnMajorBackend library;
  const CountedBackend<Emulated> backend(library);
  const UseBackend<Emulated> use(&backend);
  const auto launches = [] { return Launcher<Emulated>::launches(); };
  const auto before = launches();
  check_backend_products<Emulated>(shapes);
  CHECK(backend.floats == 3 * 5);
  CHECK(launches() == before);
  library.refuses = true;
  check_backend_products<Emulated>(shapes);
  CHECK(backend.refused == 3 * 5);
  CHECK(launches() == before + 3 * 5);
}

TEST_CASE(
    "matmul_backend: without an inner extent, or with rows that are all the same, the kernel multiplies") {
  const ColumnMajorBackend library;
  const CountedBackend<Emulated> backend(library);
  const UseBackend<Emulated> use(&backend);
  check_backend_products<Emulated>({{3, 5, 0}, {0, 4, 3}, {4, 0, 3}});
  CHECK(backend.floats + backend.refused == 0);
  Guarded<DeviceMemory<Emulated>> a(1, 2, 0, {3, 4}), b(2, 1, 0, {1, 10}), out(3, 1, 0, 0.0F);
  matmul(on_device<Emulated>(out.view()), MatrixView<const float, Emulated>(a.view().data, 3, 2, 0),
         on_device<Emulated>(b.view()));
  CHECK(out.values() == std::vector<float>{43, 43, 43});
  CHECK(backend.refused == 1);
}

TEST_CASE("matmul_backend: a device's weights of bfloat16 meet it rounded, others stay with the kernel") {
  ColumnMajorBackend library;
  for (const bool bfloat16 : {true, false}) {
    library.bfloat16 = bfloat16;
    const CountedBackend<Emulated> backend(library);
    const UseBackend<Emulated> use(&backend);
    for (const WeightShape& shape : {WeightShape{1, 1, 1}, WeightShape{5, 67, 19}, WeightShape{3, 2, 37}}) {
      check_backend_weight<Emulated>(shape);
    }
    CHECK(backend.bfloat16s == (bfloat16 ? 2 * 3 : 0));
    CHECK(backend.floats == 0);
    check_weights_on_device<Emulated>();
    CHECK(backend.bfloat16s == (bfloat16 ? 2 * 6 : 0));
    CHECK(backend.floats == 2 * 3);  // a plain float weight is a matrix
  }
  library.bfloat16 = library.refuses = true;
  const CountedBackend<Emulated> backend(library);
  const UseBackend<Emulated> use(&backend);
  check_backend_weight<Emulated>({5, 7, 19});
  CHECK(backend.refused == 2);
}

TEST_CASE("matmul_backend: a weight's product without an inner extent is zeros, or adds nothing") {
  const ColumnMajorBackend library;
  const CountedBackend<Emulated> backend(library);
  const UseBackend<Emulated> use(&backend);
  Guarded<DeviceMemory<Emulated>> out(2, 3, 0, 5.0F);
  const Weight<BFloat16, Emulated> weight(MatrixView<const BFloat16, Emulated>(nullptr, 3, 0));
  const MatrixView<const float, Emulated> x(nullptr, 2, 0);
  matmul(on_device<Emulated>(out.view()), x, transposed(weight), Write::Add);
  CHECK(out.values() == std::vector<float>(6, 5.0F));
  matmul(on_device<Emulated>(out.view()), x, transposed(weight));
  CHECK(out.values() == std::vector<float>(6, 0.0F));
  CHECK(backend.bfloat16s + backend.refused == 0);
}
