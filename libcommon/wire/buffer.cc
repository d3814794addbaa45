#include "libcommon/wire/buffer.h"

#include <cstring>
#include <new>

namespace ptrain::wire {

MutableBuffer::MutableBuffer(std::size_t size)
    : memory_(size == 0 ? nullptr
                        : static_cast<std::byte*>(
                              ::operator new(size, std::align_val_t(kBufferAlignment)))),
      size_(size) {}

void MutableBuffer::Free::operator()(std::byte* memory) const {
  ::operator delete(memory, std::align_val_t(kBufferAlignment));
}

Buffer MutableBuffer::freeze() && {
  const std::span<const std::byte> bytes{memory_.get(), size_};
  size_ = 0;
  return Buffer(std::shared_ptr<const std::byte[]>(std::move(memory_)), bytes);
}

Buffer Buffer::copy_of(std::span<const std::byte> bytes) {
  MutableBuffer copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return std::move(copy).freeze();
}

}  // namespace ptrain::wire
