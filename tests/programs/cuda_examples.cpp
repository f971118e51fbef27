// The examples that nvcc compiles: run on a device, or where there is none, saying so.
#include "support.hpp"

#include <doctest/doctest.h>

#include <string>

TEST_CASE("06_gpu: both devices learn alike, or no device") {
  const std::string out = programs::run_well("06_gpu", {});
  CHECK((out == "no device\n" || out.starts_with("loss on the CPU ")));
}

TEST_CASE("custom_cuda_scan: a policy of one's own, checked and measured, or no device") {
  const programs::Result ran = programs::run("custom_cuda_scan", {"--benchmark_min_time=0.001"});
  CAPTURE(ran.err);
  if (ran.status == 77) {
    CHECK(ran.out == "skipped: no device\n");
    return;
  }
  CHECK(ran.status == 0);
  CHECK(ran.out.find("RakingScan agrees with Sequential") != std::string::npos);
  CHECK(ran.err.find("] columns/raking/backward/float/B:1/L:2048/") != std::string::npos);
}
