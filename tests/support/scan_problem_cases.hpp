#pragma once

#include <sdlora/scan/menu/scan_backward.hpp>
#include <sdlora/scan/menu/scan_problem.hpp>
#include <sdlora/scan/menu/sequential.hpp>

#include "support/numbers.hpp"
#include "support/scan_checks.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

// Test bodies for algorithms that scan a ScanProblem: `run(problem)` on a device whose `Buffer` holds its
// memory, the emulator's or a GPU's. All kinds, directions, layouts and initial values, against the
// sequential scan.
namespace sdlora_test {

using namespace sdlora;
using namespace scan_checks;

inline constexpr std::int64_t problem_lengths[] = {1, 2, 9, 31, 64, 65, 129, 1025};
inline constexpr std::int64_t problem_columns[] = {1, 7, 130};

template <class Stored>
inline constexpr double problem_tolerance = 1e-2;
template <>
inline constexpr double problem_tolerance<float> = 3e-6;
template <>
inline constexpr double problem_tolerance<double> = 1e-14;

/// What a is drawn from. `usual` has a 0 here and there.
enum class Decays { usual, near_one, near_zero, zero };
inline constexpr Decays extreme_decays[] = {Decays::near_one, Decays::near_zero, Decays::zero};

inline double draw_decay(std::mt19937& generator, Decays decays, std::size_t i) {
  const double u = uniform(generator, 0, 1);
  switch (decays) {
    case Decays::near_one:
      return 1 - 1e-7 * u;
    case Decays::near_zero:
      return 1e-30 * u;
    case Decays::zero:
      return 0;
    default:
      return i % 29 == 17 ? 0 : 0.5 + u / 2;
  }
}

/// Matrices (L, columns), rounded to what is stored, in either layout.
template <class Stored>
struct ProblemData {
  using T = recurrence_state_t<Stored>;
  std::int64_t length, columns;
  double tolerance;  // relative to the largest value
  std::vector<T> a, b, initial;

  ProblemData(std::int64_t length_, std::int64_t columns_, Decays decays = Decays::usual)
      : length(length_), columns(columns_), tolerance(problem_tolerance<Stored>) {
    // States then are sums of all before them, which each algorithm adds in an order of its own.
    if (decays == Decays::near_one) tolerance *= 100;
    std::mt19937 generator(static_cast<std::mt19937::result_type>(length * 131 + columns));
    const auto size = static_cast<std::size_t>(length * columns);
    const auto draw = [&] { return rounded(static_cast<T>(uniform(generator, -1, 1))); };
    for (std::size_t i = 0; i < size; ++i) {
      a.push_back(rounded(static_cast<T>(draw_decay(generator, decays, i))));
      b.push_back(draw());
    }
    for (std::int64_t c = 0; c < columns; ++c) initial.push_back(draw());
  }

  static T rounded(T value) { return static_cast<T>(static_cast<Stored>(value)); }
  MatrixView<T> view(std::vector<T>& m) const {
    return {m.data(), static_cast<std::size_t>(length), static_cast<std::size_t>(columns)};
  }
  LinearScanOptions<T> options(ScanKind kind, ScanDirection direction, bool with_initial) const {
    LinearScanOptions<T> options{kind, direction, {}, {}};
    if (with_initial) options.initial = {initial.data(), 1, static_cast<std::size_t>(columns)};
    return options;
  }

  /// The values of a matrix as they are stored, time or columns contiguous, and back.
  std::vector<Stored> stored(const std::vector<T>& m, bool time_contiguous) const {
    std::vector<Stored> values(m.size());
    for (std::size_t i = 0; i < m.size(); ++i) values[place(i, time_contiguous)] = static_cast<Stored>(m[i]);
    return values;
  }
  std::vector<T> loaded(const std::vector<Stored>& values, bool time_contiguous) const {
    std::vector<T> m(values.size());
    for (std::size_t i = 0; i < m.size(); ++i) m[i] = static_cast<T>(values[place(i, time_contiguous)]);
    return m;
  }

  /// Sets the extents of `x`; gives how far from a matrix's beginning scan order starts.
  template <class Problem>
  std::int64_t lay_out(Problem& x, bool time_contiguous, ScanDirection direction) const {
    x.length = length;
    x.columns = columns;
    x.time_stride = time_contiguous ? 1 : columns;
    x.column_stride = time_contiguous ? length : 1;
    if (direction == ScanDirection::Forward) return 0;
    x.time_stride = -x.time_stride;
    return (length - 1) * -x.time_stride;
  }

 private:
  std::size_t place(std::size_t i, bool time_contiguous) const {
    const std::size_t rows = static_cast<std::size_t>(length), cols = static_cast<std::size_t>(columns);
    return time_contiguous ? i % cols * rows + i / cols : i;
  }
};

template <class Device, class Stored, class Run>
void check_linear_problem(const ProblemData<Stored>& data, const Run& run) {
  using T = recurrence_state_t<Stored>;
  const std::vector<T> none(data.a.size(), std::numeric_limits<T>::quiet_NaN());
  for (const ScanKind kind : kinds) {
    for (const ScanDirection direction : directions) {
      for (const bool with_initial : {false, true}) {
        for (const bool time_contiguous : {false, true}) {
          CAPTURE(data.length);
          CAPTURE(data.columns);
          CAPTURE(int(kind));
          CAPTURE(int(direction));
          CAPTURE(with_initial);
          CAPTURE(time_contiguous);
          auto a = data.a, b = data.b, expected = none;
          scan(Sequential{}, data.view(a), data.view(b), data.view(expected),
               data.options(kind, direction, with_initial));
          using Buffer = typename Device::template Buffer<Stored>;
          Buffer device_a(data.stored(a, time_contiguous)), device_b(data.stored(b, time_contiguous)),
              h(data.stored(none, time_contiguous));
          typename Device::template Buffer<T> initial(data.initial);
          LinearScanProblem<Stored> x;
          const std::int64_t first = data.lay_out(x, time_contiguous, direction);
          x.a = device_a.data() + first;
          x.b = device_b.data() + first;
          x.h = h.data() + first;
          if (with_initial) x.initial = initial.data();
          x.exclusive = kind == ScanKind::Exclusive;
          run(x);
          CHECK(relative_error(data.loaded(h.read(), time_contiguous), expected) < data.tolerance);
          if (x.exclusive) continue;
          x.h = device_b.data() + first;
          run(x);
          CHECK(relative_error(data.loaded(device_b.read(), time_contiguous), expected) < data.tolerance);
        }
      }
    }
  }
}

template <class Device, class Stored, class Run>
void check_gradient_problem(const ProblemData<Stored>& data, const Run& run) {
  using T = recurrence_state_t<Stored>;
  std::mt19937 generator(7);
  std::vector<T> gradient(data.a.size());
  for (auto& g : gradient) g = data.rounded(static_cast<T>(inputs(generator)));
  const std::vector<T> none(data.a.size(), std::numeric_limits<T>::quiet_NaN());
  const std::vector<T> no_initial(data.initial.size(), std::numeric_limits<T>::quiet_NaN());
  for (const ScanDirection direction : directions) {
    for (const bool with_initial : {false, true}) {
      CAPTURE(data.length);
      CAPTURE(data.columns);
      CAPTURE(int(direction));
      CAPTURE(with_initial);
      const bool time_contiguous = with_initial;
      const auto options = data.options(ScanKind::Inclusive, direction, with_initial);
      auto a = data.a, b = data.b, h = none, d_h = gradient, d_a = none, d_b = none, d_initial = no_initial;
      scan(Sequential{}, data.view(a), data.view(b), data.view(h), options);
      for (T& state : h) state = data.rounded(state);
      scan_backward(Sequential{}, data.view(a), data.view(h), data.view(d_h), data.view(d_a), data.view(d_b),
                    {d_initial.data(), 1, d_initial.size()}, options);
      using Buffer = typename Device::template Buffer<Stored>;
      Buffer device_a(data.stored(a, time_contiguous)), device_h(data.stored(h, time_contiguous)),
          device_d_h(data.stored(d_h, time_contiguous)), device_d_a(data.stored(none, time_contiguous)),
          device_d_b(data.stored(none, time_contiguous));
      typename Device::template Buffer<T> initial(data.initial), device_d_initial(no_initial);
      LinearGradientProblem<Stored> x;
      const std::int64_t last =
          data.lay_out(x, time_contiguous,
                       direction == ScanDirection::Forward ? ScanDirection::Reverse : ScanDirection::Forward);
      x.a = device_a.data() + last;
      x.h = device_h.data() + last;
      x.d_h = device_d_h.data() + last;
      x.d_a = device_d_a.data() + last;
      x.d_b = device_d_b.data() + last;
      if (with_initial) x.initial = initial.data();
      x.d_initial = device_d_initial.data();
      run(x);
      const auto close = [&](const std::vector<T>& found, const std::vector<T>& expected) {
        return relative_error(found, expected) < data.tolerance;
      };
      CHECK(close(data.loaded(device_d_a.read(), time_contiguous), d_a));
      CHECK(close(data.loaded(device_d_b.read(), time_contiguous), d_b));
      CHECK(close(device_d_initial.read(), d_initial));
      // Only what is asked for, and in the memory of what comes in.
      x.d_a = nullptr;
      x.d_initial = nullptr;
      x.d_b = device_d_h.data() + last;
      run(x);
      CHECK(close(data.loaded(device_d_h.read(), time_contiguous), d_b));
    }
  }
}

/// Exactly, under an operator that does not commute.
template <class Device, class Run>
void check_value_problem(std::int64_t length, const Run& run) {
  using V = ModularMatrix::value_type;
  std::mt19937 generator(static_cast<std::mt19937::result_type>(length));
  std::vector<V> in(static_cast<std::size_t>(length));
  for (V& value : in) value = ModularMatrix::random(generator);
  for (const ScanKind kind : kinds) {
    for (const ScanDirection direction : directions) {
      for (const bool with_initial : {false, true}) {
        CAPTURE(length);
        CAPTURE(int(kind));
        CAPTURE(int(direction));
        CAPTURE(with_initial);
        ScanOptions<V> options{kind, direction, {}, {}};
        if (with_initial) options.initial = ModularMatrix::random(generator);
        typename Device::template Buffer<V> device_in(in), out(std::vector<V>(in.size()));
        ValueScanProblem<ModularMatrix> x;
        const std::int64_t first = direction == ScanDirection::Reverse ? length - 1 : 0;
        x.in = device_in.data() + first;
        x.out = out.data() + first;
        x.length = length;
        x.stride = direction == ScanDirection::Reverse ? -1 : 1;
        if (with_initial) x.initial = *options.initial;
        x.has_initial = with_initial;
        x.exclusive = kind == ScanKind::Exclusive;
        run(x);
        CHECK(out.read() == by_definition(in, ModularMatrix{}, options));
      }
    }
  }
}

/// check(data) with a → 1, a → 0 and a = 0 over a prime number of steps, longer than tiles and pieces.
template <class Stored, class Check>
void with_extreme_decays(std::int64_t columns, const Check& check) {
  for (const Decays decays : extreme_decays) {
    CAPTURE(int(decays));
    check(ProblemData<Stored>(4099, columns, decays));
  }
}

/// The recurrences and their gradients with matrices of `Stored`, over all lengths and columns.
template <class Device, class Stored, class Run>
void check_scan_problems(const Run& run) {
  for (const std::int64_t length : problem_lengths) {
    for (const std::int64_t columns : problem_columns) {
      const ProblemData<Stored> data(length, columns);
      check_linear_problem<Device>(data, run);
      check_gradient_problem<Device>(data, run);
    }
  }
}

}  // namespace sdlora_test
