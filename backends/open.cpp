#include "backends/open.hpp"

#include "backends/file.hpp"
#include "backends/memory.hpp"
#include "backends/null.hpp"
#include "client/runtime/error.hpp"

namespace nbdring {
namespace {

struct Opener {
  const OpenOptions& options;
  Log& log;

  std::unique_ptr<Backend> operator()(FileSpec spec) const {
    spec.read_only = spec.read_only || options.read_only;
    return std::make_unique<FileBackend>(spec, log);
  }
  std::unique_ptr<Backend> operator()(const MemorySpec& spec) const {
    return std::make_unique<MemoryBackend>(spec.size, options.read_only);
  }
  std::unique_ptr<Backend> operator()(const NullSpec& spec) const {
    return std::make_unique<NullBackend>(spec.size, options.read_only);
  }
  std::unique_ptr<Backend> operator()(const UriSpec& spec) const { refuse(to_text(spec)); }
  std::unique_ptr<Backend> operator()(const ExecSpec& spec) const { refuse(to_text(spec)); }

  [[noreturn]] static void refuse(const std::string& text) {
    throw Failure(
        FailureKind::usage,
        "cannot open " + text +
            ": this version has the backends PATH, file:, memory: and null:, and no remote ones");
  }
};

}  // namespace

std::unique_ptr<Backend> open_backend(const BackendSpec& spec, const OpenOptions& options,
                                      Log& log) {
  return std::visit(Opener{options, log}, spec.form);
}

}  // namespace nbdring
