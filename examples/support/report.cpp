#include "report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sdlora/error.hpp>
#include <sdlora/io/json.hpp>
#include <string_view>
#include <system_error>

namespace sdlora::examples {

namespace {

/// What tells a page of this program from other files.
constexpr std::string_view first_line = "<!doctype html><!-- sdlora report -->";

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --faint: #6a737d; --line: #d8dee4;
  --curve-0: #1f6feb; --curve-1: #c2410c; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181d; --ink: #e6e9ed; --faint: #98a2ad; --line: #343b44;
    --curve-0: #6cb0ff; --curve-1: #ffa657; }
}
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 400; color: var(--faint); }
th, td { padding: .15rem 1.5rem .15rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; white-space: pre-wrap; }
figure { margin: 1.5rem 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font-size: 12px; } .grid { stroke: var(--line); }
.curve-0 { stroke: var(--curve-0); fill: none; stroke-width: 1.5; }
.curve-1 { stroke: var(--curve-1); fill: none; stroke-width: 1.5; }
.name-0 { color: var(--curve-0); } .name-1 { color: var(--curve-1); }
.layer { height: 40px; border: 1px solid var(--line); } .chosen { fill: var(--curve-0); }
pre { overflow-x: auto; }
)";

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        // HTML has no way to write the other control characters.
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') result += c;
    }
  }
  return result;
}

std::string number(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string table(const NamedTexts& rows) {
  std::string html = "<table>\n";
  for (const auto& [name, text] : rows)
    html += "<tr><th scope=\"row\">" + escaped(name) + "</th><td>" + escaped(text) + "</td></tr>\n";
  return html + "</table>\n";
}

using Point = std::pair<double, double>;

/// Of more points than a screen has columns: in each stretch the lowest and the highest, in their order.
std::vector<Point> thinned(const std::vector<Point>& all) {
  std::vector<Point> points;
  for (const Point& point : all) {
    if (std::isfinite(point.first) && std::isfinite(point.second)) points.push_back(point);
  }
  constexpr std::size_t stretches = 512;
  if (points.size() <= 2 * stretches) return points;
  std::vector<Point> kept;
  const auto lower = [](const Point& a, const Point& b) { return a.second < b.second; };
  for (std::size_t i = 0; i < stretches; ++i) {
    const auto at = [&](std::size_t k) {
      return points.begin() + static_cast<std::ptrdiff_t>(k * points.size() / stretches);
    };
    auto [low, high] = std::minmax_element(at(i), at(i + 1), lower);
    if (high < low) std::swap(low, high);
    kept.push_back(*low);
    if (high != low) kept.push_back(*high);
  }
  return kept;
}

struct Range {
  double low = 0.0, high = 0.0;

  /// 1, 2 or 5 times a power of ten: four to ten ticks.
  double tick() const {
    const double rough = (high - low) / 4.0;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    for (const double factor : {5.0, 2.0}) {
      if (factor * power <= rough) return factor * power;
    }
    return power;
  }
};

Range range_of(const std::vector<std::vector<Point>>& curves, double Point::* member) {
  Range range;
  bool first = true;
  for (const auto& points : curves) {
    for (const Point& point : points) {
      const double value = point.*member;
      range.low = first ? value : std::min(range.low, value);
      range.high = first ? value : std::max(range.high, value);
      first = false;
    }
  }
  if (const double least = 1e-9 * std::max(std::abs(range.low), std::abs(range.high));
      !(range.high - range.low > least)) {
    const double half = range.low == 0.0 ? 1.0 : std::abs(range.low) / 2.0;
    range = {range.low - half, range.high + half};
  }
  return range;
}

constexpr double width = 720.0, height = 240.0, left = 76.0, right = 12.0, top = 8.0, bottom = 34.0;

std::string line(double x1, double y1, double x2, double y2) {
  return "<line class=\"grid\" x1=\"" + number("%.1f", x1) + "\" y1=\"" + number("%.1f", y1) + "\" x2=\"" +
         number("%.1f", x2) + "\" y2=\"" + number("%.1f", y2) + "\"/>\n";
}

std::string label(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + number("%.1f", x) + "\" y=\"" + number("%.1f", y) + "\" text-anchor=\"" + anchor +
         "\">" + escaped(text) + "</text>\n";
}

/// A figure, or nothing where no curve has a point.
std::string figure(const Chart& chart) {
  std::vector<std::vector<Point>> curves;
  std::string names;
  for (const Curve& curve : chart.curves) {
    std::vector<Point> points = thinned(curve.points);
    if (points.empty()) continue;
    names += (names.empty() ? "" : " · ") + std::string("<span class=\"name-") +
             (curves.empty() ? "0" : "1") + "\">" + escaped(curve.name) + "</span>";
    curves.push_back(std::move(points));
  }
  if (curves.empty()) return {};
  const Range x = range_of(curves, &Point::first), y = range_of(curves, &Point::second);
  const auto at_x = [&](double value) {
    return left + (width - left - right) * (value - x.low) / (x.high - x.low);
  };
  const auto at_y = [&](double value) {
    return height - bottom - (height - top - bottom) * (value - y.low) / (y.high - y.low);
  };
  std::string html = "<figure><figcaption>" + escaped(chart.title) + "</figcaption>\n" + names +
                     "\n<svg viewBox=\"0 0 720 240\" role=\"img\" aria-label=\"" + escaped(chart.title) +
                     " by step\">\n";
  const double step_y = y.tick(), step_x = std::max(1.0, x.tick());
  for (double k = std::ceil(y.low / step_y); k * step_y <= y.high; k += 1.0) {
    html += line(left, at_y(k * step_y), width - right, at_y(k * step_y));
    html += label(left - 8.0, at_y(k * step_y) + 4.0, "end", number("%.6g", k * step_y));
  }
  for (double k = std::ceil(x.low / step_x); k * step_x <= x.high; k += 1.0)
    html += label(at_x(k * step_x), height - bottom + 16.0, "middle", number("%.12g", k * step_x));
  html += label((left + width - right) / 2.0, height - 3.0, "middle", "step");
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const std::string curve = "class=\"curve-" + std::string(i == 0 ? "0" : "1") + "\"";
    html += "<path " + curve + " d=\"";
    for (const auto& [step, value] : curves[i]) {
      html += (&step == &curves[i].front().first ? "M" : " L") + number("%.1f", at_x(step)) + "," +
              number("%.1f", at_y(value));
    }
    html += "\"/>\n";
    // Few points are marked, so that one alone is seen, too.
    if (curves[i].size() > 50) continue;
    for (const auto& [step, value] : curves[i]) {
      html += "<circle " + curve + " cx=\"" + number("%.1f", at_x(step)) + "\" cy=\"" +
              number("%.1f", at_y(value)) + "\" r=\"2.5\"><title>step " + number("%.12g", step) + ": " +
              number("%.6g", value) + "</title></circle>\n";
    }
  }
  return html + "</svg></figure>\n";
}

/// A strip for each layer: channels from left to right, states from top to bottom.
std::string map_of(const Selection& selection) {
  std::string html = "<h2>Selected channels and states</h2>\n<p>A strip for each layer: " +
                     std::to_string(selection.d_inner) + " channels from left to right, " +
                     std::to_string(selection.d_state) + " states from top to bottom.</p>\n";
  // A channel of many is less than a pixel wide.
  const std::string across = number("%.3g", std::max(1.0, static_cast<double>(selection.d_inner) / 360.0));
  for (std::size_t l = 0; l < selection.layers.size(); ++l) {
    const LayerSelection& layer = selection.layers[l];
    html += "<div>layer " + std::to_string(l) + "</div>\n<svg class=\"layer\" viewBox=\"0 0 " +
            std::to_string(selection.d_inner) + " " + std::to_string(selection.d_state) +
            "\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"layer " + std::to_string(l) + "\">\n";
    const std::size_t per = layer.states_per_channel();
    for (std::size_t c = 0; c < layer.channels.size(); ++c) {
      std::string path, states;
      for (std::size_t s = c * per; s < (c + 1) * per; ++s) {
        const std::string state = std::to_string(layer.states[s]);
        path.append("M").append(std::to_string(layer.channels[c])).append(",").append(state);
        path.append("h").append(across).append("v1h-").append(across).append("z");
        states.append(states.empty() ? "" : ", ").append(state);
      }
      html += "<path class=\"chosen\" d=\"" + path + "\"><title>channel " +
              std::to_string(layer.channels[c]) + ": states " + states + "</title></path>\n";
    }
    html += "</svg>\n";
  }
  html += "<details><summary>as text</summary><pre>";
  for (std::size_t l = 0; l < selection.layers.size(); ++l) {
    const LayerSelection& layer = selection.layers[l];
    const std::size_t per = layer.states_per_channel();
    html += "layer " + std::to_string(l) + ":";
    for (std::size_t c = 0; c < layer.channels.size(); ++c) {
      html.append(" ").append(std::to_string(layer.channels[c])).append("(");
      for (std::size_t s = 0; s < per; ++s)
        html.append(s == 0 ? "" : ",").append(std::to_string(layer.states[c * per + s]));
      html += ")";
    }
    html += "\n";
  }
  return html + "</pre></details>\n";
}

}  // namespace

RunMetrics read_metrics(const std::filesystem::path& log) {
  std::ifstream file(log, std::ios::binary);
  if (!file) throw FileError(log.string(), "", "cannot be read; make sure that it exists");
  Curve loss{"training", {}}, evaluation{"evaluation", {}}, rate{"learning rate", {}};
  Curve perplexity{"perplexity", {}}, norm{"before clipping", {}}, speed{"tokens a second", {}};
  const std::array<std::pair<const char*, Curve*>, 5> curves{{{"loss", &loss},
                                                              {"evaluation_loss", &evaluation},
                                                              {"learning_rate", &rate},
                                                              {"evaluation_perplexity", &perplexity},
                                                              {"gradient_norm", &norm}}};
  RunMetrics metrics;
  std::string text;
  for (std::size_t row = 1; std::getline(file, text); ++row) {
    const nlohmann::json object =
        parse_json(text, {.file = log.string(), .first_line = row, .one_line = true});
    const auto found = [&](const char* key) -> std::optional<double> {
      const auto value = object.find(key);
      if (value == object.end() || !value->is_number()) return {};
      return value->get<double>();
    };
    const std::optional<double> step = found("step");
    if (!object.is_object() || !step) {
      throw FileError(log.string(), "line " + std::to_string(row),
                      "expected an object with a step; give the metrics log of a run");
    }
    for (const auto& [key, curve] : curves) {
      if (const auto value = found(key)) curve->points.emplace_back(*step, *value);
    }
    const std::optional<double> tokens = found("tokens"), seconds = found("seconds");
    if (!tokens || !seconds) continue;
    metrics.tokens += *tokens;
    metrics.seconds += *seconds;
    if (*seconds > 0.0) speed.points.emplace_back(*step, *tokens / *seconds);
  }
  const auto add = [&](const char* title, std::initializer_list<Curve> shown) {
    Chart chart{title, {}};
    for (const Curve& curve : shown) {
      if (!curve.points.empty()) chart.curves.push_back(curve);
    }
    if (!chart.curves.empty()) metrics.charts.push_back(std::move(chart));
  };
  add("Loss", {loss, evaluation});
  add("Learning rate", {rate});
  add("Evaluation", {perplexity});
  add("Gradient norm", {norm});
  add("Throughput", {speed});
  return metrics;
}

std::string report_page(const RunReport& report) {
  std::string html(first_line);
  html +=
      "\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  html += escaped(report.title) + "</title>\n<style>" + std::string(style) +
          "</style>\n</head>\n<body>\n<h1>" + escaped(report.title) + "</h1>\n";
  if (!report.figures.empty()) html += table(report.figures);
  std::string figures;
  for (const Chart& chart : report.charts) figures += figure(chart);
  if (!figures.empty()) html += "<h2>The run</h2>\n" + figures;
  if (!report.selection.layers.empty()) html += map_of(report.selection);
  if (!report.settings.empty()) html += "<h2>Settings</h2>\n" + table(report.settings);
  return html + "</body>\n</html>\n";
}

void require_report_or_free(const std::filesystem::path& path) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return;
  std::ifstream file(path, std::ios::binary);
  std::string found(first_line.size() + 1, '\0');
  file.read(found.data(), static_cast<std::streamsize>(found.size()));
  if (file && found == std::string(first_line) + "\n") return;
  throw FileError(path.string(), "",
                  "exists and is no report of sdlora, which would replace it; choose another --report");
}

}  // namespace sdlora::examples
