#include "support.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

// bench/scan_report. All figures are made up.
using namespace programs;

namespace {

nlohmann::json entry(const std::string& name, double ns, double of_copy) {
  return {{"name", name},    {"run_type", "iteration"}, {"best_ns_per_element", ns},
          {"GB_per_s", 100}, {"copy_GB_per_s", 200},    {"of_copy", of_copy}};
}

nlohmann::json refused(const std::string& name) {
  return {{"name", name},
          {"run_type", "iteration"},
          {"error_occurred", true},
          {"error_message", "refused: outside of the policy's domain"}};
}

/// The page of `document`, saved as <stem>.json.
std::string page_of(const nlohmann::json& document, const std::string& stem) {
  const test::Folder folder;
  std::ofstream(folder / (stem + ".json")) << document;
  run_well("scan_report", {(folder / (stem + ".json")).string(), folder.path().string()});
  return test::content(folder / (stem + ".md"));
}

bool has_line(const std::string& page, const std::string& line) {
  return ("\n" + page).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("scan_report: a page of the CPU's results") {
  const std::string shape = "/B:1/L:512/D:64/N:16/threads:1/manual_time";
  auto slow = entry("columns/Slow/forward/float" + shape, 3, 0.25);
  auto fast = entry("columns/Fast/forward/float" + shape, 1.5, 0.5);
  for (auto* one : {&slow, &fast}) {
    (*one)["bare_ns_per_element"] = 0.75;
    (*one)["of_bare"] = 0.125;
  }
  const nlohmann::json document{
      {"context", {{"num_cpus", 2}}},
      {"benchmarks", {slow, fast, refused("columns/Narrow/forward/float" + shape)}}};
  const std::string page = page_of(document, "made_up");
  CAPTURE(page);
  CHECK(page.starts_with("# Scan variants: measurements\n"));
  CHECK(has_line(page, "| B | D | N | L | threads | Slow | Fast | Narrow |"));
  CHECK(has_line(page, "| 1 | 64 | 16 | 512 | 1 | 3.00 | **1.50** | refused |"));
  CHECK(has_line(page, "| 1 | 64 | 16 | 512 | 1 | Fast | 1.50 | | 100.0 | 200.0 | 0.500 | 0.125 |"));
}

TEST_CASE("scan_report: the fastest repetition counts, and no lead within the spread wins") {
  const auto name = [](const std::string& policy, int L) {
    return "columns/" + policy + "/forward/float/B:1/L:" + std::to_string(L) +
           "/D:64/N:16/threads:1/manual_time";
  };
  nlohmann::json all = nlohmann::json::array();
  const auto add = [&](const std::string& policy, int L, std::initializer_list<double> times) {
    for (const double ns : times) {
      auto one = entry(name(policy, L), ns, 1 / ns);
      one["family_index"] = L * 3 + (policy == "Fast" ? 0 : policy == "Near" ? 1 : 2);
      one["bare_ns_per_element"] = 0.75;
      one["of_bare"] = 0.125;
      all.push_back(one);
    }
    // What Google Benchmark says of all repetitions is none of them.
    auto mean = entry(name(policy, L) + "_mean", 0.001, 1);
    mean["run_type"] = "aggregate";
    all.push_back(mean);
  };
  // 2.0 leads 2.2 by less than its own 2.4 / 2.0; where it repeats to within 1.05, by more.
  // They end in any order, and are shown in that in which they were registered.
  add("Slow", 512, {4, 4, 4});
  add("Near", 512, {2.3, 2.6, 2.2});
  add("Fast", 512, {2.4, 2.0, 2.1});
  add("Fast", 1024, {2.1, 2.0, 2.0});
  add("Near", 1024, {2.3, 2.6, 2.2});
  // One that was left out once has the figures of the other turns.
  all.push_back(refused(name("Slow", 1024)));
  all.back()["family_index"] = 1024 * 3 + 2;
  add("Slow", 1024, {5, 4});
  // The highest ceilings count as well, in whichever turn they were reached.
  add("Fast", 2048, {2.0, 2.0});
  all.back() = all[all.size() - 2];
  all.back()["best_ns_per_element"] = 3.0;
  all.back()["copy_GB_per_s"] = 250;
  all.back()["bare_ns_per_element"] = 0.5;
  const std::string page = page_of({{"context", {{"num_cpus", 2}}}, {"benchmarks", all}}, "made_up");
  CAPTURE(page);
  CHECK(has_line(page, "| 1 | 64 | 16 | 512 | 1 | **2.00** | **2.20** | 4.00 |"));
  CHECK(has_line(page, "| 1 | 64 | 16 | 1024 | 1 | **2.00** | 2.20 | 4.00 |"));
  CHECK(has_line(page,
                 "| B | D | N | L | threads | winner | ns/element | spread | GB/s | copy GB/s | of copy "
                 "| of the bare loop |"));
  CHECK(has_line(
      page, "| 1 | 64 | 16 | 512 | 1 | none: Fast, Near | 2.00 | 1.20 | 100.0 | 200.0 | 0.500 | 0.125 |"));
  CHECK(has_line(page, "| 1 | 64 | 16 | 2048 | 1 | Fast | 2.00 | 1.50 | 100.0 | 250.0 | 0.400 | 0.083 |"));
  CHECK(has_line(page, "| 1 | 64 | 16 | 1024 | 1 | Fast | 2.00 | 1.05 | 100.0 | 200.0 | 0.500 | 0.125 |"));
}

TEST_CASE("scan_report: a page of a GPU's results") {
  const std::string shape = "/B:1/L:512/D:64/N:16/manual_time";
  auto fused =
      entry("selective/fused/forward/bfloat16/B:1/L:1000/D:100/N:10/kept_every:0/segments:4", 1, 0.25);
  fused["Gpos_per_s"] = 0.1;
  fused["of_exp"] = 0.75;
  fused["of_bare"] = 0.5;
  fused["of_nearest"] = 0.75;
  auto slow = entry("columns/slow one/forward/float" + shape, 0.003, 0.25);
  auto fast = entry("columns/fast one/forward/float" + shape, 0.0015, 0.5);
  fast["label"] = "(L, columns)";
  auto library =
      entry("selective/cub::DeviceScan/forward/bfloat16/B:1/L:1000/D:100/N:10/manual_time", 4, 0.5);
  library["Gpos_per_s"] = 0.025;
  library["of_bare"] = 0.125;
  library["of_nearest"] = 0.5;
  auto longer = entry("columns/fast one/forward/float/B:1/L:1024/D:64/N:16/manual_time", 0.001, 0.5);
  for (auto* one : {&slow, &fast, &longer}) (*one)["of_bare"] = 0.0625;
  const nlohmann::json document{
      {"context",
       {{"device", "Made-up 1"},
        {"multiprocessors", "7"},
        {"compute_capability", "1.2"},
        {"cuda", "3.4"},
        {"copy_GB_per_s", "200"},
        {"exp_G_per_s", "30"},
        {"fma_G_per_s", "40"},
        {"fma_double_G_per_s", "20"}}},
      {"benchmarks",
       {fused, library, slow, fast, longer,
        refused("selective/fused/backward/bfloat16/B:1/L:9/D:1/N:1/kept_every:8/segments:1")}}};
  const std::string page = page_of(document, "gpu-made-up");
  CAPTURE(page);
  CHECK(page.starts_with("# Scans on Made-up 1\n"));
  CHECK(
      page.find("7 multiprocessors, compute capability 1.2, CUDA 3.4. Measured in this run: copy 200 GB/s") !=
      std::string::npos);
  CHECK(page.find("multiply-adds 40 G/s (double: 20)") != std::string::npos);
  CHECK(page.find("1 of 6 variants have no figures") != std::string::npos);
  CHECK(has_line(page,
                 "| fused | forward | bfloat16 | 1 | 1000 | 100 | 10 | nothing | 4 | 1.00 | 0.100 | 100.0 | "
                 "0.250 | 0.750 | 0.500 | 0.750 |"));
  CHECK(has_line(page, "| fused | backward | bfloat16 | 1 | 9 | 1 | 1 | 8 | 1 | refused | | | | | | |"));
  // One table: what is made of library scans stands beside the fused one on the same shape.
  CHECK(has_line(page,
                 "| cub::DeviceScan | forward | bfloat16 | 1 | 1000 | 100 | 10 | | | 4.00 | 0.025 | 100.0 | "
                 "0.500 | | 0.125 | 0.500 |"));
  const std::string head = "| variant | direction |";
  CHECK(page.find(head) != std::string::npos);
  CHECK(page.find(head) == page.rfind(head));
  CHECK(page.find("(L, columns) for fast one;") != std::string::npos);
  CHECK(has_line(page, "| 1 | 64 | 16 | 512 | 3.00 | **1.50** |"));
  CHECK(has_line(page, "| 1 | 64 | 16 | 512 | fast one | 1.50 | | 100.0 | 200.0 | 0.500 | 0.062 |"));
  CHECK(has_line(page, "![forward: 64 channels of 16 states, over the length](gpu_length_64_forward.png)"));
  CHECK(page.find("gpu_channels") == std::string::npos);
}

TEST_CASE("scan_report: what is not a whole results file is named") {
  const test::Folder folder;
  const std::string file = (folder / "cut.json").string(), into = folder.path().string();
  check_fails("scan_report", {file, into}, {"cut.json", "cannot be read"});
  std::ofstream(file) << R"({"context": {}, "benchmarks": [)";
  check_fails("scan_report", {file, into}, {"cut.json", "expected a whole file"});
  std::ofstream(file) << R"({"context": {}, "benchmarks": []})";
  check_fails("scan_report", {file, into}, {"cut.json", "holds no benchmarks"});
}
