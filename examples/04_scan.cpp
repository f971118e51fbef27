// examples/04_scan.cpp: scan your own data. The algorithm is the first argument, or a type.
#include <algorithm>
#include <iostream>
#include <limits>
#include <sdlora/scan.hpp>
#include <sdlora/tensor.hpp>
using namespace sdlora;
using Matrix = Tensor<float, Extents<dyn, dyn>>;  // rows are time

struct Largest {  // any associative operator can be scanned: here the running maximum
  using value_type = float;
  float operator()(float first, float second) const { return std::max(first, second); }
  static float identity() { return -std::numeric_limits<float>::infinity(); }
};

Matrix noise(std::size_t rows, std::size_t cols, std::uint64_t stream) {
  Matrix values(rows, cols);
  const RandomStream random(1, stream);
  for (std::size_t i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(random.normal(i));
  return values;
}
bool agree(const char* names, const Matrix& x, const Matrix& y) {
  const auto of_rows = evaluate(max(abs(x - y)));
  const float difference = *std::max_element(of_rows.data(), of_rows.data() + of_rows.size());
  std::cout << names << " differ by at most " << difference << '\n';
  return difference < 1e-4F;
}
template <SelectiveScan Scan>  // the scan of a Mamba block
Matrix selective(const SelectiveScanInputs<float>& in) {
  Matrix y(in.u.rows, in.u.cols);
  Scan::template forward<16>(in, y.matrix(), {}, nullptr, thread_workspace<Cpu>());
  return y;
}

int main() {
  // One sequence, in place, by a network of logarithmic depth.
  std::vector<float> highest{2, 1, 3, 1, 5, 4};
  scan(KoggeStone<>{}, highest, highest, {}, Largest{});
  for (const float& value : highest) std::cout << value << (&value == &highest.back() ? '\n' : ' ');

  // h_t = a_t·h_{t−1} + b_t for every column; two sequences lie one after the other.
  const std::size_t L = 1000, E = 24, offsets[] = {0, 700, L};
  Matrix a(L, E), h(L, E), other(L, E);
  a.fill(0.9F);
  const Matrix b = noise(L, E, 0);
  scan(SimdChannels{}, a.matrix(), b.matrix(), h.matrix(), {.sequences = {offsets}});
  scan(Chunked<64>{}, a.matrix(), b.matrix(), other.matrix(), {.sequences = {offsets}});
  const bool columns = agree("SimdChannels and Chunked", h, other);

  // The selective scan: fused in registers, or with its matrices in the open and scanned by any policy.
  const Matrix u = noise(L, E, 1), dt = noise(L, E, 2), B = noise(L, 16, 3), C = noise(L, 16, 4);
  const Matrix A = -exp(noise(E, 16, 5));
  SelectiveScanInputs<float> in{{offsets}, u.matrix(), dt.matrix(), B.matrix(), C.matrix()};
  in.A = A.matrix();  // negative, so that states decay
  const bool blocks =
      agree("Fused and Materialized", selective<Fused>(in), selective<Materialized<Sequential>>(in));
  return highest == std::vector<float>{2, 2, 3, 3, 5, 5} && columns && blocks ? 0 : 1;
}
