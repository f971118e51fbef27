#pragma once

#include "../error.hpp"
#include "alignment.hpp"
#include "bfloat16.hpp"
#include "detail/bounded_cache.hpp"
#include "device.hpp"
#include "extents.hpp"
#include "matmul_backend.hpp"
#include "matrix_view.hpp"
#include "workspace.hpp"
#include "write.hpp"

#include <dlfcn.h>

#include <dnnl.hpp>

#include <algorithm>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

// oneDNN 2 (2.6 or later) as the backend of products. No part of <sdlora/sdlora.hpp>: a program that wants it
// includes this header in one source, links sdlora::onednn, and calls use_onednn() at the beginning of main.

#if DNNL_VERSION_MAJOR != 2
#error "sdlora: expected version 2 of oneDNN (2.6 or later), whose interface this header is written for"
#endif
#if DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_OMP && DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_SEQ
#error \
    "sdlora: expected a oneDNN that runs on OpenMP or on one thread; this one would start threads beside sdlora's"
#endif

namespace sdlora {

namespace detail {

/// Keeps oneDNN, whose bits depend on its number of threads, to the calling thread. OpenMP's functions are
/// those of whichever library oneDNN brought into the program; naming them would link a second one.
class OneDnnThread {
 public:
  OneDnnThread() : before_(functions().get == nullptr ? 1 : functions().get()) {
    if (before_ != 1) functions().set(1);
  }
  ~OneDnnThread() {
    if (before_ != 1) functions().set(before_);
  }
  OneDnnThread(const OneDnnThread&) = delete;
  OneDnnThread& operator=(const OneDnnThread&) = delete;

  /// Throws Error where oneDNN has threads that cannot be kept from it.
  static void check() {
    if (DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP &&
        (functions().get == nullptr || functions().set == nullptr)) {
      throw Error(
          "use_onednn: expected omp_set_num_threads among the functions of the program's shared libraries, "
          "because this oneDNN runs on OpenMP, found none; link oneDNN and OpenMP as shared libraries");
    }
  }

 private:
  struct Functions {
    int (*get)() = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
    void (*set)(int) = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  };
  static const Functions& functions() {
    static const Functions functions;
    return functions;
  }

  int before_;
};

/// Matrix products as oneDNN's primitives, which take longer to make than to run: they are kept by shape.
/// Rows of out are filled up to one of few numbers, so that batches of many lengths share primitives.
template <class T>
class OneDnnProducts {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, BFloat16>);
  using Desc = dnnl::memory::desc;
  using Dim = dnnl::memory::dim;

 public:
  /// So many are kept; each takes some hundred kilobytes.
  static constexpr std::size_t most_primitives = 512;

  class Packed : public PackedOperand {
   public:
    Packed(const Desc& layout, std::size_t made_for)
        : desc(layout), rows(made_for), memory(std::max<std::size_t>(1, layout.get_size())) {}
    std::size_t bytes() const override { return desc.get_size(); }
    Desc desc;
    std::size_t rows;
    Storage<std::byte, Cpu> memory;
  };

  static OneDnnProducts& instance() {
    static auto& products = *new OneDnnProducts;  // never ends: a thread may multiply while the program does
    return products;
  }

  bool multiply(MatrixView<float> out, const MatmulOperand<T>& a, const MatmulOperand<T>& b, Write write,
                float scale) {
    const auto* packed = static_cast<const Packed*>(b.packed);
    if (a.transposed || !dense(a.values) || !dense(out) || (packed == nullptr && !dense(b.values)))
      return false;
    const OneDnnThread one;
    Workspace& workspace = thread_workspace();
    const Workspace::Scope scope(workspace);
    const std::size_t rows = filled(out.rows);
    MatrixView<float> to = out;
    MatrixView<const T> left = a.values;
    if (rows != out.rows) {
      const MatrixView<T> copy = workspace.matrix<T>(rows, left.cols);
      for (std::size_t i = 0; i < rows; ++i) {
        if (i < left.rows) {
          std::copy_n(left.row(i), left.cols, copy.row(i));
        } else {
          std::fill_n(copy.row(i), left.cols, T(0.0F));
        }
      }
      left = copy;
      to = workspace.matrix<float>(rows, out.cols);
      if (write == Write::Add) {
        for (std::size_t i = 0; i < rows; ++i) {
          if (i < out.rows) {
            std::copy_n(out.row(i), out.cols, to.row(i));
          } else {
            std::fill_n(to.row(i), out.cols, 0.0F);
          }
        }
      }
    }
    Key key;
    key.m = rows;
    key.n = out.cols;
    key.k = left.cols;
    key.a_stride = stride_of(left);
    key.out_stride = stride_of(to);
    key.b_stride = packed != nullptr ? 0 : stride_of(b.values);
    key.transposed = packed == nullptr && b.transposed;
    key.packed_for = packed != nullptr ? packed->rows : 0;
    key.add = write == Write::Add;
    key.scale = std::bit_cast<std::uint32_t>(scale);
    const std::optional<Made> made = find(key, packed);
    if (!made) return false;
    run(*made, left, packed != nullptr ? static_cast<const void*>(packed->memory.data()) : b.values.data, to,
        workspace);
    if (rows != out.rows) {
      for (std::size_t i = 0; i < out.rows; ++i) std::copy_n(to.row(i), out.cols, out.row(i));
    }
    return true;
  }

  std::unique_ptr<PackedOperand> pack(const MatmulOperand<T>& b, std::size_t rows) {
    if (!dense(b.values)) return nullptr;
    const OneDnnThread one;
    Key key;
    key.m = filled(rows);
    key.n = b.transposed ? b.values.rows : b.values.cols;
    key.k = b.transposed ? b.values.cols : b.values.rows;
    key.a_stride = key.k;
    key.out_stride = key.n;
    key.b_stride = stride_of(b.values);
    key.transposed = b.transposed;
    try {
      const Desc from = right(key);
      const Desc any({dim(key.k), dim(key.n)}, type, dnnl::memory::format_tag::any);
      const auto description = describe(key, any);
      if (!description) return nullptr;
      auto packed = std::make_unique<Packed>(description->weights_desc(), key.m);
      // oneDNN's memory may always be written.
      dnnl::memory source(from, engine_, const_cast<T*>(b.values.data));
      dnnl::memory target(packed->desc, engine_, packed->memory.data());
      dnnl::stream stream(engine_);
      dnnl::reorder(source, target).execute(stream, source, target);
      stream.wait();
      return packed;
    } catch (const dnnl::error& error) {
      throw refused("packing a weight", error);
    }
  }

  std::size_t primitives() const {
    const std::lock_guard lock(mutex_);
    return made_.size();
  }

 private:
  static constexpr auto type =
      std::is_same_v<T, float> ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;

  struct Key {
    std::size_t m = 0, n = 0, k = 0;
    std::size_t a_stride = 0, b_stride = 0, out_stride = 0;
    std::size_t packed_for = 0;
    std::uint32_t scale = std::bit_cast<std::uint32_t>(1.0F);
    bool transposed = false, add = false;
    auto operator<=>(const Key&) const = default;
  };
  struct Made {
    dnnl::matmul primitive;
    Desc left, right, out, scratch;
  };

  static Dim dim(std::size_t extent) { return static_cast<Dim>(extent); }
  template <class U>
  static bool dense(const MatrixView<U>& x) {
    return x.rows <= 1 || x.stride >= x.cols;
  }
  template <class U>
  static std::size_t stride_of(const MatrixView<U>& x) {
    return x.rows <= 1 ? x.cols : x.stride;
  }

  /// Powers of two, then multiples of 32.
  static std::size_t filled(std::size_t rows) {
    std::size_t power = 1;
    while (power < rows && power < 32) power *= 2;
    return rows <= power ? power : round_up(rows, 32);
  }

  static Error refused(const char* what, const dnnl::error& error) {
    return Error(std::string("oneDNN: ") + what + " failed: " + error.what() + " (status " +
                 std::to_string(static_cast<int>(error.status)) +
                 "); without use_onednn() products are Eigen's");
  }

  static Desc right(const Key& key) {
    const Dim apart = dim(key.b_stride);
    return {{dim(key.k), dim(key.n)},
            type,
            key.transposed ? dnnl::memory::dims{1, apart} : dnnl::memory::dims{apart, 1}};
  }

  /// Nothing where oneDNN has no kernel of its own for it.
  std::optional<dnnl::matmul::primitive_desc> describe(const Key& key, const Desc& weights) const {
    const Desc left({dim(key.m), dim(key.k)}, type, {dim(key.a_stride), 1});
    const Desc out({dim(key.m), dim(key.n)}, dnnl::memory::data_type::f32, {dim(key.out_stride), 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (const float scale = std::bit_cast<float>(key.scale); scale != 1.0F)
      attributes.set_output_scales(0, {scale});
    if (key.add) {
      dnnl::post_ops sum;
      sum.append_sum(1.0F);
      attributes.set_post_ops(sum);
    }
    try {
      dnnl::matmul::primitive_desc description({left, weights, out}, attributes, engine_);
      if (std::string(description.impl_info_str()).starts_with("ref")) return std::nullopt;
      return description;
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_unimplemented) return std::nullopt;
      throw;
    }
  }

  std::optional<Made> find(const Key& key, const Packed* packed) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto* made = made_.find(key); made != nullptr) return *made;
    }
    // Outside of the lock: others need not wait for what this makes.
    std::optional<Made> made;
    try {
      if (const auto description = describe(key, packed != nullptr ? packed->desc : right(key))) {
        made.emplace(Made{dnnl::matmul(*description), description->src_desc(), description->weights_desc(),
                          description->dst_desc(), description->scratchpad_desc()});
      }
    } catch (const dnnl::error& error) {
      throw refused("making a matrix product", error);
    }
    const std::lock_guard lock(mutex_);
    return made_.insert(key, std::move(made));
  }

  void run(const Made& made, MatrixView<const T> left, const void* weights, MatrixView<float> to,
           Workspace& workspace) const {
    try {
      // Operands are read only, whatever oneDNN's types say.
      const dnnl::memory a(made.left, engine_, const_cast<T*>(left.data));
      const dnnl::memory b(made.right, engine_, const_cast<void*>(weights));
      const dnnl::memory c(made.out, engine_, to.data);
      const std::size_t bytes = made.scratch.get_size();
      const dnnl::memory scratch(made.scratch, engine_,
                                 bytes == 0 ? nullptr : workspace.take<std::byte>(bytes).data());
      dnnl::stream stream(engine_);
      made.primitive.execute(
          stream,
          {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}, {DNNL_ARG_SCRATCHPAD, scratch}});
      stream.wait();
    } catch (const dnnl::error& error) {
      throw refused("a matrix product", error);
    }
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  mutable std::mutex mutex_;
  BoundedCache<Key, std::optional<Made>> made_{most_primitives};  // nothing where oneDNN has no kernel
};

}  // namespace detail

/// oneDNN's products: float by its `sgemm`, and bfloat16 by its primitives where the processor has
/// instructions for that (AVX-512 BF16, AMX), which read subnormal numbers as zero. Packs weights of
/// bfloat16.
class OneDnn : public MatmulBackend {
 public:
  /// Throws Error where oneDNN's threads cannot be kept from products.
  static const OneDnn& instance() {
    static const auto& backend = *new OneDnn;
    return backend;
  }

  const char* name() const override { return "oneDNN"; }

  bool multiply(MatrixView<float> out, MatmulOperand<float> a, MatmulOperand<float> b, Write write,
                float scale) const override {
    const auto stride = [](const auto& x) {
      return static_cast<dnnl_dim_t>(x.rows <= 1 ? x.cols : x.stride);
    };
    const auto dense = [](const auto& x) { return x.rows <= 1 || x.stride >= x.cols; };
    if (!dense(a.values) || !dense(b.values) || !dense(out)) return false;
    const detail::OneDnnThread one;
    const std::size_t inner = a.transposed ? a.values.rows : a.values.cols;
    const dnnl_status_t status =
        dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', static_cast<dnnl_dim_t>(out.rows),
                   static_cast<dnnl_dim_t>(out.cols), static_cast<dnnl_dim_t>(inner), scale, a.values.data,
                   stride(a.values), b.values.data, stride(b.values), write == Write::Add ? 1.0F : 0.0F,
                   out.data, stride(out));
    if (status != dnnl_success) {
      throw Error("oneDNN: sgemm failed with status " + std::to_string(static_cast<int>(status)) +
                  "; without use_onednn() products are Eigen's");
    }
    return true;
  }

  bool multiplies_bfloat16() const override { return bfloat16_; }

  bool multiply(MatrixView<float> out, MatmulOperand<BFloat16> a, MatmulOperand<BFloat16> b, Write write,
                float scale) const override {
    return bfloat16_ && detail::OneDnnProducts<BFloat16>::instance().multiply(out, a, b, write, scale);
  }

  // sgemm takes no other layout.
  std::unique_ptr<PackedOperand> pack(MatmulOperand<float>, std::size_t) const override { return nullptr; }
  std::unique_ptr<PackedOperand> pack(MatmulOperand<BFloat16> b, std::size_t rows) const override {
    return bfloat16_ ? detail::OneDnnProducts<BFloat16>::instance().pack(b, rows) : nullptr;
  }

 private:
  OneDnn() { detail::OneDnnThread::check(); }

  static bool has_bfloat16() {
    const auto has = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    const auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
    return (has & wanted) == wanted;
  }

  bool bfloat16_ = has_bfloat16();
};

/// Gives all later products of the host to oneDNN; the first thing in `main`. Throws Error where this oneDNN
/// cannot be kept to one thread a product.
inline void use_onednn() { use_matmul_backend(&OneDnn::instance()); }

}  // namespace sdlora
