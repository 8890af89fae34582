#include "cli/bench/plot.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "client/runtime/error.hpp"
#include "client/runtime/file_descriptor.hpp"
#include "kernel/spawn.hpp"

namespace nbdring {
namespace {

constexpr std::chrono::milliseconds draw_wait{30'000};
constexpr const char* without_settings = "--default-settings";  // not those of ~/.gnuplot

PlotForm form_of(const std::string& path) {
  if (path.ends_with(".svg")) return PlotForm::svg;
  if (path.ends_with(".png")) return PlotForm::png;
  throw Failure(FailureKind::usage,
                "--plot: '" + path + "' ends with neither .svg nor .png, which say what to draw");
}

void look_for_gnuplot() {
  const CommandResult result = run_command({"gnuplot", "--version"}, Deadline::in(draw_wait));
  if (result.succeeded()) return;
  throw Failure(FailureKind::failed,
                "--plot: cannot run gnuplot (" + result.words() +
                    "); install gnuplot-nox, or use --csv and draw it elsewhere");
}

FileDescriptor file_with(const std::string& text) {
  FileDescriptor file(::memfd_create("script", MFD_CLOEXEC));
  if (!file.is_open()) fail_errno(FailureKind::failed, "memfd_create");
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::pwrite(file.get(), text.data() + written, text.size() - written,
                                   static_cast<off_t>(written));
    if (count < 0) fail_errno(FailureKind::failed, "cannot write to memory");
    written += static_cast<std::size_t>(count);
  }
  return file;
}

void refuse(const std::string& path, int error) {
  throw Failure(FailureKind::failed, "--plot: cannot write '" + path + "': " + error_text(error));
}

}  // namespace

Plot::Plot(const std::string& path) : path_(path), form_(form_of(path)) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (::access(folder.empty() ? "." : folder.c_str(), W_OK) != 0) refuse(path, errno);
  look_for_gnuplot();
}

void Plot::draw(const std::vector<BenchResult>& results) const {
  if (results.empty()) return;
  const FileDescriptor script = file_with(plot_script(results, form_));
  const std::string unfinished = path_ + ".new";
  const FileDescriptor picture(
      ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!picture.is_open()) refuse(path_, errno);
  const CommandResult result = run_command({"gnuplot", without_settings, "-"},
                                           Deadline::in(draw_wait), {script.get(), picture.get()});
  if (result.succeeded() && ::rename(unfinished.c_str(), path_.c_str()) == 0) return;
  const int error = errno;
  ::unlink(unfinished.c_str());
  if (result.succeeded()) refuse(path_, error);
  throw Failure(FailureKind::failed, "--plot: gnuplot has not drawn it: " + result.words());
}

}  // namespace nbdring
