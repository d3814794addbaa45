// Bytes that many may read and nobody changes: the payload of a message.
//
// A Buffer is a view with a share in its owner, so copying and slicing move no
// bytes, and a tensor can be sent without being copied first. Whoever wraps
// memory in a Buffer promises not to write to it while a Buffer of it lives. A
// MutableBuffer is memory on its way to becoming one: aligned so that tensors
// can alias it, and not cleared, because it is about to be filled.

#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace ptrain::wire {

inline constexpr std::size_t kBufferAlignment = 64;

class Buffer {
 public:
  Buffer() = default;
  // Reads `bytes` in place; `owner` keeps them alive.
  Buffer(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}

  static Buffer copy_of(std::span<const std::byte> bytes);

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::shared_ptr<const void>& owner() const { return owner_; }

  // A part of it that shares its owner. Precondition: offset + size <= this->size().
  Buffer slice(std::size_t offset, std::size_t size) const {
    return Buffer(owner_, bytes_.subspan(offset, size));
  }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

class MutableBuffer {
 public:
  MutableBuffer() = default;
  explicit MutableBuffer(std::size_t size);

  std::span<std::byte> bytes() { return {memory_.get(), size_}; }
  std::byte* data() { return memory_.get(); }
  std::size_t size() const { return size_; }

  // Hands the memory over for reading.
  Buffer freeze() &&;

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Free> memory_;
  std::size_t size_ = 0;
};

}  // namespace ptrain::wire
