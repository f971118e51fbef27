#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/scan_backward.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>
#include <sdlora/scan/menu/simd_states.hpp>

#include <bit>
#include <cstdint>
#include <utility>

#include "support/scan_checks.hpp"

using namespace sdlora;

namespace {

using Narrow = std::vector<BFloat16>;
using Wide = std::vector<float>;

Narrow narrow(const Wide& values) {
  Narrow result;
  for (const float x : values) result.emplace_back(x);
  return result;
}
Wide widen(const Narrow& values) {
  Wide result;
  for (const BFloat16 x : values) result.push_back(static_cast<float>(x));
  return result;
}

// Matrices that bfloat16 holds exactly, rows further apart than they are long.
struct Problem {
  std::size_t length, columns, stride;
  std::vector<std::size_t> offsets;
  Narrow a, b;
  Wide initial;

  Problem(std::size_t length_, std::size_t columns_, std::vector<std::size_t> offsets_ = {})
      : length(length_), columns(columns_), stride(columns_ + 3), offsets(std::move(offsets_)) {
    std::mt19937 random(static_cast<std::mt19937::result_type>(7 * length + columns));
    const auto fill = [&](std::size_t count, double low) {
      Wide values(count);
      for (float& x : values) x = static_cast<float>(scan_checks::uniform(random, low, 1.0));
      return values;
    };
    a = narrow(fill(length * stride, 0.2));
    b = narrow(fill(length * stride, -1.0));
    initial = fill(columns * (offsets.empty() ? 1 : offsets.size() - 1), -1.0);
  }

  template <class T>
  MatrixView<T> view(std::vector<T>& m) const {
    return {m.data(), length, columns, stride};
  }
  template <class T>
  MatrixView<const T> view(const std::vector<T>& m) const {
    return {m.data(), length, columns, stride};
  }
  LinearScanOptions<float> options(ScanKind kind, ScanDirection direction, bool with_initial) const {
    return {.kind = kind,
            .direction = direction,
            .initial = with_initial
                           ? MatrixView<const float>(initial.data(), initial.size() / columns, columns)
                           : MatrixView<const float>{},
            .sequences = {offsets}};
  }
};

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all = {{1, 1},
                                           {2, 7},
                                           {31, 17},
                                           {32, 16},
                                           {33, 5},
                                           {97, 260},
                                           {700, 1024 + 37},
                                           {180, 8300},
                                           {131, 33, {0, 1, 1, 40, 131}},
                                           {0, 4}};
  return all;
}

// The order of evaluation is one, so the bits agree.
template <class Policy>
void check_states(Policy policy) {
  for (const Problem& x : problems()) {
    const Wide a = widen(x.a), b = widen(x.b);
    for (const ScanKind kind : scan_checks::kinds) {
      for (const ScanDirection direction : scan_checks::directions) {
        for (const bool with_initial : {false, true}) {
          CAPTURE(x.length);
          CAPTURE(x.columns);
          const auto options = x.options(kind, direction, with_initial);
          Wide h(a.size());
          scan(policy, x.view(a), x.view(b), x.view(h), options);
          Narrow got(h.size(), BFloat16(0.0F));
          scan(policy, x.view(x.a), x.view(x.b), x.view(got), options);
          CHECK(got == narrow(h));
          Narrow in_place = x.b;
          scan(policy, x.view(x.a), x.view(std::as_const(in_place)), x.view(in_place), options);
          for (std::size_t t = 0; t < x.length; ++t) {
            CHECK(std::equal(x.view(got).row(t), x.view(got).row(t) + x.columns, x.view(in_place).row(t)));
          }
        }
      }
    }
  }
}

template <class Policy>
void check_gradients(Policy policy) {
  for (const Problem& x : problems()) {
    for (const ScanDirection direction : scan_checks::directions) {
      for (const bool with_initial : {false, true}) {
        CAPTURE(x.length);
        CAPTURE(x.columns);
        const auto options = x.options(ScanKind::Inclusive, direction, with_initial);
        const Wide a = widen(x.a), h = widen(x.b), d_h = widen(x.a);  // any values will do
        Wide d_a(a.size()), d_b(a.size()), d_initial(x.initial.size());
        const MatrixView<float> want(d_initial.data(), d_initial.size() / x.columns, x.columns);
        scan_backward(policy, x.view(a), x.view(h), x.view(d_h), x.view(d_a), x.view(d_b), want, options);
        Narrow got_a(a.size(), BFloat16(0.0F)), got_b(a.size(), BFloat16(0.0F));
        Wide got_initial(x.initial.size());
        const MatrixView<float> got(got_initial.data(), want.rows, want.cols);
        scan_backward(policy, x.view(x.a), x.view(x.b), x.view(x.a), x.view(got_a), x.view(got_b), got,
                      options);
        CHECK(got_a == narrow(d_a));
        CHECK(got_b == narrow(d_b));
        CHECK(got_initial == d_initial);
        Narrow only_b(a.size(), BFloat16(0.0F));
        scan_backward(policy, x.view(x.a), x.view(x.b), x.view(x.a), {}, x.view(only_b), {}, options);
        CHECK(only_b == got_b);
      }
    }
  }
}

}  // namespace

TEST_CASE("scan of bfloat16: states are those of float, rounded once") {
  check_states(SimdChannels{});
  check_states(SimdStates<>{});
}

TEST_CASE("scan of bfloat16: gradients are those of float, rounded once") {
  check_gradients(SimdChannels{});
  check_gradients(SimdStates<>{});
}

TEST_CASE("scan of bfloat16: what is small beside the state still adds up") {
  // In bfloat16 256 + 1 is 256: a state kept there would stand still.
  const std::size_t length = 513;
  const Narrow ones(length, BFloat16(1.0F));
  Narrow h(length, BFloat16(0.0F));
  scan(SimdChannels{}, MatrixView<const BFloat16>(ones.data(), length, 1),
       MatrixView<const BFloat16>(ones.data(), length, 1), MatrixView<BFloat16>(h.data(), length, 1));
  CHECK(static_cast<float>(h.back()) == 512.0F);  // 513, rounded
}

TEST_CASE("scan of bfloat16: what is not a number stays so, and infinity infinity") {
  for (const std::uint32_t word : {0x7f80'0001U, 0x7fff'ffffU, 0xff80'0001U, 0x7f80'0000U, 0xff80'0000U}) {
    const Wide initial(37, std::bit_cast<float>(word));
    const Narrow zeros(initial.size(), BFloat16(0.0F));
    Narrow h(initial.size(), BFloat16(0.0F));
    scan(SimdChannels{}, MatrixView<const BFloat16>(zeros.data(), 1, zeros.size()),
         MatrixView<const BFloat16>(zeros.data(), 1, zeros.size()),
         MatrixView<BFloat16>(h.data(), 1, h.size()),
         {.kind = ScanKind::Exclusive,
          .direction = ScanDirection::Forward,
          .initial = {initial.data(), 1, initial.size()},
          .sequences = {}});
    CHECK(std::ranges::equal(h, narrow(initial), {}, &BFloat16::bits, &BFloat16::bits));
  }
}

TEST_CASE("scan of bfloat16: any number of threads gives the same bits") {
  const Problem x(150, 1100);
  scan_checks::check_threads([&] {
    Narrow h(x.a.size(), BFloat16(0.0F));
    scan(SimdChannels{}, x.view(x.a), x.view(x.b), x.view(h));
    return h;
  });
}

TEST_CASE("scan of bfloat16: bad shapes are refused as those of float are") {
  Narrow m(12, BFloat16(1.0F));
  const MatrixView<BFloat16> whole(m.data(), 3, 4), part(m.data(), 3, 3);
  CHECK_THROWS_WITH_AS(scan(SimdChannels{}, whole, part, whole), doctest::Contains("one shape (L, columns)"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(scan_backward(SimdChannels{}, whole, part, whole, {}, whole),
                       doctest::Contains("h is (3, 3) but d_b (3, 4)"), ShapeError);
  CHECK_THROWS_AS(
      scan_backward(SimdChannels{}, whole, whole, whole, {}, whole, {},
                    {.kind = ScanKind::Exclusive, .direction = {}, .initial = {}, .sequences = {}}),
      ArgumentError);
}
