#pragma once

// What every scan policy is held to: the definition of a scan, written down directly.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/scan_backward.hpp>
#include <sdlora/scan/menu/sequential.hpp>
#include <sdlora/tensor/parallel.hpp>
#include <string>
#include <utility>
#include <vector>

namespace scan_checks {

using namespace sdlora;

inline constexpr ScanKind kinds[] = {ScanKind::Inclusive, ScanKind::Exclusive};
inline constexpr ScanDirection directions[] = {ScanDirection::Forward, ScanDirection::Reverse};

/// 2×2 matrices modulo a prime: exact, associative, far from commutative.
struct ModularMatrix {
  struct value_type {
    std::uint64_t m[4] = {1, 0, 0, 1};
    bool operator==(const value_type&) const = default;
  };
  static constexpr std::uint64_t prime = 1'000'003;
  constexpr value_type operator()(const value_type& x, const value_type& y) const {
    return {{(x.m[0] * y.m[0] + x.m[1] * y.m[2]) % prime, (x.m[0] * y.m[1] + x.m[1] * y.m[3]) % prime,
             (x.m[2] * y.m[0] + x.m[3] * y.m[2]) % prime, (x.m[2] * y.m[1] + x.m[3] * y.m[3]) % prime}};
  }
  static constexpr value_type identity() { return {}; }

  static value_type random(std::mt19937& generator) {
    value_type value;
    for (auto& m : value.m) m = generator() % prime;
    return value;
  }
};

/// Concatenation: not trivially copyable, and shows operand order letter by letter.
struct Concatenate {
  using value_type = std::string;
  std::string operator()(const std::string& x, const std::string& y) const { return x + y; }
  static std::string identity() { return {}; }

  static value_type random(std::mt19937& generator) {
    return std::string(1, static_cast<char>('a' + generator() % 26));
  }
};

template <class Op>
std::vector<typename Op::value_type> by_definition(const std::vector<typename Op::value_type>& in,
                                                   const Op& op,
                                                   const ScanOptions<typename Op::value_type>& options) {
  std::vector<typename Op::value_type> out(in.size());
  const std::size_t whole[2] = {0, in.size()};
  const Sequences sequences = options.sequences.offsets.empty() ? Sequences{whole} : options.sequences;
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    typename Op::value_type state = options.initial ? *options.initial : op.identity();
    for (std::size_t i = 0; i < sequences.length(s); ++i) {
      const std::size_t offset =
          options.direction == ScanDirection::Reverse ? sequences.length(s) - 1 - i : i;
      const std::size_t place = sequences.first(s) + offset;
      if (options.kind == ScanKind::Exclusive) out[place] = state;
      state = op(state, in[place]);
      if (options.kind == ScanKind::Inclusive) out[place] = state;
    }
  }
  return out;
}

/// All kinds, directions and initial values, for one length or for packed sequences.
template <class Op, class Policy>
void check_exactly(Policy policy, std::size_t length, const std::vector<std::size_t>& offsets = {}) {
  using V = typename Op::value_type;
  std::mt19937 generator(static_cast<std::mt19937::result_type>(length));
  std::vector<V> in(length);
  for (auto& value : in) value = Op::random(generator);
  for (const ScanKind kind : kinds) {
    for (const ScanDirection direction : directions) {
      for (const bool with_initial : {false, true}) {
        CAPTURE(length);
        CAPTURE(int(kind));
        CAPTURE(int(direction));
        CAPTURE(with_initial);
        ScanOptions<V> options{.kind = kind, .direction = direction, .initial = {}, .sequences = {offsets}};
        if (with_initial) options.initial = Op::random(generator);
        std::vector<V> out(length);
        scan(policy, in, out, options, Op{});
        CHECK(out == by_definition(in, Op{}, options));
      }
    }
  }
}

/// Runs `work` with 1, 2 and 3 threads; its results must have the same bits.
template <class Work>
void check_threads(const Work& work) {
  const std::size_t before = thread_count();
  set_thread_count(1);
  const auto first = work();
  for (const std::size_t threads : {2U, 3U}) {
    CAPTURE(threads);
    set_thread_count(threads);
    CHECK(work() == first);
  }
  set_thread_count(before);
}

/// A policy for any operator.
template <class Policy>
void check_element_policy(Policy policy) {
  for (const std::size_t length :
       {0U, 1U, 2U, 3U, 5U, 31U, 32U, 33U, 64U, 97U, 1023U, 1024U, 1025U, 2049U, 4099U}) {
    check_exactly<ModularMatrix>(policy, length);
  }
  check_exactly<ModularMatrix>(policy, 65537);
  check_exactly<ModularMatrix>(policy, 2203, {0, 1, 1, 4, 40, 41, 1100, 1100, 2203});
  check_exactly<ModularMatrix>(policy, 130, {0, 130});
  for (const std::size_t length : {0U, 1U, 2U, 7U, 41U, 130U}) check_exactly<Concatenate>(policy, length);
  check_exactly<Concatenate>(policy, 61, {0, 1, 1, 4, 61});
  check_threads([&] {
    std::mt19937 generator(11);
    std::vector<LinearStep<float>> in(5003), out(in.size());
    for (auto& step : in) {
      step = {0.8F + static_cast<float>(generator() % 1000) / 5000, static_cast<float>(generator() % 1000)};
    }
    scan(policy, in, out);
    return out;
  });
}

inline double uniform(std::mt19937& generator, double low, double high) {
  return low + (high - low) * static_cast<double>(generator()) / 4294967296.0;
}

/// What a and b may be.
inline double signs(std::mt19937& generator) { return uniform(generator, -0.99, 0.99); }
inline double decay(std::mt19937& generator) { return uniform(generator, 0.3, 1.0); }
inline double inputs(std::mt19937& generator) { return uniform(generator, -1.0, 1.0); }
inline double positive(std::mt19937& generator) { return uniform(generator, 0.0, 1.0); }

/// Matrices a and b with rows further apart than they are long, and states for every sequence.
template <class T>
struct ColumnProblem {
  std::size_t length, columns, pad;
  std::vector<std::size_t> offsets;
  std::vector<T> a, b, initial;

  template <class A, class B>
  ColumnProblem(std::size_t length_, std::size_t columns_, const A& make_a, const B& make_b,
                std::vector<std::size_t> offsets_ = {}, std::size_t pad_ = 3)
      : length(length_),
        columns(columns_),
        pad(pad_),
        offsets(std::move(offsets_)),
        a(length * (columns + pad)),
        b(a.size()) {
    initial.resize(columns * (offsets.empty() ? 1 : offsets.size() - 1));
    std::mt19937 generator(static_cast<std::mt19937::result_type>(length * 131 + columns));
    for (auto& x : a) x = static_cast<T>(make_a(generator));
    for (auto& x : b) x = static_cast<T>(make_b(generator));
    for (auto& x : initial) x = static_cast<T>(make_b(generator));
  }

  std::size_t at(std::size_t t, std::size_t j) const { return t * (columns + pad) + j; }
  MatrixView<T> view(std::vector<T>& m) const { return {m.data(), length, columns, columns + pad}; }
  MatrixView<const T> view(const std::vector<T>& m) const {
    return {m.data(), length, columns, columns + pad};
  }

  LinearScanOptions<T> options(ScanKind kind, ScanDirection direction, bool with_initial) const {
    const std::size_t sequences = offsets.empty() ? 1 : offsets.size() - 1;
    return {.kind = kind,
            .direction = direction,
            .initial = with_initial ? MatrixView<const T>(initial.data(), sequences, columns)
                                    : MatrixView<const T>{},
            .sequences = {offsets}};
  }

  /// From the definition, in long double where the machine has it.
  std::vector<double> oracle(const LinearScanOptions<T>& o) const {
    std::vector<double> h(a.size());
    const std::vector<std::size_t> whole = {0, length};
    const auto& cuts = offsets.empty() ? whole : offsets;
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t s = 0; s + 1 < cuts.size(); ++s) {
        long double state = o.initial ? o.initial(s, j) : T(0);
        for (std::size_t i = cuts[s]; i < cuts[s + 1]; ++i) {
          const std::size_t t = o.direction == ScanDirection::Reverse ? cuts[s] + cuts[s + 1] - 1 - i : i;
          if (o.kind == ScanKind::Exclusive) h[at(t, j)] = static_cast<double>(state);
          state = static_cast<long double>(a[at(t, j)]) * state + static_cast<long double>(b[at(t, j)]);
          if (o.kind == ScanKind::Inclusive) h[at(t, j)] = static_cast<double>(state);
        }
      }
    }
    return h;
  }
};

/// The largest error relative to the largest value.
template <class T>
double largest_error(const ColumnProblem<T>& p, const std::vector<T>& h,
                     const std::vector<double>& expected) {
  double worst = 0, largest = 1e-30;
  for (std::size_t t = 0; t < p.length; ++t) {
    for (std::size_t j = 0; j < p.columns; ++j) {
      const double difference = std::abs(static_cast<double>(h[p.at(t, j)]) - expected[p.at(t, j)]);
      worst =
          std::isfinite(difference) ? std::max(worst, difference) : std::numeric_limits<double>::infinity();
      largest = std::max(largest, std::abs(expected[p.at(t, j)]));
    }
  }
  return worst / largest;
}

/// All kinds, directions and initial states of one problem; also in the memory of b and of a.
template <class Policy, class T>
void check_columns(Policy policy, const ColumnProblem<T>& p, double tolerance) {
  for (const ScanKind kind : kinds) {
    for (const ScanDirection direction : directions) {
      for (const bool with_initial : {false, true}) {
        CAPTURE(p.length);
        CAPTURE(p.columns);
        CAPTURE(int(kind));
        CAPTURE(int(direction));
        CAPTURE(with_initial);
        const auto options = p.options(kind, direction, with_initial);
        const auto expected = p.oracle(options);
        std::vector<T> h(p.a.size(), T(-77));
        scan(policy, p.view(p.a), p.view(p.b), p.view(h), options);
        CHECK(largest_error(p, h, expected) <= tolerance);
        bool outside_untouched = true;
        for (std::size_t t = 0; t < p.length; ++t) {
          for (std::size_t j = p.columns; j < p.columns + p.pad; ++j) {
            outside_untouched = outside_untouched && h[p.at(t, j)] == T(-77);
          }
        }
        CHECK(outside_untouched);
        std::vector<T> in_place = p.b;
        scan(policy, p.view(p.a), p.view(in_place), p.view(in_place), options);
        CHECK(largest_error(p, in_place, expected) <= tolerance);
        in_place = p.a;
        scan(policy, p.view(in_place), p.view(p.b), p.view(in_place), options);
        CHECK(largest_error(p, in_place, expected) <= tolerance);
      }
    }
  }
}

/// A policy for linear recurrences over columns with any values.
template <class Policy>
void check_column_policy(Policy policy) {
  for (const std::size_t length : {0U, 1U, 2U, 7U, 33U, 127U}) {
    for (const std::size_t columns : {0U, 1U, 2U, 5U, 16U, 17U, 31U, 61U, 257U, 263U}) {
      check_columns(policy, ColumnProblem<float>(length, columns, signs, inputs), 1e-6);
    }
  }
  check_columns(policy, ColumnProblem<double>(67, 133, signs, inputs), 1e-14);
  check_columns(policy, ColumnProblem<float>(4099, 19, decay, inputs), 2e-6);
  check_columns(policy, ColumnProblem<double>(65537, 3, decay, inputs), 1e-14);
  check_columns(policy, ColumnProblem<float>(2203, 21, decay, inputs, {0, 1, 1, 4, 40, 41, 1100, 1100, 2203}),
                2e-6);

  const auto near_one = [](std::mt19937& g) { return 1.0 - 1e-7 * uniform(g, 0, 1); };
  check_columns(policy, ColumnProblem<double>(65537, 2, near_one, inputs), 1e-11);
  const auto near_zero = [](std::mt19937& g) { return 1e-30 * uniform(g, 0, 1); };
  check_columns(policy, ColumnProblem<float>(2503, 5, near_zero, inputs), 1e-6);
  const auto resets = [](std::mt19937& g) { return g() % 5 == 0 ? 0.0 : uniform(g, 0.5, 1.0); };
  check_columns(policy, ColumnProblem<float>(2503, 5, resets, inputs), 1e-6);
  const auto growing = [](std::mt19937& g) { return uniform(g, 1.0, 1.5); };
  check_columns(policy, ColumnProblem<float>(97, 5, growing, positive), 2e-6);

  check_threads([&] {
    const ColumnProblem<float> p(2500, 300, decay, inputs, {0, 700, 701, 2500}, 0);
    std::vector<float> h(p.a.size());
    scan(policy, p.view(p.a), p.view(p.b), p.view(h),
         p.options(ScanKind::Inclusive, ScanDirection::Forward, true));
    return h;
  });
}

/// loss = Σ w·h; its gradients by central differences. The loss is linear in each single variable
/// (every product of a's holds each once), so the differences are exact but for rounding.
template <class Policy>
void check_gradients(Policy policy, std::size_t length, std::size_t columns,
                     const std::vector<std::size_t>& offsets, ScanDirection direction, bool with_initial) {
  CAPTURE(length);
  CAPTURE(columns);
  CAPTURE(offsets.size());
  CAPTURE(int(direction));
  CAPTURE(with_initial);
  const auto some_zeros = [](std::mt19937& g) { return g() % 7 == 0 ? 0.0 : uniform(g, 0.4, 1.0); };
  ColumnProblem<double> p(length, columns, some_zeros, inputs, offsets, 0);
  const ColumnProblem<double> weights(length, columns, inputs, inputs, {}, 0);
  const std::vector<double>& w = weights.a;
  const std::size_t size = length * columns;
  const auto options = p.options(ScanKind::Inclusive, direction, with_initial);
  const auto loss = [&] {
    std::vector<double> out(size);
    scan(Sequential{}, p.view(std::as_const(p.a)), p.view(std::as_const(p.b)), p.view(out), options);
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += w[i] * out[i];
    return sum;
  };
  const auto difference = [&](double& x) {
    const double step = 1e-3, kept = x;
    x = kept + step;
    const double up = loss();
    x = kept - step;
    const double down = loss();
    x = kept;
    return doctest::Approx((up - down) / (2 * step)).epsilon(1e-8);
  };

  std::vector<double> h(size), d_a(size, 99), d_b(size, 99), d_initial(p.initial.size(), 99);
  scan(policy, p.view(std::as_const(p.a)), p.view(std::as_const(p.b)), p.view(h), options);
  scan_backward(policy, p.view(std::as_const(p.a)), p.view(std::as_const(h)), p.view(w), p.view(d_a),
                p.view(d_b), {d_initial.data(), p.initial.size() / columns, columns}, options);
  for (std::size_t i = 0; i < size; ++i) {
    CHECK(d_b[i] == difference(p.b[i]));
    CHECK(d_a[i] == difference(p.a[i]));
  }
  if (with_initial) {
    for (std::size_t i = 0; i < d_initial.size(); ++i) CHECK(d_initial[i] == difference(p.initial[i]));
  }
  // Only what is asked for, and in place.
  std::vector<double> in_place = w;
  scan_backward(policy, p.view(std::as_const(p.a)), p.view(std::as_const(h)), p.view(std::as_const(in_place)),
                {}, p.view(in_place), {}, options);
  CHECK(in_place == d_b);
}

/// The gradients that a policy gives for linear recurrences over columns.
template <class Policy>
void check_backward(Policy policy) {
  for (const ScanDirection direction : directions) {
    for (const bool with_initial : {false, true}) {
      check_gradients(policy, 1, 1, {}, direction, with_initial);
      check_gradients(policy, 13, 5, {}, direction, with_initial);
      check_gradients(policy, 7, 19, {}, direction, with_initial);
      check_gradients(policy, 17, 3, {0, 1, 1, 6, 17}, direction, with_initial);
    }
  }
  // Long ones against the sequential gradients.
  const ColumnProblem<double> p(4099, 5, [](std::mt19937& g) { return uniform(g, 0.9, 1.0); }, inputs, {}, 0);
  const ColumnProblem<double> w(4099, 5, inputs, inputs, {}, 0);
  std::vector<double> expected_a(p.a.size()), expected_b(p.a.size()), d_a(p.a.size()), d_b(p.a.size());
  scan_backward(Sequential{}, p.view(p.a), p.view(p.b), w.view(w.a), p.view(expected_a), p.view(expected_b));
  scan_backward(policy, p.view(p.a), p.view(p.b), w.view(w.a), p.view(d_a), p.view(d_b));
  double worst = 0;
  for (std::size_t i = 0; i < d_a.size(); ++i) {
    worst = std::max({worst, std::abs(d_a[i] - expected_a[i]), std::abs(d_b[i] - expected_b[i])});
  }
  CHECK(worst < 1e-11);
}

/// That a guarded policy refuses one bad value in the last column of the last sequence, names it, and writes
/// nothing: not even in columns and sequences that are tasks of their own, nor in the memory of b.
template <class Policy>
void check_refusal(Policy policy, float a, float b, float initial, const char* text) {
  CAPTURE(text);
  for (const std::size_t columns : {1U, 5U, 37U, 300U, 1000U}) {
    for (const std::vector<std::size_t>& offsets : {std::vector<std::size_t>{}, {0, 9, 18}}) {
      CAPTURE(columns);
      CAPTURE(offsets.size());
      const std::size_t length = offsets.empty() ? 9 : offsets.back();
      ColumnProblem<float> p(
          length, columns, [](std::mt19937&) { return 0.9; }, [](std::mt19937&) { return 1.0; }, offsets);
      p.a[p.at(length - 1, columns - 1)] = a;
      p.b[p.at(length - 1, columns - 1)] = b;
      p.initial.back() = initial;
      const auto check = [&](const std::vector<float>& from, std::vector<float> h, bool in_place) {
        const std::vector<float> before = h;
        std::string message;
        try {
          scan(policy, p.view(p.a), in_place ? p.view(std::as_const(h)) : p.view(from), p.view(h),
               p.options(ScanKind::Inclusive, ScanDirection::Forward, true));
        } catch (const ArgumentError& e) {
          message = e.what();
        }
        CHECK(message.find(text) != std::string::npos);
        CHECK(message.find("column " + std::to_string(columns - 1)) != std::string::npos);
        CHECK(std::memcmp(h.data(), before.data(), h.size() * sizeof(float)) == 0);  // a NaN is itself
      };
      check(p.b, std::vector<float>(p.a.size(), -77.0F), false);
      check(p.b, p.b, true);
    }
  }
}

/// The gradients of a guarded policy against the sequential ones, where those of the states are positive.
template <class Policy>
void check_positive_gradients(Policy policy) {
  const ColumnProblem<double> p(130, 9, decay, positive, {0, 60, 61, 61, 130}, 0);
  for (const ScanDirection direction : directions) {
    const auto gradients = [&](auto by) {
      std::vector<double> all(2 * p.a.size() + p.initial.size());
      double* const data = all.data();
      scan_backward(by, p.view(p.a), p.view(p.b), p.view(p.b), {data, p.length, p.columns},
                    MatrixView<double>(data + p.a.size(), p.length, p.columns),
                    {data + 2 * p.a.size(), p.offsets.size() - 1, p.columns},
                    p.options(ScanKind::Inclusive, direction, true));
      return all;
    };
    const auto got = gradients(policy), expected = gradients(Sequential{});
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-9));
    }
  }
}

/// That its gradients are refused as well, before any is written, for one bad value in the last sequence.
template <class Policy>
void check_backward_refusal(Policy policy, float a, float d_h, const char* text) {
  ColumnProblem<float> p(
      18, 300, [](std::mt19937&) { return 0.9; }, [](std::mt19937&) { return 1.0; }, {0, 9, 18}, 0);
  p.a[p.at(14, 299)] = a;
  p.b[p.at(14, 299)] = d_h;
  for (const ScanDirection direction : directions) {
    const std::vector<float> untouched(p.a.size(), -77.0F);
    std::vector<float> d_a = untouched, d_b = untouched, d_initial(2 * 300, -77.0F);
    std::string message;
    try {
      scan_backward(policy, p.view(std::as_const(p.a)), p.view(std::as_const(p.a)),
                    p.view(std::as_const(p.b)), p.view(d_a), p.view(d_b), {d_initial.data(), 2, 300},
                    p.options(ScanKind::Inclusive, direction, true));
    } catch (const ArgumentError& e) {
      message = e.what();
    }
    CHECK(message.find("scan_backward: scans against time, with d_h in the place of b") == 0);
    CHECK(message.find(text) != std::string::npos);
    CHECK(message.find("column 299") != std::string::npos);
    CHECK(d_a == untouched);
    CHECK(d_b == untouched);
    CHECK(std::ranges::count(d_initial, -77.0F) == 600);
  }
}

}  // namespace scan_checks
