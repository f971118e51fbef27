#pragma once

#include <sdlora/tensor/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// Random numbers for tests, and how far apart two arrays are.
namespace sdlora_test {

/// Normal numbers one after another.
class Normals {
 public:
  explicit Normals(std::uint64_t seed) : random_(seed, 991) {}
  double next() { return random_.normal(count_++); }
  template <class T>
  void fill(std::span<T> values, double scale, double mean = 0.0) {
    for (T& value : values) value = static_cast<T>(mean + scale * next());
  }
  template <class T>
  std::vector<T> vector(std::size_t count, double scale = 1.0, double mean = 0.0) {
    std::vector<T> values(count);
    fill(std::span<T>(values), scale, mean);
    return values;
  }

 private:
  sdlora::RandomStream random_;
  std::uint64_t count_ = 0;
};

/// ‖a − b‖ / ‖b‖.
template <class A, class B>
double relative_norm(const A& a, const B& b) {
  if (a.size() != b.size()) return 1e300;
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    difference += (x - y) * (x - y);
    size += y * y;
  }
  if (size == 0.0) return difference == 0.0 ? 0.0 : 1e300;
  return std::sqrt(difference / size);
}

/// The largest |a − b| relative to the largest |b|.
template <class A, class B>
double relative_error(const A& a, const B& b) {
  if (a.size() != b.size()) return 1e300;
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    if (!(std::abs(x - y) <= difference)) difference = std::abs(x - y);
    size = std::max(size, std::abs(y));
  }
  if (size == 0.0) return difference == 0.0 ? 0.0 : 1e300;
  return difference / size;
}

}  // namespace sdlora_test
