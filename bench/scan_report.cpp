// Turns the JSON of bench/scan_variants into a page of tables and the scripts of its plots.
//
//   scan_report RESULTS.json FOLDER
//
// Writes FOLDER/scan_variants.md, and for each plot FOLDER/<name>.gp with its data inside, for gnuplot.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Result {
  std::string family, policy, what, scalar;  // family: columns or elements; what: direction or operator
  std::map<std::string, long> shape;         // B, L, D, N, threads
  bool refused = false;
  double ns = 0, bandwidth = 0, of_copy = 0, of_bare = 0, copy = 0, bare = 0;
};

long at(const Result& r, const char* key) {
  const auto found = r.shape.find(key);
  return found == r.shape.end() ? 0 : found->second;
}

Result parse(const nlohmann::json& entry) {
  Result r;
  std::istringstream name(entry.at("name").get<std::string>());
  std::getline(name, r.family, '/');
  std::getline(name, r.policy, '/');
  std::getline(name, r.what, '/');
  std::getline(name, r.scalar, '/');
  for (std::string part; std::getline(name, part, '/');) {
    const auto colon = part.find(':');
    if (colon != std::string::npos) r.shape[part.substr(0, colon)] = std::stol(part.substr(colon + 1));
  }
  if (entry.value("error_occurred", false)) {
    r.refused = true;
    return r;
  }
  r.ns = entry.at("best_ns_per_element").get<double>();
  r.bandwidth = entry.at("GB_per_s").get<double>();
  r.copy = entry.at("copy_GB_per_s").get<double>();
  r.bare = entry.at("bare_ns_per_element").get<double>();
  r.of_copy = entry.at("of_copy").get<double>();
  r.of_bare = entry.at("of_bare").get<double>();
  return r;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 1 ? "%.3f" : value < 10 ? "%.2f" : "%.1f", value);
  return text;
}

std::vector<Result> select(const std::vector<Result>& all, const std::function<bool(const Result&)>& keep) {
  std::vector<Result> some;
  std::copy_if(all.begin(), all.end(), std::back_inserter(some), keep);
  return some;
}

std::vector<std::string> policies_of(const std::vector<Result>& results) {
  std::vector<std::string> names;
  for (const Result& r : results) {
    if (std::find(names.begin(), names.end(), r.policy) == names.end()) names.push_back(r.policy);
  }
  return names;
}

std::vector<long> shape_key(const Result& r) {
  return {at(r, "B"), at(r, "D"), at(r, "N"), at(r, "L"), at(r, "threads")};
}

/// One row per shape, one column per policy, ns per element; the best of a row is bold. The fused scan
/// is not among the candidates: it does other work.
void table(std::ostream& out, const std::vector<Result>& results) {
  const auto policies = policies_of(results);
  std::map<std::vector<long>, std::map<std::string, Result>> rows;
  for (const Result& r : results) rows[shape_key(r)].emplace(r.policy, r);
  out << "| B | D | N | L | threads |";
  for (const auto& policy : policies) out << ' ' << policy << " |";
  out << "\n|" << std::string("---|");
  for (std::size_t i = 0; i < policies.size() + 4; ++i) out << "---|";
  out << '\n';
  for (const auto& [key, row] : rows) {
    double best = INFINITY;
    for (const auto& [policy, r] : row) {
      if (!r.refused && policy != "fused_selective") best = std::min(best, r.ns);
    }
    out << '|';
    for (const long value : key) out << ' ' << value << " |";
    for (const auto& policy : policies) {
      const auto found = row.find(policy);
      if (found == row.end()) {
        out << " |";
      } else if (found->second.refused) {
        out << " refused |";
      } else if (found->second.ns == best) {
        out << " **" << number(found->second.ns) << "** |";
      } else {
        out << ' ' << number(found->second.ns) << " |";
      }
    }
    out << '\n';
  }
  out << '\n';
}

/// The winner of each shape beside the ceilings.
void winners(std::ostream& out, const std::vector<Result>& results) {
  std::map<std::vector<long>, Result> best;
  for (const Result& r : results) {
    if (r.refused || r.policy == "fused_selective") continue;
    const auto [place, is_new] = best.emplace(shape_key(r), r);
    if (!is_new && r.ns < place->second.ns) place->second = r;
  }
  out << "| B | D | N | L | threads | winner | ns/element | GB/s | copy GB/s | of copy | of the bare loop |\n"
         "|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& [key, r] : best) {
    out << '|';
    for (const long value : key) out << ' ' << value << " |";
    out << ' ' << r.policy << " | " << number(r.ns) << " | " << number(r.bandwidth) << " | " << number(r.copy)
        << " | " << number(r.of_copy) << " | " << number(r.of_bare) << " |\n";
  }
  out << '\n';
}

/// A plot of ns per element over one extent, a line per policy.
bool plot(const std::string& folder, const std::string& name, const std::string& title, const char* over,
          const std::vector<Result>& results) {
  std::map<std::string, std::map<long, double>> lines;
  for (const Result& r : results) {
    if (!r.refused) lines[r.policy][at(r, over)] = r.ns;
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

void report(const std::string& source, const std::string& folder) {
  std::ifstream in(source);
  if (!in)
    throw std::runtime_error(source + ": cannot be read; it is what scan_variants --benchmark_out=… writes");
  std::vector<Result> all;
  const auto document = nlohmann::json::parse(in);
  for (const auto& entry : document.at("benchmarks")) {
    if (entry.value("run_type", "iteration") == "iteration") all.push_back(parse(entry));
  }
  if (all.empty()) throw std::runtime_error(source + ": holds no benchmarks");

  std::ofstream out(folder + "/scan_variants.md");
  out << "# Scan variants: measurements\n\n"
         "ns per element (one step of one column), the fastest run of each; `refused`: outside of the "
         "policy's "
         "domain. The fused scan makes a and b itself and adds softplus, exponentials, the sum over states "
         "and the "
         "gate.\n\n";
  for (const char* scalar : {"float", "double", "bfloat16"}) {
    for (const char* direction : {"forward", "backward"}) {
      const auto some = select(all, [&](const Result& r) {
        return r.family == "columns" && r.what == direction && r.scalar == scalar;
      });
      if (some.empty()) continue;
      out << "## Columns, " << direction << ", " << scalar << "\n\n";
      table(out, some);
      out << "Winners beside the ceilings: copying as many bytes, and the bare loop h = a·h + b in the first "
             "cache ("
          << number(some.front().bare) << " ns per element on one thread).\n\n";
      winners(out, some);
    }
  }
  std::vector<std::string> operators;
  for (const Result& r : all) {
    if (r.family == "elements" && std::find(operators.begin(), operators.end(), r.what) == operators.end()) {
      operators.push_back(r.what);
    }
  }
  for (const auto& name : operators) {
    out << "## One sequence of values under the operator `" << name << "`\n\n";
    table(out, select(all, [&](const Result& r) { return r.family == "elements" && r.what == name; }));
  }

  const auto columns = [&](const char* direction, long D, long N, long L) {
    return select(all, [=](const Result& r) {
      return r.family == "columns" && r.what == direction && r.scalar == "float" && at(r, "threads") == 1 &&
             at(r, "B") == 1 && (D == 0 || at(r, "D") == D) && (N == 0 || at(r, "N") == N) &&
             (L == 0 || at(r, "L") == L);
    });
  };
  std::string plots;
  for (const std::string direction : {"forward", "backward"}) {
    const struct {
      std::string name, title;
      const char* over;
      std::vector<Result> results;
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
        plots += "![" + figure.title + "](" + figure.name + ".png)\n";
      }
    }
  }
  if (!plots.empty()) out << "## Plots\n\n" << plots;
  if (!out.flush()) throw std::runtime_error(folder + "/scan_variants.md: cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: scan_report RESULTS.json FOLDER\n";
    return 2;
  }
  try {
    report(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::cerr << "scan_report: " << e.what() << '\n';
    return 1;
  }
  return 0;
}
