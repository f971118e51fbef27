#include "support/finite_differences.hpp"

#include <sdlora/adapters/methods.hpp>
#include <sdlora/layers/s4d/convolution.hpp>
#include <sdlora/model/deep_s4.hpp>
#include <sdlora/training/adamw.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t d = 5, N = 3;

DeepS4Dimensions sizes(std::size_t layers = 3, std::size_t outputs = 0,
                       SequenceOutput of = SequenceOutput::Every) {
  return {.d_model = d, .n_layer = layers, .d_state = N, .outputs = outputs, .of = of};
}

/// A base of which every value matters.
template <class T>
std::shared_ptr<const DeepS4Base<T>> rough(const DeepS4Dimensions& m) {
  auto base = std::make_shared<DeepS4Base<T>>(DeepS4Base<T>::random(m, S4dStart::Random, 7));
  Normals normals(11);
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    const S4dWeights<T> w = base->layer(l);
    for (std::size_t i = 0; i < d; ++i) w.log_dt(0, i) += T(3);
    normals.fill(std::span<T>(w.out_proj.data, d * d), 0.7, 0.1);
    normals.fill(std::span<T>(w.log_A_real.data, d * N), 0.5);
  }
  return base;
}

template <class T>
struct Data {
  std::vector<std::size_t> offsets{0, 7, 8, 13};
  std::vector<T> x = Normals(3).vector<T>(13 * d);
  Sequences sequences() const { return {offsets}; }
  MatrixView<const T> rows() const { return {x.data(), 13, d}; }
};

Selection some_s4_selection(std::size_t layers, std::size_t channels, std::size_t states) {
  Selection selection{d, N, {}};
  Normals normals(77);
  for (std::size_t l = 0; l < layers; ++l) {
    const std::vector<double> change = normals.vector<double>(d * N);
    selection.layers.push_back(select_layer(MatrixView<const double>(change.data(), d, N), channels, states));
  }
  return selection;
}

template <class Model>
void stir(Model& model, std::uint64_t seed = 5) {
  Normals normals(seed);
  for (auto& value : model.parameters().values()) value += 0.3 * normals.next();
}

/// Every gradient against finite differences; none of them zero. By these seeds no difference steps over the
/// kink of a ReLU.
template <class P, class Way = S4dRecurrence, class L>
void check_gradients(const DeepS4Dimensions& m, const L& loss, const Selection& selection = {},
                     std::uint64_t seed = 5) {
  DeepS4Model<P, double, Way> model(rough<double>(m), selection);
  stir(model, seed);
  const Data<double> data;
  model.parameters().zero_gradients();
  const double scale = 0.25;
  const Loss found = model.accumulate_gradients(data.rows(), data.sequences(), loss, scale);
  CHECK(found.sum == doctest::Approx(model.loss(data.rows(), data.sequences(), loss).sum).epsilon(1e-13));
  const std::span<const double> all = model.parameters().gradients();
  const std::vector<double> gradients(all.begin(), all.end());
  for (const ParameterInfo& entry : model.parameters().entries()) {
    check_gradient(entry.name, model.parameters().values(entry),
                   std::span<const double>(gradients).subspan(entry.offset, entry.size()),
                   [&] { return scale * model.loss(data.rows(), data.sequences(), loss).sum; });
  }
}

using Everything =
    Place<On<site::LogAReal, Full>, On<site::AImag, Full>, On<site::C, Full>, On<site::LogDt, Full>,
          On<site::D, Full>, On<site::OutProj, Full>, On<site::OutBias, Full>, On<site::H0, Full>>;
using WithHead =
    Place<On<site::C, Full>, On<site::Head, LoRA<2>>, On<site::HeadBias, Full>, On<site::OutProj, DoRA<2>>>;
using LowRankSsm = Place<On<site::LogAReal, LoRA<2>>, On<site::AImag, LoRA<1>>, On<site::C, LoRA<2>>,
                         On<site::H0, LoRA<1>>, On<site::OutProj, LoRA<2>>>;
using SelectedSsm =
    Place<On<site::LogAReal, SelectedDimensions<2, 2>>, On<site::AImag, SelectedDimensions<2, 2>>,
          On<site::C, SelectedDimensions<2, 2>>, On<site::LogDt, Full>, On<site::D, Full>,
          On<site::OutProj, LoRA<2>>, On<site::OutBias, Full>>;
using Projections = Place<On<site::OutProj, LoRA<2>>, On<site::OutBias, Full>>;

const std::vector<double>& targets() {
  static const std::vector<double> values = Normals(9).vector<double>(13 * d);
  return values;
}
SquaredError<double> squared(std::size_t rows, std::size_t columns) {
  return {{targets().data(), rows, columns}};
}
constexpr std::uint64_t head_seed = 6;
constexpr std::int32_t labels[] = {2, 0, 3};

}  // namespace

TEST_CASE("deep S4: gradients against finite differences, of each row") {
  check_gradients<Everything>(sizes(), squared(13, d));
  check_gradients<Everything, S4dConvolution>(sizes(), squared(13, d));
  check_gradients<Projections>(sizes(), squared(13, d));
  check_gradients<LowRankSsm>(sizes(2), squared(13, d));
  check_gradients<SelectedSsm>(sizes(), squared(13, d), some_s4_selection(3, 2, 2));
}

TEST_CASE("deep S4: gradients against finite differences, of the last row and of the mean, with a head") {
  check_gradients<Everything>(sizes(2, 0, SequenceOutput::Last), squared(3, d));
  check_gradients<WithHead>(sizes(2, 4, SequenceOutput::Last), squared(3, 4), {}, head_seed);
  check_gradients<WithHead>(sizes(2, 4, SequenceOutput::Mean), ClassError{labels}, {}, head_seed);
  check_gradients<Place<On<site::HeadBias, Full>>>(sizes(2, 4, SequenceOutput::Mean), ClassError{labels});
  check_gradients<WithHead>(sizes(2, 4), squared(13, 4), {}, head_seed);
}

TEST_CASE("deep S4: the definition, layer by layer") {
  const auto base = rough<double>(sizes(2));
  const DeepS4Model<Place<>, double> model(base);
  const Data<double> data;
  std::vector<double> x = data.x;
  for (std::size_t l = 0; l < 2; ++l) {
    const S4dWeights<const double> w = std::as_const(*base).layer(l);
    std::vector<double> s(13 * d), next(13 * d);
    Workspace workspace;
    S4dConvolution::forward(S4dInputs<double>{.sequences = data.sequences(),
                                              .u = {x.data(), 13, d},
                                              .log_A_real = w.log_A_real,
                                              .A_imag = w.A_imag,
                                              .C = w.C,
                                              .log_dt = w.log_dt,
                                              .D = w.D},
                            MatrixView<double>(s.data(), 13, d), {}, workspace);
    for (std::size_t t = 0; t < 13; ++t) {
      for (std::size_t i = 0; i < d; ++i) {
        double sum = w.out_proj_bias(0, i);
        for (std::size_t j = 0; j < d; ++j) sum += w.out_proj(i, j) * s[t * d + j];
        next[t * d + i] = sum > 0.0 ? sum : 0.0;
      }
    }
    x = next;
  }
  std::vector<double> y(13 * d);
  model.forward(data.rows(), data.sequences(), MatrixView<double>(y.data(), 13, d));
  CHECK(relative_error(y, x) <= 1e-12);
}

TEST_CASE("deep S4: whole sequences and pieces of them are the same, also from a learned state") {
  using Placement = Place<On<site::H0, Full>>;
  DeepS4Model<Placement, double> model(rough<double>(sizes()));
  stir(model);
  const Data<double> data;
  const std::size_t whole[] = {0, 13}, first[] = {0, 4}, rest[] = {0, 9};
  std::vector<double> y(13 * d), pieces(13 * d), state(3 * 2 * d * N);
  const MatrixView<double> states(state.data(), 1, state.size());
  const MatrixView<double> out(pieces.data(), 13, d);
  model.forward(data.rows(), {whole}, MatrixView<double>(y.data(), 13, d));
  model.initial_state(states);
  model.forward(data.rows().rows_from(0, 4), {first}, out.rows_from(0, 4), states);
  model.forward(data.rows().rows_from(4, 9), {rest}, out.rows_from(4, 9), states);
  CHECK(relative_error(pieces, y) <= 1e-12);
}

TEST_CASE("deep S4: counts, merged weights, layers that do not learn") {
  const auto base = rough<double>(sizes());
  using Placement = SelectedSsm;
  const Selection selection = some_s4_selection(3, 2, 2);
  AdapterOptions options{Layers<site::OutProj>{1, 2}, Layers<site::OutBias>{2, 3}};
  DeepS4Model<Placement, double> model(base, selection, options);
  // 4 (channel, state) pairs with A's two parts and C's two; log_dt and D; one W and one b.
  CHECK(model.parameters().size() == 3 * (4 * 4 + 2 * d) + 2 * 2 * d + d);
  CHECK(trainable_parameters<Placement>(sizes(), options) == model.parameters().size());
  CHECK(model.total_parameters() == 3 * (4 * d * N + 3 * d + d * d));
  stir(model);
  const Data<double> data;
  std::vector<double> y(13 * d), merged(13 * d);
  model.forward(data.rows(), data.sequences(), MatrixView<double>(y.data(), 13, d));
  const DeepS4Model<Place<>, double> after(model.merged());
  after.forward(data.rows(), data.sequences(), MatrixView<double>(merged.data(), 13, d));
  CHECK(relative_error(merged, y) <= 1e-12);
  const DeepS4Model<Place<>, double> before(base);
  before.forward(data.rows(), data.sequences(), MatrixView<double>(merged.data(), 13, d));
  CHECK(relative_error(merged, y) > 1e-3);
  // Only chosen dimensions of A and C have moved.
  const auto moved = model.merged();
  for (std::size_t l = 0; l < 3; ++l) {
    std::size_t changed = 0, changed_C = 0;
    for (std::size_t i = 0; i < d * N; ++i) {
      changed += moved->layer(l).A_imag.data[i] != std::as_const(*base).layer(l).A_imag.data[i];
    }
    for (std::size_t i = 0; i < 2 * d * N; ++i) {
      changed_C += moved->layer(l).C.data[i] != std::as_const(*base).layer(l).C.data[i];
    }
    CHECK(changed == 4);
    CHECK(changed_C == 8);
  }
  // With one layer range, the layers below keep nothing and get no gradient.
  using Out = Place<On<site::OutProj, LoRA<1>>>;
  DeepS4Model<Out, double> last(base, AdapterOptions{Layers<site::OutProj>{2, 3}});
  last.accumulate_gradients(data.rows(), data.sequences(), squared(13, d), 1.0);
  CHECK(last.parameters().size() == 2 * d);
}

TEST_CASE("deep S4: it learns") {
  const DeepS4Model<Place<>, float> target(rough<float>(sizes(1)));
  const Data<float> data;
  std::vector<float> y(13 * d);
  target.forward(data.rows(), data.sequences(), MatrixView<float>(y.data(), 13, d));
  DeepS4Model<SelectedSsm, float> model(
      std::make_shared<DeepS4Base<float>>(DeepS4Base<float>::random(sizes(2), S4dStart::Lin, 1)),
      some_s4_selection(2, 2, 2));
  AdamW<float> optimizer(model.parameters());
  const SquaredError<float> loss{{y.data(), 13, d}};
  const auto step = [&] {
    model.parameters().zero_gradients();
    const Loss found = model.accumulate_gradients(data.rows(), data.sequences(), loss, 1.0 / (13.0 * d));
    optimizer.step(model.parameters(), 1e-2);
    return found.mean();
  };
  const double first = step();
  double last = first;
  for (int i = 0; i < 200; ++i) last = step();
  CHECK(last < 0.5 * first);
}

TEST_CASE("deep S4: what does not fit is refused, with a word on what to do") {
  const auto base = rough<float>(sizes(2, 4, SequenceOutput::Mean));
  const Data<float> data;
  const DeepS4Model<Projections> model(base);
  std::vector<float> y(13 * 5);
  const MatrixView<float> out(y.data(), 3, 4);
  model.forward(data.rows(), data.sequences(), out);
  CHECK_THROWS_AS(model.forward(data.rows().cols_from(0, 4), data.sequences(), out), ShapeError);
  CHECK_THROWS_AS(model.forward(data.rows(), data.sequences(), out.rows_from(0, 2)), ShapeError);
  CHECK_THROWS_AS(model.forward(data.rows(), {}, out), ShapeError);
  const std::size_t empty[] = {0, 13, 13};
  CHECK_THROWS_AS(model.forward(data.rows(), {empty}, out.rows_from(0, 2)), ArgumentError);
  using Model = DeepS4Model<SelectedSsm>;
  CHECK_THROWS_AS(Model{base}, ArgumentError);
  CHECK_THROWS_AS(Model(base, some_s4_selection(3, 2, 2)), ArgumentError);
  CHECK_THROWS_AS(Model(base, some_s4_selection(2, 3, 2)), ArgumentError);
  CHECK_THROWS_AS(Model(base, some_s4_selection(2, 2, 1)), ArgumentError);
  CHECK_THROWS_AS(DeepS4Model<Projections>(base, some_s4_selection(2, 2, 2)), ArgumentError);
  CHECK_THROWS_AS(DeepS4Model<Projections>(nullptr), ArgumentError);
  CHECK_THROWS_AS(DeepS4Model<Projections>(base, AdapterOptions{Layers<site::OutProj>{1, 3}}), ArgumentError);
  CHECK_THROWS_AS(DeepS4Model<Projections>(base, AdapterOptions{Layers<site::D>{0, 1}}), ArgumentError);
  CHECK_THROWS_AS(DeepS4Model<Projections>(base, AdapterOptions{options_at<site::C>(LoRAOptions{.rank = 3})}),
                  ArgumentError);
  CHECK_THROWS_AS(DeepS4Model<WithHead>(rough<float>(sizes(2))), ArgumentError);
}
