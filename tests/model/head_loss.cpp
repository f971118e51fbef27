#include "io/support.hpp"
#include "support/finite_differences.hpp"
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <sdlora/model/head_loss.hpp>
#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/host_copy.hpp>
#include <sdlora/tensor/reduce.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// The usual loss, in expressions: on any device.
struct OwnCrossEntropy {
  template <class T, class D>
  Loss operator()(const LossRows<D>& rows, MatrixView<const T, D> logits, MatrixView<T, D> d_logits) const {
    WorkspaceOn<D>& workspace = thread_workspace<D>();
    const WorkspaceScope scope(workspace);
    const MatrixView<T, D> p = workspace.template matrix<T>(logits.rows, logits.cols);
    assign(p, exp(logits - max(logits)));
    assign(p, p / sum(p));
    const HostCopy copy(p);
    Loss loss{0.0, rows.size()};
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto target = static_cast<std::size_t>(rows.targets[i]);
      loss.sum -= std::log(static_cast<double>(copy.view().row(i)[target]));
      places.push_back(i * logits.cols + target);
    }
    if (d_logits) {
      assign(d_logits, p);
      const MatrixView<const std::size_t, D> there = workspace.placed(std::span<const std::size_t>(places));
      assign(elements_at(d_logits, there), elements_at(p, there) - T(1));
    }
    return loss;
  }
};

/// Σ over rows of (1 + position)·(target + 1)·logits(position mod V)²: it tells rows, labels and blocks
/// apart.
template <class T>
Loss squares(const LossRows<>& rows, MatrixView<const T> logits, MatrixView<T> d_logits) {
  Loss loss{0.0, rows.size()};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t at = rows.rows[i] % logits.cols;
    const T factor = static_cast<T>(1 + rows.rows[i]) * static_cast<T>(rows.targets[i] + 1);
    loss.sum += static_cast<double>(factor * logits(i, at) * logits(i, at));
    for (std::size_t j = 0; d_logits && j < logits.cols; ++j) d_logits(i, j) = 0;
    if (d_logits) d_logits(i, at) = 2 * factor * logits(i, at);
  }
  return loss;
}

/// Finite differences of a call of a model, which returns its loss.
template <class Model, class Gradients, class Value>
void check_gradients(Model& model, double scale, const Gradients& make_gradients, const Value& value) {
  model.parameters().zero_gradients();
  make_gradients();
  const std::span<const double> all = model.parameters().gradients();
  const std::vector<double> gradients(all.begin(), all.end());
  for (const ParameterInfo& entry : model.parameters().entries()) {
    check_gradient(entry.name, model.parameters().values(entry),
                   std::span<const double>(gradients).subspan(entry.offset, entry.size()),
                   [&] { return scale * value(); });
  }
}

}  // namespace

TEST_CASE("head_loss: the usual loss, written as one's own, has the gradients of the built-in") {
  auto model = stirred_model<Everything>();
  const Batch batch = some_batch({7, 1, 5});
  const auto gradients = [&](auto&&... loss) {
    model.parameters().zero_gradients();
    const Loss found = model.accumulate_gradients(batch, loss..., 0.3);
    std::vector<double> values = model.parameters().host_gradients();
    values.push_back(found.sum);
    values.push_back(static_cast<double>(found.count));
    return values;
  };
  const std::vector<double> expected = gradients();
  OwnCrossEntropy own;
  for (const auto& found : {gradients(own), gradients(AllRows{own})}) {
    REQUIRE(found.size() == expected.size());
    double worst = 0.0, largest = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      worst = std::max(worst, std::abs(found[i] - expected[i]));
      largest = std::max(largest, std::abs(expected[i]));
    }
    CHECK(worst <= 1e-12 * largest);
  }
  CHECK(model.loss(batch, own).sum == doctest::Approx(model.loss(batch).sum).epsilon(1e-13));
}

TEST_CASE("head_loss: gradients of a loss of one's own against finite differences, behind a prompt too") {
  auto model = stirred_model<Everything>();
  const Batch batch = some_batch({7, 1, 5});
  // Its rows are the tokens with labels, whatever lies before them.
  model.loss(batch,
             [&](const LossRows<>& rows, MatrixView<const double> logits, MatrixView<double> d_logits) {
               CHECK(rows.batch == &batch);
               CHECK(rows.first == 0);
               CHECK(rows.size() == batch.loss_tokens());
               CHECK(logits.rows == rows.size());
               CHECK(logits.cols == 19);
               CHECK(!d_logits);
               const auto all = model.logits(batch);
               for (std::size_t i = 0; i < rows.size(); ++i) {
                 CHECK(rows.targets[i] == batch.targets()[rows.rows[i]]);
                 CHECK(rows.on_device(0, i) == rows.targets[i]);
                 for (std::size_t v = 0; v < 19; ++v) {
                   CHECK(logits(i, v) == doctest::Approx(all(rows.rows[i], v)).epsilon(1e-12));
                 }
               }
               return Loss{};
             });
  const double scale = 0.125;
  check_gradients(
      model, scale, [&] { model.accumulate_gradients(batch, squares<double>, scale); },
      [&] { return model.loss(batch, squares<double>).sum; });
}

TEST_CASE("head_loss: rows come a block at a time, or all at once") {
  // 16 rows a block where the vocabulary is that large.
  const std::size_t n = 35, d = 1, V = 600'001;
  const std::vector<float> h(n, 0.5F), W(V, 0.25F);
  std::vector<std::size_t> places(n);
  std::vector<std::int32_t> targets(n);
  for (std::size_t i = 0; i < n; ++i) places[i] = 3 * i, targets[i] = static_cast<std::int32_t>(i);
  const LossRows<> rows{nullptr, 0, places, targets, {targets.data(), 1, n}};
  Workspace workspace;
  std::vector<std::pair<std::size_t, std::size_t>> blocks;
  const auto look = [&](const LossRows<>& some, MatrixView<const float> logits, MatrixView<float> d_logits) {
    blocks.emplace_back(some.first, some.size());
    CHECK(logits.rows == some.size());
    CHECK(some.rows[0] == 3 * some.first);
    CHECK(some.on_device(0, 0) == static_cast<std::int32_t>(some.first));
    assign(d_logits, 1);
    return Loss{1.0, some.size()};
  };
  std::vector<float> d_h(n), d_W(V);
  const auto call = [&](auto& loss) {
    return head_loss(MatrixView<const float>(h.data(), n, d),
                     FrozenWeight<float>(MatrixView<const float>(W.data(), V, d)), rows, loss, 2.0F,
                     MatrixView<float>(d_h.data(), n, d), MatrixView<float>(d_W.data(), V, d), workspace);
  };
  const Loss loss = call(look);
  CHECK(blocks == std::vector<std::pair<std::size_t, std::size_t>>{{0, 16}, {16, 16}, {32, 3}});
  CHECK(loss.sum == 3.0);
  CHECK(loss.count == n);
  CHECK(d_h[34] == doctest::Approx(2.0 * 0.25 * 600'001));
  CHECK(d_W[600'000] == doctest::Approx(2.0 * 0.5 * 35));
  blocks.clear();
  AllRows at_once{look};
  CHECK(call(at_once).sum == 1.0);
  CHECK(blocks == std::vector<std::pair<std::size_t, std::size_t>>{{0, n}});
  CHECK(workspace.bytes_in_use() == 0);
  test::check_error<ShapeError>(
      [&] {
        head_loss(MatrixView<const float>(h.data(), n - 1, d),
                  FrozenWeight<float>(MatrixView<const float>(W.data(), V, d)), rows, look, 2.0F, {}, {},
                  workspace);
      },
      {"a row for each of 35 targets"});
}

TEST_CASE("head_loss: on a device that runs kernels") {
  const std::size_t n = 9, d = 6, V = 13;
  Normals normals(2);
  const auto h = normals.vector<float>(n * d), W = normals.vector<float>(V * d);
  std::vector<std::size_t> places(n, 0);
  std::vector<std::int32_t> targets;
  for (std::size_t i = 0; i < n; ++i) targets.push_back(static_cast<std::int32_t>(5 * i % V));
  const auto on = [&]<class D>(D) {
    WorkspaceOn<D> workspace;
    const auto there = [&](const std::vector<float>& values, std::size_t rows, std::size_t cols) {
      const MatrixView<float, D> m = workspace.template matrix<float>(rows, cols);
      Storage<float, D>::write(m.data, values.data(), values.size());
      return m;
    };
    const MatrixView<float, D> d_h = workspace.template matrix<float>(n, d),
                               d_W = workspace.template matrix<float>(V, d);
    assign(d_W, 0);
    const LossRows<D> rows{nullptr, 0, places, targets,
                           workspace.placed(std::span<const std::int32_t>(targets))};
    OwnCrossEntropy own;
    const FrozenWeight<float, D> weight(MatrixView<const float, D>(there(W, V, d)));
    std::vector<float> found{
        static_cast<float>(head_loss(there(h, n, d), weight, rows, own, 0.5F, d_h, d_W, workspace).sum)};
    for (const auto& m : {d_h, d_W}) {
      const HostCopy copy(m);
      found.insert(found.end(), copy.values().begin(), copy.values().end());
    }
    return found;
  };
  const std::vector<float> expected = on(Cpu{}), found = on(Emulated{});
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-5));
}

TEST_CASE("head_loss: hidden states are what the head reads, of all tokens or of some") {
  auto model = stirred_model<Everything>();
  const Batch batch = some_batch({7, 1, 5});
  const auto h = model.hidden(batch);
  CHECK(h.extent(0) == 13);
  CHECK(h.extent(1) == 10);
  const auto logits = model.logits(batch);
  Tensor<double, Extents<dyn, dyn>> again(13, 19);
  model.logits_of(h.matrix(), again.matrix());
  for (std::size_t i = 0; i < again.size(); ++i) {
    CHECK(again.data()[i] == doctest::Approx(logits.data()[i]).epsilon(1e-12));
  }
  const std::vector<std::size_t> rows{12, 3, 3};
  Tensor<double, Extents<dyn, dyn>> some(3, 10);
  model.hidden(batch, rows, some.matrix());
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 10; ++j) CHECK(some(i, j) == h(rows[i], j));
  }
  CHECK(batch.last_rows() == std::vector<std::size_t>{6, 7, 12});
  test::check_error<ShapeError>([&] { model.hidden(batch, batch.last_rows(), again.matrix()); },
                                {"room for hidden states (3, 10), found (13, 19)"});
  test::check_error<ArgumentError>(
      [&] { model.hidden(batch, std::vector<std::size_t>{13, 0, 0}, some.matrix()); }, {"rows below 13"});
  test::check_error<ShapeError>([&] { model.logits_of(some.matrix(), again.matrix()); }, {"found (3, 10)"});
}

TEST_CASE("head_loss: gradients of a head of one's own on hidden states") {
  auto model = stirred_model<Everything>();
  const Batch batch = some_batch({7, 1, 5});
  // Half the squares of two classes' scores, of the last token of each sequence.
  const double w[2] = {0.7, -1.3};
  const auto head = [&](MatrixView<const double> h, MatrixView<double> d_h) {
    Loss loss{0.0, h.rows};
    for (std::size_t i = 0; i < h.rows; ++i) {
      double score = 0.0;
      for (std::size_t j = 0; j < h.cols; ++j) score += w[j % 2] * h(i, j);
      loss.sum += 0.5 * score * score * static_cast<double>(i + 1);
      for (std::size_t j = 0; j < h.cols; ++j) d_h(i, j) = score * w[j % 2] * static_cast<double>(i + 1);
    }
    return loss;
  };
  for (const std::vector<std::size_t>& rows : {batch.last_rows(), std::vector<std::size_t>{0, 2, 9, 11}}) {
    check_gradients(
        model, 1.0, [&] { model.accumulate_hidden_gradients(batch, rows, head); },
        [&] {
          Tensor<double, Extents<dyn, dyn>> h(rows.size(), 10), d_h(rows.size(), 10);
          model.hidden(batch, rows, h.matrix());
          return head(h.matrix(), d_h.matrix()).sum;
        });
  }
  const auto refuse = [&](const std::vector<std::size_t>& rows, const std::string& part) {
    test::check_error<ArgumentError>([&] { model.accumulate_hidden_gradients(batch, rows, head); }, {part});
  };
  refuse({3, 3}, "ascending rows, found 3 after 3");
  refuse({13}, "rows below 13");
}
