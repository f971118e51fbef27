#pragma once

// The plots of bench/scan_report.

#include "scan_results.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>

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

/// Writes the scripts of the plots; gives the page's lines that show them.
inline std::string plots(const std::string& folder, const Results& all) {
  const auto columns = [&](const char* direction, long D, long N, long L) {
    return select(all, [=](const Result& r) {
      return r.family == "columns" && r.what == direction && r.scalar == "float" && r.at("threads") == 1 &&
             r.at("B") == 1 && (D == 0 || r.at("D") == D) && (N == 0 || r.at("N") == N) &&
             (L == 0 || r.at("L") == L);
    });
  };
  std::string lines;
  for (const std::string direction : {"forward", "backward"}) {
    const struct {
      std::string name, title;
      const char* over;
      Results results;
    } figures[] = {
        {"scan_length_" + direction, direction + ": one channel of 16 states, over the length", "L",
         columns(direction.c_str(), 1, 16, 0)},
        {"scan_states_" + direction, direction + ": 64 channels, 512 steps, over the states", "N",
         columns(direction.c_str(), 64, 0, 512)},
        {"scan_channels_" + direction, direction + ": 16 states, 512 steps, over the channels", "D",
         columns(direction.c_str(), 0, 16, 512)},
    };
    for (const auto& figure : figures) {
      if (plot(folder, figure.name, figure.title, figure.over, figure.results)) {
        lines += "![" + figure.title + "](" + figure.name + ".png)\n";
      }
    }
  }
  return lines;
}

}  // namespace scan_report
