#pragma once

// scan_variants --shape: one shape of the user's own, and which scan is the fastest on it.

#include "measure.hpp"
#include "program.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace scan_suite {

/// A count of at least 1 at the beginning of `text`, which loses it; nothing where there is none.
inline std::optional<std::size_t> take_count(std::string_view& text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value == 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

/// The shape of --shape=B,L,D,N and --threads=T, which are taken out of the arguments; nothing where neither
/// is there. Throws std::invalid_argument, with what to give instead.
inline std::optional<Shape> take_shape(std::vector<char*>& arguments) {
  // Of four matrices of 4 GiB nothing would come on most machines.
  constexpr std::size_t most = std::size_t(1) << 30;
  const std::string text = take_option(arguments, "--shape", ""),
                    threads = take_option(arguments, "--threads", "");
  if (text.empty()) {
    if (!threads.empty()) throw std::invalid_argument("--threads: goes with --shape=B,L,D,N");
    return std::nullopt;
  }
  Shape shape;
  std::string_view rest = text;
  std::size_t elements = 1;
  for (std::size_t* const part : std::array{&shape.B, &shape.L, &shape.D, &shape.N}) {
    if (part != &shape.B && !rest.empty()) rest.remove_prefix(rest.front() == ',' ? 1 : 0);
    const auto count = take_count(rest);
    if (!count || (part == &shape.N ? !rest.empty() : rest.empty() || rest.front() != ',')) {
      throw std::invalid_argument(
          "--shape: expected B,L,D,N, each at least 1: sequences, steps, channels, states of each; found '" +
          text + "'");
    }
    *part = *count;
    if (*part > most / elements) {
      throw std::invalid_argument("--shape: expected at most 2^30 elements B*L*D*N, found '" + text +
                                  "'; a part of the channels takes that part of the time");
    }
    elements *= *part;
  }
  std::string_view given = threads;
  const auto count = threads.empty() ? std::optional<std::size_t>(1) : take_count(given);
  if (!count || *count > 4096 || !given.empty()) {
    throw std::invalid_argument("--threads: expected a number from 1 to 4096, found '" + threads + "'");
  }
  shape.threads = *count;
  return shape;
}

/// Prints the variants of one direction, the fastest first. Gives the fastest that scans any h = a·h + b.
inline std::string print_ranking(std::string_view direction, const std::vector<Fastest>& reached) {
  struct Row {
    std::string policy;
    double ns_per_element, of_copy;
  };
  std::vector<Row> rows;
  for (const Fastest& each : reached) {  // columns/<policy>/<direction>/…
    const std::size_t begin = each.name.find('/') + 1, end = each.name.find('/', begin);
    if (each.name.compare(end + 1, direction.size() + 1, std::string(direction) + '/') != 0) continue;
    rows.push_back({each.name.substr(begin, end - begin), each.ns_per_element, each.of_copy});
  }
  std::sort(rows.begin(), rows.end(),
            [](const Row& x, const Row& y) { return x.ns_per_element < y.ns_per_element; });
  const auto fused = [](const Row& row) { return row.policy.starts_with("fused_selective"); };
  const auto first = std::find_if_not(rows.begin(), rows.end(), fused);
  if (first == rows.end()) return "";
  std::printf("\n%-28s %12s %14s %16s\n", std::string(direction).c_str(), "ns/element", "x the fastest",
              "share of copying");
  for (const Row& row : rows) {
    std::printf("%-28s %12.4g %14.2f %16.2f%s\n", row.policy.c_str(), row.ns_per_element,
                row.ns_per_element / first->ns_per_element, row.of_copy, fused(row) ? "  *" : "");
  }
  return first->policy;
}

/// The tables of both directions and the winners.
inline void print_rankings(const Shape& shape, const std::vector<Fastest>& reached) {
  std::printf("%zu sequences, %zu steps, %zu channels, %zu states of each, float, %zu thread%s\n", shape.B,
              shape.L, shape.D, shape.N, shape.threads, shape.threads == 1 ? "" : "s");
  const std::string forward = print_ranking("forward", reached),
                    backward = print_ranking("backward", reached);
  if (!forward.empty()) std::printf("\nfastest forward:  %s\n", forward.c_str());
  if (!backward.empty()) std::printf("fastest backward: %s\n", backward.c_str());
  std::printf("* the whole scan of a Mamba block, which forms a and b itself; the others scan h = a*h + b\n");
}

}  // namespace scan_suite
