#include <sdlora/scan/cuda/block_scan.cuh>
#include <sdlora/scan/cuda/selective_scan.cuh>
#include <sdlora/scan/selective/materialized.hpp>
#include <sdlora/tensor/cuda/evaluate.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/model_device_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("a model on the GPU: logits, loss, gradients and merging under every preset") {
  if (skip_without_device(has_cuda_device())) return;
  check_presets_on<Cuda>();
}
TEST_CASE("a model on the GPU: twenty steps of training") {
  if (skip_without_device(has_cuda_device())) return;
  check_training_on<Cuda>();
}
TEST_CASE("a model on the GPU: losses and heads of one's own") {
  if (skip_without_device(has_cuda_device())) return;
  check_own_losses_on<Cuda>();
}
TEST_CASE("a model on the GPU: generation, candidates, choosing dimensions") {
  if (skip_without_device(has_cuda_device())) return;
  check_use_on<Cuda>();
}
TEST_CASE("a model on the GPU: its blocks scan by CUB's block scan") {
  if (skip_without_device(has_cuda_device())) return;
  check_model_on<Run<Cuda>::with_scan<Materialized<BlockScan<>>>, presets::SDLoRA<2, 3, 2>>("SDLoRA");
}
