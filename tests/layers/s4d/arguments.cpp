#include <sdlora/layers/s4d/arguments.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace sdlora;

namespace {

struct NoWay {};
struct ForwardAlone {
  template <class T>
  static void forward(const S4dInputs<T>&, MatrixView<T>, MatrixView<T>, Workspace&) {}
};
struct Both : ForwardAlone {
  template <class T>
  static void backward(const S4dInputs<T>&, MatrixView<const T>, const S4dGradients<T>&, Workspace&) {}
};
static_assert(S4dEvaluation<Both> && !S4dEvaluation<ForwardAlone> && !S4dEvaluation<NoWay>);

}  // namespace

TEST_CASE("s4d arguments: gradients of the kernel's parameters are told from others") {
  std::vector<float> memory(6);
  const MatrixView<float> some(memory.data(), 2, 3);
  CHECK_FALSE(S4dGradients<float>{}.kernel());
  CHECK_FALSE(S4dGradients<float>{.u = some, .D = some, .initial_state = some}.kernel());
  CHECK(S4dGradients<float>{.log_A_real = some}.kernel());
  CHECK(S4dGradients<float>{.A_imag = some}.kernel());
  CHECK(S4dGradients<float>{.C = some}.kernel());
  CHECK(S4dGradients<float>{.log_dt = some}.kernel());
}

TEST_CASE("s4d arguments: without sequences all rows are one; the message names what does not fit") {
  const detail::S4dSequences all({}, 5);
  CHECK(all.sequences.count() == 1);
  CHECK(all.sequences.rows() == 5);
  std::vector<float> memory(64);
  const auto view = [&](std::size_t rows, std::size_t cols) {
    return MatrixView<const float>(memory.data(), rows, cols);
  };
  S4dInputs<float> in{
      .u = view(5, 2), .log_A_real = view(2, 3), .A_imag = view(2, 3), .C = view(2, 6), .log_dt = view(1, 2)};
  detail::check_s4d<float, Cpu>(in, all.sequences, view(5, 2));
  in.C = view(2, 3);
  std::string said;
  try {
    detail::check_s4d<float, Cpu>(in, all.sequences, view(5, 2));
  } catch (const ShapeError& e) {
    said = e.what();
  }
  CHECK(said.find("expected C") != std::string::npos);
}
