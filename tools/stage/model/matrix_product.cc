#include "tools/stage/model/matrix_product.h"

#include "tools/stage/kernels/kernels.h"

#ifdef PTRAIN_HAVE_DNNL

#include <array>
#include <map>
#include <optional>
#include <unordered_map>

#include <oneapi/dnnl/dnnl.hpp>

#include "libcommon/os/memory_error.h"

namespace ptrain::stage {
namespace {

enum class Mode : std::int64_t { overwrite, add_matrix, accumulate };

// What a primitive was compiled for: the mode, and sizes, strides and dtype of a, b and c.
using Key = std::array<std::int64_t, 1 + 3 * 5>;

void describe(const at::Tensor& x, std::int64_t* at) {
  at[0] = x.size(0);
  at[1] = x.size(1);
  at[2] = x.stride(0);
  at[3] = x.stride(1);
  at[4] = static_cast<std::int64_t>(x.scalar_type());
}

dnnl::memory::desc descriptor(const at::Tensor& x) {
  const auto type = x.scalar_type() == at::kBFloat16 ? dnnl::memory::data_type::bf16
                                                     : dnnl::memory::data_type::f32;
  return {{x.size(0), x.size(1)}, type, dnnl::memory::dims{x.stride(0), x.stride(1)}};
}

struct Compiled {
  dnnl::matmul primitive;
  dnnl::memory a;
  dnnl::memory b;
  dnnl::memory c;
};

}  // namespace

struct MatrixProduct::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Key, Compiled> compiled;

  Compiled compile(Mode mode, const at::Tensor& a, const at::Tensor& b, const at::Tensor& c) const {
    dnnl::primitive_attr attributes;
    dnnl::post_ops after;
    if (mode == Mode::accumulate) after.append_sum(1.0F);
    if (mode == Mode::add_matrix) {
      after.append_binary(dnnl::algorithm::binary_add, descriptor(c));
    }
    attributes.set_post_ops(after);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc description(engine, descriptor(a), descriptor(b),
                                                   descriptor(c), attributes);
#else
    const dnnl::matmul::primitive_desc description(
        dnnl::matmul::desc(descriptor(a), descriptor(b), descriptor(c)), attributes, engine);
#endif
    const auto memory = [&](const at::Tensor& x) {
      return dnnl::memory(descriptor(x), engine, DNNL_MEMORY_NONE);
    };
    return {dnnl::matmul(description), memory(a), memory(b), memory(c)};
  }

  void run(Mode mode, const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
           at::Tensor& c) {
    Key key{static_cast<std::int64_t>(mode)};
    describe(a, key.data() + 1);
    describe(b, key.data() + 6);
    describe(c, key.data() + 11);
    auto found = compiled.find(key);
    if (found == compiled.end()) {
      try {
        found = compiled.emplace(key, compile(mode, a, b, c)).first;
      } catch (const dnnl::error& error) {
        if (error.status != dnnl_out_of_memory) throw;
        throw os::memory_error("a matrix product", std::nullopt, os::available_memory());
      }
    }
    Compiled& product = found->second;
    product.a.set_data_handle(a.data_ptr());
    product.b.set_data_handle(b.data_ptr());
    product.c.set_data_handle(c.data_ptr());
    std::unordered_map<int, dnnl::memory> arguments = {
        {DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.c}};
    if (mode == Mode::add_matrix) {
      arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                        dnnl::memory(descriptor(addend), engine, addend.data_ptr()));
    }
    product.primitive.execute(stream, arguments);
    stream.wait();
  }
};

void MatrixProduct::multiply(const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
                             at::Tensor c) {
  if (in_float32(a)) return multiply_in_float32(a, b, addend, c);
  state_->run(addend.defined() ? Mode::add_matrix : Mode::overwrite, a, b, addend, c);
}

void MatrixProduct::accumulate(const at::Tensor& a, const at::Tensor& b, at::Tensor c) {
  if (in_float32(a)) return multiply_in_float32(a, b, c, c);
  state_->run(Mode::accumulate, a, b, {}, c);
}

}  // namespace ptrain::stage

#else  // without oneDNN

namespace ptrain::stage {

struct MatrixProduct::State {};

void MatrixProduct::multiply(const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
                             at::Tensor c) {
  if (in_float32(a)) return multiply_in_float32(a, b, addend, c);
  if (a.scalar_type() != c.scalar_type()) {
    at::mm_out(c, a.to(c.scalar_type()), b.to(c.scalar_type()));
  } else if (addend.defined()) {
    at::addmm_out(c, addend, a, b);
  } else {
    at::mm_out(c, a, b);
  }
}

void MatrixProduct::accumulate(const at::Tensor& a, const at::Tensor& b, at::Tensor c) {
  if (in_float32(a)) return multiply_in_float32(a, b, c, c);
  c.addmm_(a.to(c.scalar_type()), b.to(c.scalar_type()));
}

}  // namespace ptrain::stage

#endif

namespace ptrain::stage {
namespace {

using kernels::Bf16;

kernels::Bf16Matrix bf16_matrix(const at::Tensor& x) {
  return {static_cast<const Bf16*>(x.data_ptr()), x.stride(0), x.stride(1)};
}

template <class T>
void run_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
                 const at::Tensor& c, float* workspace) {
  kernels::run(kernels::Product<T>{
      .a = bf16_matrix(a),
      .b = bf16_matrix(b),
      .addend = addend.defined() ? static_cast<const T*>(addend.data_ptr()) : nullptr,
      .c = static_cast<T*>(c.data_ptr()),
      .stride = c.stride(0),
      .rows = c.size(0),
      .columns = c.size(1),
      .depth = a.size(1),
      .workspace = workspace});
}

}  // namespace

MatrixProduct::MatrixProduct(Bfloat16Products bfloat16)
    : bfloat16_(bfloat16), state_(std::make_unique<State>()) {}

MatrixProduct::~MatrixProduct() = default;

std::int64_t MatrixProduct::scratch_bytes() const {
  if (bfloat16_ == Bfloat16Products::instructions) return 0;
  return kernels::product_workspace() * static_cast<std::int64_t>(sizeof(float));
}

bool MatrixProduct::in_float32(const at::Tensor& a) const {
  return a.scalar_type() == at::kBFloat16 && bfloat16_ == Bfloat16Products::float32;
}

void MatrixProduct::multiply_in_float32(const at::Tensor& a, const at::Tensor& b,
                                        const at::Tensor& addend, const at::Tensor& c) {
  const std::int64_t floats = kernels::product_workspace();
  if (!scratch_.defined() || scratch_.numel() < floats) scratch_ = at::empty({floats}, at::kFloat);
  auto* workspace = static_cast<float*>(scratch_.data_ptr());
  if (c.scalar_type() == at::kFloat) {
    run_product<float>(a, b, addend, c, workspace);
  } else {
    run_product<Bf16>(a, b, addend, c, workspace);
  }
}

}  // namespace ptrain::stage
