#include <sdlora/cuda.cuh>
#include <sdlora/tensor/cuda/cublaslt.cuh>
#include <sdlora/tensor/weight_matmul.hpp>

#include "support/backend_device_cases.hpp"
#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/device_matrices.hpp"
#include "support/use_backend.hpp"
#include "support/weight_device_cases.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

const std::vector<MatmulShape> shapes{{1, 1, 7},    {5, 3, 16},     {1, 67, 19},     {67, 1, 19},
                                      {64, 64, 17}, {257, 8, 1021}, {300, 521, 257}, {512, 768, 1536}};

/// Layouts and operations as cuBLASLt reads them from its descriptors.
template <class T>
T attribute(cublasLtMatrixLayoutOpaque_t& of, cublasLtMatrixLayoutAttribute_t which) {
  T value{};
  std::size_t written = 0;
  REQUIRE(cublasLtMatrixLayoutGetAttribute(&of, which, &value, sizeof value, &written) ==
          CUBLAS_STATUS_SUCCESS);
  REQUIRE(written == sizeof value);
  return value;
}
template <class T>
T attribute(cublasLtMatmulDescOpaque_t& of, cublasLtMatmulDescAttributes_t which) {
  T value{};
  std::size_t written = 0;
  REQUIRE(cublasLtMatmulDescGetAttribute(&of, which, &value, sizeof value, &written) ==
          CUBLAS_STATUS_SUCCESS);
  REQUIRE(written == sizeof value);
  return value;
}
void check_layout(cublasLtMatrixLayoutOpaque_t& layout, std::uint64_t rows, std::uint64_t cols,
                  std::int64_t leading, cudaDataType_t type) {
  CHECK(attribute<std::uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_ROWS) == rows);
  CHECK(attribute<std::uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_COLS) == cols);
  CHECK(attribute<std::int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_LD) == leading);
  CHECK(attribute<std::uint32_t>(layout, CUBLASLT_MATRIX_LAYOUT_TYPE) == static_cast<std::uint32_t>(type));
  CHECK(attribute<std::int32_t>(layout, CUBLASLT_MATRIX_LAYOUT_ORDER) == CUBLASLT_ORDER_COL);
}

/// y = x·Wᵀ of random numbers in memory of its own, and the host's product.
struct RandomProduct {
  static constexpr std::size_t m = 96, n = 128, k = 1024;
  RandomProduct() : y(m, n), expected(m, n) {
    const auto x_here = CopyThrough<Cuda>().get(x), w_here = CopyThrough<Cuda>().get(w);
    matmul(expected.matrix(), x_here.matrix(), transposed(w_here.matrix()));
  }
  double error() {
    matmul(y.matrix(), x.matrix(), transposed(w.matrix()));
    return relative_norm(host_values<Cuda>(y), host_values<Cpu>(expected));
  }
  DeviceMatrix<Cuda> x = DeviceNormals<Cuda>(1).matrix(m, k), w = DeviceNormals<Cuda>(2).matrix(n, k), y;
  DeviceMatrix<Cpu> expected;
};

}  // namespace

// These descriptors need no device.
TEST_CASE("cuBLASLt: what it reads from the description of a product") {
  const MatmulOperand<float, Cuda> x{{nullptr, 6, 4, 9}}, w{{nullptr, 5, 4}, true};
  detail::CublasLtKey key;
  key.product = *detail::column_major_product(MatrixView<float, Cuda>(nullptr, 6, 5, 8), x, w);
  detail::CublasLtDescriptors floats(key);
  check_layout(floats.left, 4, 5, 4, CUDA_R_32F);
  check_layout(floats.right, 4, 6, 9, CUDA_R_32F);
  check_layout(floats.out, 5, 6, 8, CUDA_R_32F);
  const auto operation = [&](cublasLtMatmulDescAttributes_t which) {
    return attribute<std::int32_t>(floats.operation, which);
  };
  CHECK(operation(CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T);
  CHECK(operation(CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_N);
  CHECK(operation(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE) == CUBLAS_COMPUTE_32F);
  CHECK(operation(CUBLASLT_MATMUL_DESC_SCALE_TYPE) == CUDA_R_32F);
  CHECK(operation(CUBLASLT_MATMUL_DESC_POINTER_MODE) == CUBLASLT_POINTER_MODE_HOST);

  key.type = CUDA_R_16BF;
  key.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  detail::CublasLtDescriptors rounded(key);
  check_layout(rounded.left, 4, 5, 4, CUDA_R_16BF);
  check_layout(rounded.right, 4, 6, 9, CUDA_R_16BF);
  check_layout(rounded.out, 5, 6, 8, CUDA_R_32F);
  CHECK(attribute<std::int32_t>(rounded.operation, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE) ==
        CUBLAS_COMPUTE_32F_FAST_TF32);
}

TEST_CASE("cuBLASLt: it is named, or says that there is no device") {
  if (!has_cuda_device()) {
    CHECK_THROWS_AS(use_cublaslt(), Error);
    CHECK(matmul_backend<Cuda>() == nullptr);
    return;
  }
  use_cublaslt();
  CHECK(std::string(matmul_backend_name<Cuda>()) == "cuBLASLt");
  use_cublaslt({.tf32 = true});
  CHECK(std::string(matmul_backend_name<Cuda>()) == "cuBLASLt (TF32)");
  use_matmul_backend<Cuda>(nullptr);
}

TEST_CASE("cuBLASLt: the host's products, at any address and with rows apart") {
  if (skip_without_device(has_cuda_device())) return;
  for (const bool tf32 : {false, true}) {
    const CountedBackend<Cuda> backend(CublasLt::instance({.tf32 = tf32}));
    const UseBackend<Cuda> use(&backend);
    check_backend_products<Cuda>(shapes);
    CHECK(backend.refused == 0);
    check_backend_products<Cuda>({{3, 5, 0}, {0, 4, 3}});
  }
}

TEST_CASE("cuBLASLt: floats are rounded to TF32 where that was asked for, and only there") {
  if (skip_without_device(has_cuda_device())) return;
  RandomProduct product;
  {
    const UseBackend<Cuda> use(&CublasLt::instance());
    CHECK(product.error() <= 2e-6);
  }
  const CountedBackend<Cuda> backend(CublasLt::instance({.tf32 = true}));
  const UseBackend<Cuda> use(&backend);
  CHECK(product.error() <= 1e-3);
  CHECK(backend.floats == 1);
}

TEST_CASE("cuBLASLt: weights") {
  if (skip_without_device(has_cuda_device())) return;
  const CountedBackend<Cuda> backend(CublasLt::instance());
  const UseBackend<Cuda> use(&backend);
  for (const WeightShape& shape : {WeightShape{1, 1, 1}, WeightShape{5, 67, 19}, WeightShape{96, 128, 256}}) {
    check_backend_weight<Cuda>(shape);
  }
  if (backend.multiplies_bfloat16()) CHECK(backend.bfloat16s + backend.refused == 2 * 3);
  check_weights_on_device<Cuda>();
  // Aligned matrices of sizes that tensor cores take.
  const CountedBackend<Cuda> aligned(CublasLt::instance());
  const UseBackend<Cuda> use_aligned(&aligned);
  check_weight_on_device<Cuda, BFloat16, BFloat16>({64, 128, 256});
  if (aligned.multiplies_bfloat16()) CHECK(aligned.bfloat16s == 2);
}

TEST_CASE("cuBLASLt: the same bits every time, on other streams and from other threads") {
  if (skip_without_device(has_cuda_device())) return;
  const UseBackend<Cuda> use(&CublasLt::instance());
  RandomProduct product;
  product.error();
  const std::vector<float> first = host_values<Cuda>(product.y);
  CudaStream::current().wait();
  const auto again = [&] {
    const CudaStreamScope scope(CudaStream::create());
    DeviceMatrix<Cuda> y(RandomProduct::m, RandomProduct::n);
    matmul(y.matrix(), product.x.matrix(), transposed(product.w.matrix()));
    return host_values<Cuda>(y);
  };
  CHECK(again() == first);
  std::vector<std::vector<float>> found(4);
  std::vector<std::thread> threads;
  for (auto& values : found) threads.emplace_back([&] { values = again(); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& values : found) CHECK(values == first);
}

TEST_CASE("cuBLASLt: a captured graph multiplies again") {
  if (skip_without_device(has_cuda_device())) return;
  const UseBackend<Cuda> use(&CublasLt::instance());
  const CudaStream stream = CudaStream::create();
  const CudaStreamScope scope(stream);
  DeviceMatrix<Cuda> x = DeviceNormals<Cuda>(1).matrix(32, 64), y(32, 48);
  Tensor<BFloat16, Extents<dyn, dyn>> stored(48, 64);
  for (std::size_t i = 0; i < stored.size(); ++i) stored.data()[i] = BFloat16(static_cast<float>(i % 13) - 6);
  const auto there = CopyThrough<Cuda>().put(stored);
  const Weight<BFloat16, Cuda> weight(there.matrix());
  const auto multiply = [&] { matmul(y.matrix(), x.matrix(), transposed(weight)); };
  multiply();
  const std::vector<float> expected = host_values<Cuda>(y);
  cudaGraph_t graph{};
  cudaGraphExec_t executable{};
  detail::check_cuda(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), "capture");
  multiply();
  detail::check_cuda(cudaStreamEndCapture(stream.get(), &graph), "end of capture");
  detail::check_cuda(cudaGraphInstantiate(&executable, graph, 0), "graph");
  for (int turn = 0; turn < 2; ++turn) {
    Storage<float, Cuda>::zero(y.data(), y.size());
    detail::check_cuda(cudaGraphLaunch(executable, stream.get()), "graph launch");
    CHECK(host_values<Cuda>(y) == expected);
  }
  detail::check_cuda(cudaGraphExecDestroy(executable), "graph");
  detail::check_cuda(cudaGraphDestroy(graph), "graph");
}
