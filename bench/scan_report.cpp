// Turns the JSON of a scan suite, the CPU's or a GPU's, into a page of tables and the scripts of its plots.
//
//   scan_report RESULTS.json FOLDER
//
// Writes FOLDER/RESULTS.md, and for each plot FOLDER/<name>.gp with its data inside, for gnuplot.

#include "support/scan_plots.hpp"
#include "support/scan_results.hpp"
#include "support/scan_tables.hpp"

#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace scan_report;

void cpu_page(std::ostream& out, const std::string& folder, const Measurements& measured) {
  const Style style{{"B", "D", "N", "L", "threads"}};
  out << "# Scan variants: measurements\n\n"
         "ns per element (one step of one column), the fastest run of each; `refused`: outside of the "
         "policy's domain. Variants took turns, in random order. The spread is that of the fastest one's "
         "turns, the slowest by the fastest; where it leads others by less, none wins and all of them are "
         "bold. The fused scan makes a and b itself and adds softplus, exponentials, the sum over states and "
         "the gate.\n\n";
  for_each_kind_of_columns(measured.results, [&](const auto& direction, const auto& scalar,
                                                 const Results& some) {
    out << "## Columns, " << direction << ", " << scalar << "\n\n";
    table(out, some, style);
    const auto measurable = select(some, [](const Result& r) { return r.missing.empty(); });
    if (measurable.empty()) return;
    out << "Winners beside the ceilings: copying as many bytes, and the bare loop h = a·h + b in the first "
           "cache ("
        << number(measurable.front().value("bare_ns_per_element")) << " ns per element on one thread).\n\n";
    winners(out, some, style, {{"of_copy", "of copy"}, {"of_bare", "of the bare loop"}});
  });
  const auto elements = select(measured.results, [](const Result& r) { return r.family == "elements"; });
  for (const auto& name : distinct(elements, &Result::what)) {
    out << "## One sequence of values under the operator `" << name << "`\n\n";
    table(out, select(elements, [&](const Result& r) { return r.what == name; }), style);
  }
  const std::string shown = cpu_plots(folder, measured.results);
  if (!shown.empty()) out << "## Plots\n\n" << shown;
}

/// A row for each variant of the selective scan.
void selective_table(std::ostream& out, const Results& results) {
  write_head(out, {"variant", "direction", "I/O", "B", "L", "D", "N", "kept every", "segments", "ms",
                   "Gpos/s", "GB/s", "of copy", "of exponentials", "of the bare loop", "of the nearest"});
  for (const Result& r : results) {
    std::vector<std::string> cells{r.policy, r.what, r.scalar};
    for (const char* part : {"B", "L", "D", "N"}) cells.push_back(std::to_string(r.at(part)));
    const bool cut = r.shape.contains("segments");
    cells.push_back(!cut ? "" : r.at("kept_every") > 0 ? std::to_string(r.at("kept_every")) : "nothing");
    cells.push_back(cut ? std::to_string(r.at("segments")) : "");
    if (!r.missing.empty()) {
      cells.push_back(r.missing);
      cells.resize(16);
      write_row(out, cells);
      continue;
    }
    const auto elements = static_cast<double>(r.at("B") * r.at("L") * r.at("D") * r.at("N"));
    cells.push_back(number(r.ns() * elements * 1e-6));
    for (const char* counter : {"Gpos_per_s", "GB_per_s", "of_copy", "of_exp", "of_bare", "of_nearest"}) {
      cells.push_back(r.has(counter) ? number(r.value(counter)) : "");
    }
    write_row(out, cells);
  }
  out << '\n';
}

void gpu_page(std::ostream& out, const std::string& folder, const Measurements& measured) {
  const Results& all = measured.results;
  out << "# Scans on " << measured.about("device") << "\n\n"
      << measured.about("multiprocessors") << " multiprocessors, compute capability "
      << measured.about("compute_capability") << ", CUDA " << measured.about("cuda")
      << ". Measured in this run: copy " << measured.about("copy_GB_per_s")
      << " GB/s (read plus written), exponentials " << measured.about("exp_G_per_s") << " G/s, multiply-adds "
      << measured.about("fma_G_per_s") << " G/s (double: " << measured.about("fma_double_G_per_s")
      << ").\n\n"
         "The fastest run of each, by events. Gpos/s counts (row, channel) positions, all states of each; "
         "GB/s the bytes that must move; `of copy` is the share of what a copy of as many bytes reaches, `of "
         "the bare loop` that of h = a·h + b alone with its operands in registers, one multiply-add for each "
         "element, and `of the nearest` that of the nearest ceiling.\n\n";
  const auto missing = select(all, [](const Result& r) { return !r.missing.empty(); });
  if (!missing.empty()) {
    out << missing.size() << " of " << all.size()
        << " variants have no figures: `refused`, the device or a launch cannot hold the shape; `left out`, "
           "the time was up; `failed`, the log has why.\n\n";
  }
  if (const auto selective = select(all, [](const Result& r) { return r.family == "selective"; });
      !selective.empty()) {
    out << "## Selective scan, with gate and softplus\n\n"
           "`fused`, and made of library scans, which read and write a and b of every state.\n\n";
    selective_table(out, selective);
  }
  const Style style{{"B", "D", "N", "L"}, 1000, "ps/element"};
  for_each_kind_of_columns(all, [&](const auto& direction, const auto& scalar, const Results& some) {
    out << "## Linear recurrences of given a and b, " << direction << ", " << scalar << "\n\n"
        << "ps per element (one step of one column), each policy in the layout that it is made for:";
    for (const auto& layout : distinct(some, &Result::label)) {
      if (layout.empty()) continue;
      out << ' ' << layout << " for";
      const auto of_layout = select(some, [&](const Result& r) { return r.label == layout; });
      const char* before = " ";
      for (const auto& policy : distinct(of_layout, &Result::policy)) {
        out << before << policy;
        before = ", ";
      }
      out << ';';
    }
    out << " the best of a row is bold.\n\n";
    table(out, some, style);
    out << "Winners beside the ceilings, copying as many bytes and the bare loop:\n\n";
    winners(out, some, style, {{"of_copy", "of copy"}, {"of_bare", "of the bare loop"}});
  });
  const std::string shown = gpu_plots(folder, all);
  if (!shown.empty()) out << "## Plots\n\n" << shown << '\n';
}

void report(const std::string& source, const std::string& folder) {
  const Measurements measured = read(source);
  const std::string page = folder + "/" + std::filesystem::path(source).stem().string() + ".md";
  std::ofstream out(page);
  if (measured.of_gpu()) {
    gpu_page(out, folder, measured);
  } else {
    cpu_page(out, folder, measured);
  }
  if (!out.flush()) throw std::runtime_error(page + ": cannot be written");
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
