// A disk read without the page cache: what registering the file and the buffers saves, and whether
// the disk can be polled.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <stdexcept>

#include "bench/ways-parts/ways.hpp"

namespace ways {
namespace {

constexpr std::size_t block = 4096;

struct Free {
  void operator()(std::byte* memory) const { std::free(memory); }
};

class DiskWay final : public Way {
 public:
  struct How {
    bool file = false;
    bool buffers = false;
    bool polled = false;
  };

  DiskWay(std::string name, std::string path, How how)
      : Way(std::move(name)), path_(std::move(path)), how_(how) {}

  Figures measure(unsigned depth, double seconds) override {
    const int fd = ::open(path_.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0) fail(path_, errno);
    struct stat facts {};
    ::fstat(fd, &facts);
    blocks_ = static_cast<std::uint64_t>(facts.st_size) / block;
    const std::unique_ptr<std::byte, Free> memory(
        static_cast<std::byte*>(std::aligned_alloc(block, block * depth)));
    Figures figures;
    try {
      Ring ring(how_.polled ? IORING_SETUP_IOPOLL : 0U);
      figures = read(ring, fd, memory.get(), depth, seconds);
    } catch (...) {
      ::close(fd);
      throw;
    }
    ::close(fd);
    return figures;
  }

 private:
  Figures read(Ring& ring, int fd, std::byte* memory, unsigned depth, double seconds) {
    const iovec all{memory, block * depth};
    int result = how_.buffers ? io_uring_register_buffers(&ring.ring, &all, 1) : 0;
    if (result == 0 && how_.file) result = io_uring_register_files(&ring.ring, &fd, 1);
    if (result < 0) fail("registering", -result);
    const double cpu = cpu_used();
    const double begin = now();
    const double end = begin + seconds;
    for (unsigned i = 0; i < depth; ++i) submit(ring, fd, memory, i);
    std::uint64_t done = 0;
    unsigned in_flight = depth;
    while (in_flight > 0) {
      ring.wait();
      const bool goes_on = now() < end;
      ring.each([&](const io_uring_cqe& cqe) {
        if (cqe.res != static_cast<int>(block)) fail("reading", cqe.res < 0 ? -cqe.res : EIO);
        ++done;
        --in_flight;
        if (!goes_on) return;
        ++in_flight;
        submit(ring, fd, memory, static_cast<unsigned>(cqe.user_data));
      });
    }
    const double count = static_cast<double>(done);
    return {count / (now() - begin), (cpu_used() - cpu) / count, 0};
  }

  void submit(Ring& ring, int fd, std::byte* memory, unsigned index) {
    io_uring_sqe& sqe = ring.entry();
    std::byte* to = memory + block * index;
    const std::uint64_t offset = random_() % blocks_ * block;
    const int file = how_.file ? 0 : fd;
    if (how_.buffers) {
      io_uring_prep_read_fixed(&sqe, file, to, block, offset, 0);
    } else {
      io_uring_prep_read(&sqe, file, to, block, offset);
    }
    if (how_.file) sqe.flags |= IOSQE_FIXED_FILE;
    sqe.user_data = index;
  }

  const std::string path_;
  const How how_;
  std::uint64_t blocks_ = 0;
  std::mt19937_64 random_{1};
};

}  // namespace

Ways disk_ways(const std::string& path) {
  Ways ways;
  const auto add = [&](const char* name, DiskWay::How how) {
    ways.push_back(std::make_unique<DiskWay>(name, path, how));
  };
  add("ring (ours)", {});
  add("registered file", {.file = true});
  add("registered buffers", {.buffers = true});
  add("registered file and buffers", {.file = true, .buffers = true});
  add("polled (IOPOLL)", {.polled = true});
  return ways;
}

}  // namespace ways
