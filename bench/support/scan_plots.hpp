#pragma once

// The plots of bench/scan_report.

#include "scan_results.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace scan_report {

/// A plot of ns per element over one extent, a line per policy.
inline bool plot(const std::string& folder, const std::string& name, const std::string& title,
                 const char* over, const Results& results) {
  std::map<std::string, std::map<long, double>> lines;
  for (const Result& r : results) {
    if (r.missing.empty()) lines[r.policy][r.at(over)] = r.ns();
  }
  std::erase_if(lines, [](const auto& line) { return line.second.size() < 2; });
  if (lines.empty()) return false;
  std::ofstream out(folder + "/" + name + ".gp");
  out << "set terminal png size 900,600\nset output '" << folder << "/" << name << ".png'\nset title '"
      << title << "'\nset xlabel '" << over
      << "'\nset ylabel 'ns per element'\nset logscale xy\nset grid\nset key outside right\n";
  int index = 0;
  for (const auto& [policy, points] : lines) {
    out << "$d" << index++ << " << EOD\n";
    for (const auto& [x, y] : points) out << x << ' ' << y << '\n';
    out << "EOD\n";
  }
  out << "plot ";
  index = 0;
  for (const auto& [policy, points] : lines) {
    std::string label = policy;
    std::replace(label.begin(), label.end(), '_', ' ');
    out << (index > 0 ? ", " : "") << "$d" << index << " using 1:2 with linespoints linewidth 2 title '"
        << label << "'";
    ++index;
  }
  out << '\n';
  if (!out.flush()) throw std::runtime_error(folder + "/" + name + ".gp: cannot be written");
  return true;
}

/// One plot: of the float variants of a direction with B = 1, and with D, N and L where they are not 0.
struct Figure {
  std::string name, title;
  const char* over;
  long D, N, L;
};

/// Writes the scripts of the figures, in both directions; gives the page's lines that show them.
inline std::string plots(const std::string& folder, const Results& all, const std::vector<Figure>& figures) {
  std::string lines;
  for (const std::string direction : {"forward", "backward"}) {
    for (const Figure& figure : figures) {
      const auto is_of = [](long wanted, long found) { return wanted == 0 || wanted == found; };
      const Results some = select(all, [&](const Result& r) {
        return r.family == "columns" && r.what == direction && r.scalar == "float" && r.at("threads") <= 1 &&
               r.at("B") == 1 && is_of(figure.D, r.at("D")) && is_of(figure.N, r.at("N")) &&
               is_of(figure.L, r.at("L"));
      });
      const std::string name = figure.name + "_" + direction, title = direction + ": " + figure.title;
      if (plot(folder, name, title, figure.over, some)) lines += "![" + title + "](" + name + ".png)\n";
    }
  }
  return lines;
}

/// The plots of a CPU's results.
inline std::string cpu_plots(const std::string& folder, const Results& all) {
  return plots(folder, all,
               {{"scan_length", "one channel of 16 states, over the length", "L", 1, 16, 0},
                {"scan_states", "64 channels, 512 steps, over the states", "N", 64, 0, 512},
                {"scan_channels", "16 states, 512 steps, over the channels", "D", 0, 16, 512}});
}

/// The plots of a GPU's results.
inline std::string gpu_plots(const std::string& folder, const Results& all) {
  return plots(folder, all,
               {{"gpu_length_64", "64 channels of 16 states, over the length", "L", 64, 16, 0},
                {"gpu_length_1536", "1536 channels of 16 states, over the length", "L", 1536, 16, 0},
                {"gpu_channels", "16 states, 512 steps, over the channels", "D", 0, 16, 512}});
}

}  // namespace scan_report
