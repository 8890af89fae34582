#include "backends/grow_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <string>
#include <variant>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"

namespace nbdring {
namespace {

[[noreturn]] void refuse(const std::string& problem) {
  throw Failure(FailureKind::usage, "cannot make what is attached larger: " + problem);
}

}  // namespace

void grow_file(const BackendSpec& spec, std::uint64_t bytes) {
  const auto* file = std::get_if<FileSpec>(&spec.form);
  if (file == nullptr) refuse("only a regular file grows here; let its server do it first");
  if (file->read_only) refuse(file->path + " is attached read-only");
  if (file->size) refuse("its argument says size=; attach it again with another one");
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  if (file->offset > largest || bytes > largest - file->offset) refuse("no file is so large");

  const FileDescriptor opened(::open(file->path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  struct stat facts {};
  if (!opened.is_open() || ::fstat(opened.get(), &facts) != 0) {
    fail_errno(FailureKind::failed, "cannot open " + file->path);
  }
  if (!S_ISREG(facts.st_mode)) refuse(file->path + " is not a regular file; grow it first");
  const auto wanted = static_cast<off_t>(file->offset + bytes);
  if (wanted <= facts.st_size) return;
  if (::ftruncate(opened.get(), wanted) != 0 || ::fsync(opened.get()) != 0) {
    fail_errno(FailureKind::failed,
               "cannot make " + file->path + " " + std::to_string(wanted) + " bytes long");
  }
}

}  // namespace nbdring
