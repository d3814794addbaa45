#include "libcommon/data/sentencepiece_module.h"

#include <filesystem>

#include <dlfcn.h>
#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::data {
namespace {

using MakeTokenizer = Tokenizer* (*)(const char* model_path);

// Deep binding lets the module prefer its own protobuf to one that the program has loaded.
// The sanitizers refuse it, and no program of theirs has libtorch.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
constexpr int kFlags = RTLD_NOW | RTLD_LOCAL;
#else
constexpr int kFlags = RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND;
#endif

MakeTokenizer load() {
  const auto program = std::filesystem::read_symlink("/proc/self/exe");
  const auto module = program.parent_path().parent_path() / PTRAIN_MODULE_DIR / "sentencepiece.so";
  // Never closed: its tokenizers may live as long as the program.
  void* const handle = ::dlopen(module.c_str(), kFlags);
  if (handle == nullptr) {
    throw Error(ErrorKind::io, fmt::format("load {}: {}", module.string(), ::dlerror()),
                "install ptrain as a whole (cmake --install), with libsentencepiece0");
  }
  void* const entry = ::dlsym(handle, PTRAIN_MODULE_ENTRY);
  if (entry == nullptr) {
    throw Error(ErrorKind::io,
                fmt::format("load {}: it is of another build than {}, which needs {}",
                            module.string(), program.string(), PTRAIN_MODULE_ENTRY),
                "build or install ptrain as a whole");
  }
  return reinterpret_cast<MakeTokenizer>(entry);
}

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::string& model_path) {
  static const MakeTokenizer make = load();
  return std::unique_ptr<Tokenizer>(make(model_path.c_str()));
}

}  // namespace ptrain::data
