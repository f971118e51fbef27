#include "support.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// The programs that measure scans: that they run, not how fast.
using namespace programs;

namespace {

/// What a shell command prints; it must succeed.
std::string printed_by(const std::string& command) {
  CAPTURE(command);
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
  REQUIRE(::pclose(pipe) == 0);
  return text;
}

/// The shell command that has `scan_variants --serve` answer a line, with values in `folder`.
std::string serving(const std::string& line, const std::string& folder) {
  return "echo " + line + " | '" + path_of("scan_variants") + "' --serve '" + folder + "'";
}

/// The seconds that it answers with.
double served(const std::string& line, const std::string& folder = ".") {
  const std::string answer = printed_by(serving(line, folder));
  CAPTURE(answer);
  CHECK(answer.find('\n') == answer.size() - 1);
  return std::strtod(answer.c_str(), nullptr);
}

}  // namespace

TEST_CASE("scan_variants: from measurements to a page and plots") {
  const test::Folder folder;
  const std::string results = (folder / "scan_variants.json").string(), into = folder.path().string();
  const Result ran =
      run("scan_variants",
          {"--benchmark_filter=columns/(simd_channels|fused_selective)/forward/"
           "float/B:1/L:512/D:(16|64)/N:16/threads:1",
           "--benchmark_min_time=0.001", "--benchmark_out=" + results, "--benchmark_out_format=json"});
  CAPTURE(ran.err);
  REQUIRE(ran.status == 0);
  std::map<std::string, int> turns;
  const auto document = nlohmann::json::parse(std::ifstream(results));
  for (const auto& entry : document.at("benchmarks")) {
    if (entry.at("run_type") != "iteration") continue;
    const auto name = entry.at("name").get<std::string>();
    CAPTURE(name);
    ++turns[name];
    for (const char* counter :
         {"best_ns_per_element", "GB_per_s", "copy_GB_per_s", "bare_ns_per_element", "of_copy", "of_bare"}) {
      CAPTURE(counter);
      REQUIRE(entry.contains(counter));
      CHECK(entry.at(counter).get<double>() > 0);
    }
  }
  // Two variants on two shapes, each in three turns.
  REQUIRE(turns.size() == 4);
  for (const auto& [name, count] : turns) {
    CAPTURE(name);
    CHECK(count == 3);
    CHECK(ran.err.find("] " + name + ": ") != std::string::npos);
  }

  run_well("scan_report", {results, into});
  const std::string page = test::content(folder / "scan_variants.md");
  CAPTURE(page);
  CHECK(page.find("\n| 1 | 64 | 16 | 512 | 1 | **") != std::string::npos);
  CHECK(page.find("\n| 1 | 16 | 16 | 512 | 1 | simd_channels | ") != std::string::npos);
  CHECK(page.find("(scan_channels_forward.png)") != std::string::npos);
  if (std::system("command -v gnuplot >/dev/null") == 0) {
    printed_by("gnuplot '" + into + "/scan_channels_forward.gp'");
    CHECK(std::filesystem::file_size(folder / "scan_channels_forward.png") > 1000);
  }
}

TEST_CASE("scan_variants: what is asked for outdoes the turns, and what is unknown is named") {
  const test::Folder folder;
  const std::string results = (folder / "one.json").string();
  run_well("scan_variants",
           {"--benchmark_filter=columns/simd_channels/forward/float/B:1/L:128/", "--benchmark_repetitions=1",
            "--benchmark_min_time=0.001", "--benchmark_out=" + results, "--benchmark_out_format=json"});
  CHECK(nlohmann::json::parse(std::ifstream(results)).at("benchmarks").size() == 1);
  const Result unknown = run("scan_variants", {"--selection=some"});
  CHECK(unknown.status == 1);
  CHECK(unknown.err == "--selection: expected quick or all, found 'some'\n");
  CHECK(run("scan_variants", {"--no_such_option"}).status == 1);
}

TEST_CASE("scan_variants: a shape of one's own, ranked") {
  const Result ran = run("scan_variants", {"--shape", "2,9,3,5", "--threads=2", "--benchmark_min_time=0.001",
                                           "--benchmark_repetitions=1"});
  CAPTURE(ran.err);
  CAPTURE(ran.out);
  REQUIRE(ran.status == 0);
  CHECK(ran.out.starts_with("2 sequences, 9 steps, 3 channels, 5 states of each, float, 2 threads\n"));
  for (const std::string line : {"\nforward  ", "\nbackward  ", "\nsimd_channels  ", "\nfused_selective  ",
                                 "\nfastest forward:  ", "\nfastest backward: "}) {
    CAPTURE(line);
    CHECK(ran.out.find(line) != std::string::npos);
  }
  // The fastest of all but the fused scan comes first.
  CHECK(ran.out.find(" 1.00 ") != std::string::npos);

  const auto refusal = [](const Arguments& arguments) {
    const Result refused = run("scan_variants", arguments);
    CHECK(refused.status == 1);
    CHECK(refused.out.empty());
    return refused.err;
  };
  for (const std::string shape :
       {"1,2,3", "1,2,3,x", "1,0,3,4", "1,2,3,4,5", "1;2;3;4", "-1,2,3,4", "1,2,,4"}) {
    CAPTURE(shape);
    const std::string said = refusal({"--shape=" + shape});
    CHECK(said.starts_with("--shape: expected B,L,D,N, each at least 1"));
    CHECK(said.ends_with("found '" + shape + "'\n"));
  }
  CHECK(refusal({"--shape=100000,100000,100000,100000"})
            .starts_with("--shape: expected at most 2^30 elements"));
  CHECK(refusal({"--shape=1,2,3,4", "--threads=0"}) ==
        "--threads: expected a number from 1 to 4096, found '0'\n");
  CHECK(refusal({"--threads=2"}) == "--threads: goes with --shape=B,L,D,N\n");
}

TEST_CASE("scan_variants: what is served to the comparison with others") {
  for (const std::string run :
       {"forward", "backward", "selective-forward", "selective-backward", "selective-ceiling"}) {
    CAPTURE(run);
    const double seconds = served(run + " 1 64 32 16 1");
    CHECK(seconds > 0);
    CHECK(seconds < 1);
  }
}

TEST_CASE("scan_variants: what is scanned for the comparison with others, and what it lacks") {
  const test::Folder folder;
  const std::string into = folder.path().string();
  const auto give = [&](const std::string& name, const std::vector<float>& values) {
    std::ofstream(folder / (name + ".f32"), std::ios::binary)
        .write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(float)));
  };
  const auto found = [&](const std::string& name) {
    const std::string bytes = test::content(folder / (name + ".f32"));
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return values;
  };
  // Two sequences of two steps.
  give("a", {0.5F, 0.5F, 4, 0.25F});
  give("b", {1, 1, 2, 3});
  give("d_h", {1, 1, 1, 2});
  CHECK(served("values 2 2 1 1 1", into) > 0);
  CHECK(found("h") == std::vector<float>{1, 1.5F, 2, 3.5F});
  CHECK(found("d_b") == std::vector<float>{1.5F, 1, 1.5F, 2});
  CHECK(found("d_a") == std::vector<float>{0, 1, 0, 4});

  const auto refused = [&](const std::string& line) {
    const std::string said = (folder / "said").string();
    CHECK(std::system((serving(line, into) + " 2>'" + said + "'").c_str()) != 0);
    return test::content(said);
  };
  CHECK(refused("values 2 3 1 1 1") == "scan_variants --serve: " + into + "/a.f32: expected 6 × 1 floats\n");
  CHECK(refused("values 1 2 1 1 1") == "scan_variants --serve: " + into + "/a.f32: expected 2 × 1 floats\n");
  CHECK(refused("selective-values 1 2 1 16 1").find("/u.f32: expected 2 × 1 floats") != std::string::npos);
  CHECK(refused("sideways 1 2 1 1 1") == "scan_variants --serve: unknown request 'sideways'\n");
}

TEST_CASE("custom_scan: a policy and an operator of one's own, checked and measured") {
  const Result ran = run("custom_scan", {"--benchmark_filter=/B:1/L:(128|512)/D:1/N:(1|16)/threads:1",
                                         "--benchmark_min_time=0.001", "--benchmark_repetitions=1"});
  CAPTURE(ran.err);
  CHECK(ran.status == 0);
  CHECK(ran.out.find("BrentKung agrees with Sequential") != std::string::npos);
  for (const std::string variant :
       {"columns/brent_kung/forward/float/B:1/L:128/", "elements/sequential/best_path/any/B:1/L:512/"}) {
    CAPTURE(variant);
    CHECK(ran.err.find("] " + variant) != std::string::npos);
  }
}
