#pragma once

#include "device.hpp"
#include "extents.hpp"
#include "matrix_view.hpp"
#include "tensor_view.hpp"

#include <cstddef>
#include <type_traits>
#include <utility>

namespace sdlora {

/// Tag: leave the values of a new tensor as they are found in memory.
struct Uninitialized {};
/// The tag's value: a tensor's last argument, after its extents.
inline constexpr Uninitialized uninitialized{};

/// How an expression meets what is already in its destination.
enum class AssignMode { Set, Add, Subtract, Multiply, Divide };

namespace detail {

/// A node of an expression (expression.hpp), known by its tag so that this header needs no node.
template <class E>
concept ExpressionNode = requires { typename std::remove_cvref_t<E>::expression_tag; };

}  // namespace detail

/// An owning, row-major tensor, aligned to `alignment` bytes, on one device. Zero-initialised unless
/// constructed with `uninitialized`. With dynamic extents a default-constructed or moved-from tensor is
/// empty. With static ones the shape is always the whole; one that was moved from has no memory (`data()` is
/// null, `capacity()` is 0) until it is assigned, filled, zeroed or resized, and must not be read before.
///
/// Assigning an expression takes over the shape of the expression where extents are dynamic.
/// Members that hand out memory are deleted for temporaries: the result would dangle.
template <class T, class ExtentsType, class Device = Cpu>
class Tensor {
  static_assert(!std::is_const_v<T>,
                "sdlora::Tensor: owns its values; use `const Tensor` or a view of const");

 public:
  using value_type = T;
  using extents_type = ExtentsType;
  using device_type = Device;
  using storage_type = Storage<T, Device>;
  using view_type = TensorView<T, ExtentsType, Device>;
  using const_view_type = TensorView<const T, ExtentsType, Device>;

  /// Zeros of the static extents; empty where an extent is dynamic.
  Tensor() : Tensor(ExtentsType{}) {}
  explicit Tensor(Uninitialized tag) : Tensor(ExtentsType{}, tag) {}

  explicit Tensor(const ExtentsType& extents) : Tensor(extents, uninitialized) {
    storage_type::zero(storage_.data(), storage_.capacity());
  }
  Tensor(const ExtentsType& extents, Uninitialized)
      : storage_(detail::checked_size(extents, sizeof(T))), extents_(extents) {}

  /// Zeros; all extents in order, or only the dynamic ones. Throws ShapeError where one contradicts
  /// the type.
  template <class... Sizes>
    requires(sizeof...(Sizes) > 0 && (std::is_integral_v<Sizes> && ...) &&
             std::is_constructible_v<ExtentsType, Sizes...>)
  explicit Tensor(Sizes... sizes) : Tensor(ExtentsType(sizes...)) {}

  Tensor(const Tensor& other) : Tensor(other.const_view()) {}
  Tensor(Tensor&& other) noexcept : storage_(std::move(other.storage_)), extents_(other.extents_) {
    other.extents_ = ExtentsType{};
  }

  /// A copy of the values of a view.
  template <class U, class OtherExtents>
    requires std::is_same_v<std::remove_const_t<U>, T>
  explicit Tensor(const TensorView<U, OtherExtents, Device>& view)
      : storage_(view.data() == nullptr ? 0 : view.size()), extents_(view.extents()) {
    storage_type::copy(storage_.data(), view.data(), storage_.capacity());
  }

  /// The value of an expression.
  template <detail::ExpressionNode Expression>
  Tensor(const Expression& expression)  // NOLINT(google-explicit-constructor)
      : storage_(), extents_(shape_of(expression)) {
    storage_ = storage_type(detail::checked_size(extents_, sizeof(T)));
    detail::Evaluator<Device>::template assign<AssignMode::Set>(view_of(storage_, extents_), expression);
  }

  Tensor& operator=(const Tensor& other) {
    if (this != &other) assign_copy(other.const_view());
    return *this;
  }
  Tensor& operator=(Tensor&& other) noexcept {
    if (this != &other) {
      storage_ = std::move(other.storage_);
      extents_ = std::exchange(other.extents_, ExtentsType{});
    }
    return *this;
  }

  /// Takes over the shape and the values of a view; allocates only where they do not fit.
  template <class U, class OtherExtents>
    requires std::is_same_v<std::remove_const_t<U>, T>
  Tensor& operator=(const TensorView<U, OtherExtents, Device>& view) {
    assign_copy(view);
    return *this;
  }

  /// Takes over the shape and the value of an expression; allocates only where they do not fit.
  /// This tensor may appear in the expression in any role.
  template <detail::ExpressionNode Expression>
  Tensor& operator=(const Expression& expression) {
    const ExtentsType extents = shape_of(expression);
    const std::size_t count = detail::checked_size(extents, sizeof(T));
    if (count > storage_.capacity()) {
      storage_type bigger(count);
      detail::Evaluator<Device>::template assign<AssignMode::Set>(view_of(bigger, extents), expression);
      storage_ = std::move(bigger);
    } else {
      detail::Evaluator<Device>::template assign<AssignMode::Set>(view_of(storage_, extents), expression);
    }
    extents_ = extents;
    return *this;
  }

  static constexpr std::size_t rank() { return ExtentsType::rank(); }
  const ExtentsType& extents() const { return extents_; }
  std::size_t extent(std::size_t i) const { return extents_.extent(i); }
  /// The number of values of the shape.
  std::size_t size() const { return extents_.size(); }
  /// How many values fit before `resize` allocates.
  std::size_t capacity() const { return storage_.capacity(); }

  T* data() & { return storage_.data(); }
  const T* data() const& { return storage_.data(); }
  void data() const&& = delete;

  view_type view() & { return {storage_.data(), extents_}; }
  const_view_type view() const& { return const_view(); }
  const_view_type const_view() const& { return {storage_.data(), extents_}; }
  void view() const&& = delete;
  void const_view() const&& = delete;

  /// All extents but the last joined to rows; a vector is one row.
  MatrixView<T, Device> matrix() & { return view().matrix(); }
  MatrixView<const T, Device> matrix() const& { return view().matrix(); }
  void matrix() const&& = delete;

  /// Views also of a shape with more dynamic extents.
  template <class Other>
    requires std::is_convertible_v<const ExtentsType&, Other>
  operator TensorView<T, Other, Device>() & {  // NOLINT(google-explicit-constructor)
    return view();
  }
  template <class Other>
    requires std::is_convertible_v<const ExtentsType&, Other>
  operator TensorView<const T, Other, Device>() const& {  // NOLINT(google-explicit-constructor)
    return view();
  }
  template <class Other>
  operator TensorView<const T, Other, Device>() const&& = delete;

  /// One element; not checked. Host memory only.
  template <class... Indices>
  T& operator()(Indices... indices) & {
    assert_host_memory();
    return view()(indices...);
  }
  template <class... Indices>
  const T& operator()(Indices... indices) const& {
    assert_host_memory();
    return const_view()(indices...);
  }
  template <class... Indices>
  T operator()(Indices... indices) const&& {
    assert_host_memory();
    return const_view_type(storage_.data(), extents_)(indices...);
  }

  /// Sets every value. Host memory only.
  void fill(T value) {
    assert_host_memory();
    resize(extents_);
    T* p = storage_.data();
    for (std::size_t i = 0, count = size(); i < count; ++i) p[i] = value;
  }
  void set_zero() {
    resize(extents_);
    storage_type::zero(storage_.data(), size());
  }

  /// Another shape. Memory is allocated only where the new size exceeds `capacity()`; the values are
  /// unspecified afterwards.
  void resize(const ExtentsType& extents) {
    const std::size_t count = detail::checked_size(extents, sizeof(T));
    if (count > storage_.capacity()) storage_ = storage_type(count);
    extents_ = extents;
  }
  template <class... Sizes>
    requires(sizeof...(Sizes) > 0 && (std::is_integral_v<Sizes> && ...) &&
             std::is_constructible_v<ExtentsType, Sizes...>)
  void resize(Sizes... sizes) {
    resize(ExtentsType(sizes...));
  }

  /// The same values in another shape of the same size; else throws ShapeError. With other extents
  /// than the type's, the result is a view.
  void reshape(const ExtentsType& extents) { extents_ = view().reshape(extents).extents(); }
  template <std::size_t... Values>
    requires(!std::is_same_v<Extents<Values...>, ExtentsType>)
  TensorView<T, Extents<Values...>, Device> reshape(const Extents<Values...>& extents) & {
    return view().reshape(extents);
  }
  template <std::size_t... Values>
    requires(!std::is_same_v<Extents<Values...>, ExtentsType>)
  TensorView<const T, Extents<Values...>, Device> reshape(const Extents<Values...>& extents) const& {
    return view().reshape(extents);
  }
  template <std::size_t... Values>
    requires(!std::is_same_v<Extents<Values...>, ExtentsType>)
  void reshape(const Extents<Values...>& extents) const&& = delete;

 private:
  static constexpr void assert_host_memory() {
    static_assert(
        std::is_same_v<Device, Cpu>,
        "sdlora::Tensor: elements are read and written in host memory; copy the tensor to the Cpu first");
  }

  static view_type view_of(const storage_type& storage, const ExtentsType& extents) {
    return {storage.data(), extents};
  }

  template <class Expression>
  static ExtentsType shape_of(const Expression& expression) {
    return detail::Evaluator<Device>::template shape<ExtentsType>(expression);
  }

  template <class View>
  void assign_copy(const View& view) {
    const ExtentsType extents(view.extents());
    const std::size_t count = view.data() == nullptr ? 0 : extents.size();
    if (count > storage_.capacity()) {
      storage_type bigger(count);
      storage_type::copy(bigger.data(), view.data(), count);
      storage_ = std::move(bigger);
    } else {
      storage_type::copy(storage_.data(), view.data(), count);
    }
    extents_ = extents;
  }

  storage_type storage_;
  [[no_unique_address]] ExtentsType extents_;
};

}  // namespace sdlora
