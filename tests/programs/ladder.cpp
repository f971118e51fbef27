// The ladder of examples: each keeps its promise, and says so by its exit status and a line.
#include "support.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

namespace {

/// The output of a rung that must succeed, checked for a line that has `part`.
void check_rung(const std::string& name, const std::string& part, const programs::Arguments& arguments = {}) {
  const std::string out = programs::run_well(name, arguments);
  CAPTURE(out);
  CAPTURE(part);
  CHECK(out.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("01_finetune: learns and saves its adapter") {
  const test::Folder folder;
  check_rung("01_finetune", "31584 of 1464480 parameters learned\nloss before ",
             {(folder / "adapter").string()});
  CHECK(programs::names_in(folder / "adapter") == std::vector<std::string>{"adapter.safetensors"});
}

TEST_CASE("02_placement: shows which layers learn") {
  check_rung("02_placement", "out_proj   4-7         30,720");
  check_rung("02_placement", "The range saves 30720 parameters.\n");
}

TEST_CASE("03_own_method: learns and merges") { check_rung("03_own_method", ", trained 0."); }

TEST_CASE("04_scan: policies agree") {
  check_rung("04_scan", "2 2 3 3 5 5\nSimdChannels and Chunked differ by at most ");
}

TEST_CASE("05_generate_streams: the texts of all prompts") {
  for (const std::string begins : {"In the beginning", "\nThe king", "\nA state-space model is"})
    check_rung("05_generate_streams", begins);
}

TEST_CASE("07_own_training_loop: finds the decays") {
  for (const std::string found : {"0.5 found as 0.5", "0.8 found as 0.8", "0.92 found as 0.9"})
    check_rung("07_own_training_loop", found);
}
