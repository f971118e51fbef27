#include "site_flags.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <sdlora/error.hpp>
#include <sdlora/io/utf8.hpp>
#include <string_view>
#include <system_error>
#include <utility>

namespace sdlora::examples {
namespace {

/// The sites of a placement as `describe` writes it: "A_log=… out_proj=…".
std::vector<std::string> sites_of(const std::string& placement) {
  std::vector<std::string> sites;
  for (std::size_t begin = 0; begin < placement.size();) {
    const std::size_t end = std::min(placement.find(' ', begin), placement.size());
    sites.push_back(placement.substr(begin, placement.find('=', begin) - begin));
    begin = end + 1;
  }
  return sites;
}

/// "SITE=VALUE" in two; the site must learn.
std::pair<std::string, std::string_view> split(const std::string& flag, std::string_view text,
                                               const std::string& placement, const std::string& form) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    throw ArgumentError(flag + ": expected " + form + ", found " + detail::in_quotes(text));
  }
  std::string site(text.substr(0, equals));
  const std::vector<std::string> sites = sites_of(placement);
  if (std::find(sites.begin(), sites.end(), site) == sites.end()) {
    std::string all;
    for (const std::string& each : sites) all += (all.empty() ? "" : ", ") + each;
    throw ArgumentError(flag + ": expected a site that learns under this placement (" + all + "), found " +
                        detail::in_quotes(site));
  }
  return {std::move(site), text.substr(equals + 1)};
}

template <class Number>
bool take_number(std::string_view& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

SiteFlags::SiteFlags(CommandLine& command) {
  command
      .option(
          "--layers", layers_,
          "the layers in which a site learns, the first being 0: out_proj=0-3,out_proj=8-11,A_log=4-; sites "
          "that are not named learn in all")
      .without_default();
  command
      .option("--site-rates", rates_,
              "learning rates of single sites, as parts of --learning-rate: A_log=0.1,out_proj=2")
      .without_default();
}

void SiteFlags::apply(const std::string& placement, std::size_t n_layer, AdapterOptions& adapter,
                      std::vector<ParameterGroup>& groups) const {
  for (const std::string& text : layers_) {
    const std::string form = "SITE=FIRST-LAST, as out_proj=0-3";
    const auto [site, layers] = split("--layers", text, placement, form);
    LayerRange range{site};
    std::string_view rest = layers;
    bool good = take_number(rest, range.first);
    std::size_t last = range.first;
    if (good && rest.starts_with('-')) {
      rest.remove_prefix(1);
      if (rest.empty()) {
        last = n_layer - 1;
      } else {
        good = take_number(rest, last);
      }
    }
    if (!good || !rest.empty()) {
      throw ArgumentError("--layers: expected " + form + ", found " + detail::in_quotes(text));
    }
    if (last < range.first || last >= n_layer) {
      throw ArgumentError("--layers: expected layers from 0 to " + std::to_string(n_layer - 1) +
                          ", the first before the last, found " + detail::in_quotes(text));
    }
    range.last = last + 1;
    const bool overlaps =
        std::any_of(adapter.layers.begin(), adapter.layers.end(), [&](const LayerRange& other) {
          return other.site == site && other.first < range.last && range.first < other.last;
        });
    if (overlaps) {
      throw ArgumentError("--layers: expected each layer of a site once, found one of " + site +
                          " twice; let its ranges not overlap");
    }
    adapter.layers.push_back(std::move(range));
  }
  for (const std::string& text : rates_) {
    const std::string form = "SITE=FACTOR, as A_log=0.1";
    const auto [site, factor] = split("--site-rates", text, placement, form);
    ParameterGroup group{.site = site};
    std::string_view rest = factor;
    if (!take_number(rest, group.rate_factor) || !rest.empty() || !std::isfinite(group.rate_factor) ||
        group.rate_factor < 0.0) {
      throw ArgumentError("--site-rates: expected " + form + ", at least 0, found " +
                          detail::in_quotes(text));
    }
    if (std::any_of(groups.begin(), groups.end(), [&](const auto& other) { return other.site == site; })) {
      throw ArgumentError("--site-rates: expected each site once, found " + site + " twice; keep one");
    }
    groups.push_back(std::move(group));
  }
}

}  // namespace sdlora::examples
