// Deep S4: PyTorch's outputs, loss, gradients, and values after steps of AdamW.
#include "support/numbers.hpp"
#include "support/reference_file.hpp"

#include <sdlora/adapters/methods.hpp>
#include <sdlora/layers/s4d/convolution.hpp>
#include <sdlora/model/deep_s4.hpp>
#include <sdlora/training/adamw.hpp>
#include <sdlora/training/schedule.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

struct Dump {
  const char* folder;
  std::size_t width, states, layers, classes;
};
constexpr Dump dumps[] = {{"deep_s4", 5, 3, 3, 4}, {"deep_s4_long", 8, 16, 2, 3}};

/// The dump's base, batch and targets, as values of T.
template <class T>
struct Case {
  Dump dump;
  ReferenceFile file;
  std::vector<std::size_t> offsets{0};
  std::vector<T> x, target;

  explicit Case(const Dump& d) : dump(d), file(d.folder) {
    for (const std::int64_t length : file.integers("lengths")) {
      offsets.push_back(offsets.back() + static_cast<std::size_t>(length));
    }
    x = values("x");
    target = values("target");
  }
  std::vector<T> values(const std::string& name) const {
    const std::vector<double> read = file.read(name);
    return {read.begin(), read.end()};
  }
  Sequences sequences() const { return {offsets}; }
  MatrixView<const T> rows() const { return {x.data(), offsets.back(), dump.width}; }

  std::shared_ptr<const DeepS4Base<T>> base(std::size_t outputs = 0,
                                            SequenceOutput of = SequenceOutput::Every) const {
    auto result = std::make_shared<DeepS4Base<T>>(DeepS4Dimensions{
        .d_model = dump.width, .n_layer = dump.layers, .d_state = dump.states, .outputs = outputs, .of = of});
    for (std::size_t l = 0; l < dump.layers; ++l) {
      const S4dWeights<T> w = result->layer(l);
      const auto read = [&](const char* name, MatrixView<T> to) {
        const std::vector<T> from = values("layers." + std::to_string(l) + "." + name);
        REQUIRE(from.size() == to.rows * to.cols);
        std::copy(from.begin(), from.end(), to.data);
      };
      read("log_A_real", w.log_A_real);
      read("A_imag", w.A_imag);
      read("C", w.C);
      read("log_dt", w.log_dt);
      read("D", w.D);
      read("out_proj", w.out_proj);
      read("out_proj_bias", w.out_proj_bias);
    }
    return result;
  }
  Selection selection() const {
    Selection result{dump.width, dump.states, {}};
    for (std::size_t l = 0; l < dump.layers; ++l) {
      const auto of = [&](const char* what) {
        const auto read = file.integers("layers." + std::to_string(l) + "." + what);
        return std::vector<std::uint32_t>(read.begin(), read.end());
      };
      result.layers.push_back({of("channels"), of("states")});
    }
    return result;
  }
};

template <class Model, class T>
void set_learned(Model& model, const Case<T>& c, const std::string& prefix) {
  for (const ParameterInfo& entry : model.parameters().entries()) {
    const std::vector<T> from = c.values(prefix + entry.name);
    REQUIRE(from.size() == entry.size());
    std::copy(from.begin(), from.end(), model.parameters().values(entry).begin());
  }
}

template <class Model, class T>
void compare_gradients(Model& model, const Case<T>& c, const std::string& prefix, double within) {
  for (const ParameterInfo& entry : model.parameters().entries()) {
    CAPTURE(entry.name);
    const std::span<const T> found = model.parameters().gradients(entry);
    CHECK(relative_error(found, c.file.read(prefix + entry.name)) <= within);
  }
}

using Everything =
    Place<On<site::LogAReal, Full>, On<site::AImag, Full>, On<site::C, Full>, On<site::LogDt, Full>,
          On<site::D, Full>, On<site::H0, Full>, On<site::OutProj, Full>, On<site::OutBias, Full>>;
using Adapted = Place<On<site::LogAReal, SelectedDimensions<>>, On<site::AImag, SelectedDimensions<>>,
                      On<site::C, SelectedDimensions<>>, On<site::OutProj, LoRA<>>, On<site::OutBias, Full>,
                      On<site::Head, Full>, On<site::HeadBias, Full>>;

template <class T, class Way>
void compare_everything(double outputs_within, double gradients_within) {
  for (const Dump& dump : dumps) {
    CAPTURE(dump.folder);
    const Case<T> c(dump);
    DeepS4Model<Everything, T, Way> model(c.base());
    set_learned(model, c, "");
    std::vector<T> y(c.x.size());
    const MatrixView<T> out(y.data(), c.rows().rows, dump.width);
    model.forward(c.rows(), c.sequences(), out);
    CHECK(relative_error(y, c.file.read("y")) <= outputs_within);
    const SquaredError<T> loss{{c.target.data(), out.rows, out.cols}};
    const double mean = 1.0 / static_cast<double>(y.size());
    const Loss found = model.accumulate_gradients(c.rows(), c.sequences(), loss, mean);
    CHECK(found.mean() == doctest::Approx(c.file.number("loss")).epsilon(outputs_within));
    compare_gradients(model, c, "grad.", gradients_within);
  }
}

template <class T>
void compare_adapted(double outputs_within, double gradients_within) {
  for (const Dump& dump : dumps) {
    CAPTURE(dump.folder);
    const Case<T> c(dump);
    const Selection selection = c.selection();
    const auto labels = c.file.integers("labels");
    const std::vector<std::int32_t> classes(labels.begin(), labels.end());
    AdapterOptions options{LoRAOptions{.rank = 2}};
    options.set(SelectedOptions{.channels = selection.layers[0].channels.size(),
                                .states = selection.layers[0].states_per_channel()});
    DeepS4Model<Adapted, T> model(c.base(dump.classes, SequenceOutput::Mean), selection, options);
    set_learned(model, c, "adapted.");
    std::vector<T> y(classes.size() * dump.classes);
    model.forward(c.rows(), c.sequences(), MatrixView<T>(y.data(), classes.size(), dump.classes));
    CHECK(relative_error(y, c.file.read("adapted.y")) <= outputs_within);
    const double mean = 1.0 / static_cast<double>(classes.size());
    AdamW<T> optimizer(model.parameters());
    const Schedule rate{.peak = 1e-2, .steps = 5};
    const std::vector<double> losses = c.file.read("trained.losses");
    for (std::size_t step = 0; step < rate.steps; ++step) {
      model.parameters().zero_gradients();
      const Loss found = model.accumulate_gradients(c.rows(), c.sequences(), ClassError{classes}, mean);
      CHECK(found.mean() == doctest::Approx(losses[step]).epsilon(gradients_within));
      if (step == 0) compare_gradients(model, c, "adapted.grad.", gradients_within);
      optimizer.step(model.parameters(), rate(step));
    }
    for (const ParameterInfo& entry : model.parameters().entries()) {
      CAPTURE(entry.name);
      const std::span<const T> found = model.parameters().values(entry);
      CHECK(relative_error(found, c.file.read("trained." + entry.name)) <= gradients_within);
    }
  }
}

}  // namespace

TEST_CASE("deep S4 in double, all values and a learned state") {
  compare_everything<double, S4dRecurrence>(1e-11, 1e-9);
  compare_everything<double, S4dConvolution>(1e-11, 1e-9);
}
TEST_CASE("deep S4 in float, all values and a learned state") {
  compare_everything<float, S4dRecurrence>(1e-5, 1e-3);
  compare_everything<float, S4dConvolution>(1e-5, 1e-3);
}
TEST_CASE("deep S4 in double, adapters and a head, trained by AdamW") {
  compare_adapted<double>(1e-11, 1e-8);
}
TEST_CASE("deep S4 in float, adapters and a head, trained by AdamW") { compare_adapted<float>(1e-5, 1e-3); }
