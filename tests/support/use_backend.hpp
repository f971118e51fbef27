#pragma once

#include <sdlora/tensor/matmul_backend.hpp>

namespace sdlora_test {

/// Gives a device's products to a backend as long as it lasts.
template <class Device = sdlora::Cpu>
class UseBackend {
 public:
  explicit UseBackend(const sdlora::MatmulBackendOn<Device>* backend)
      : before_(sdlora::matmul_backend<Device>()) {
    sdlora::use_matmul_backend<Device>(backend);
  }
  ~UseBackend() { sdlora::use_matmul_backend<Device>(before_); }
  UseBackend(const UseBackend&) = delete;
  UseBackend& operator=(const UseBackend&) = delete;

 private:
  const sdlora::MatmulBackendOn<Device>* before_;
};

/// Asks another backend, and counts its answers.
template <class Device>
class CountedBackend : public sdlora::MatmulBackendOn<Device> {
 public:
  explicit CountedBackend(const sdlora::MatmulBackendOn<Device>& backend) : backend_(backend) {}

  mutable int floats = 0, bfloat16s = 0, refused = 0;

  const char* name() const override { return backend_.name(); }
  bool multiplies_bfloat16() const override { return backend_.multiplies_bfloat16(); }
  bool multiply(sdlora::MatrixView<float, Device> out, sdlora::MatmulOperand<float, Device> a,
                sdlora::MatmulOperand<float, Device> b, sdlora::Write write, float scale) const override {
    return counted(backend_.multiply(out, a, b, write, scale), floats);
  }
  bool multiply(sdlora::MatrixView<float, Device> out, sdlora::MatmulOperand<sdlora::BFloat16, Device> a,
                sdlora::MatmulOperand<sdlora::BFloat16, Device> b, sdlora::Write write,
                float scale) const override {
    return counted(backend_.multiply(out, a, b, write, scale), bfloat16s);
  }

 private:
  bool counted(bool taken, int& count) const {
    ++(taken ? count : refused);
    return taken;
  }
  const sdlora::MatmulBackendOn<Device>& backend_;
};

}  // namespace sdlora_test
