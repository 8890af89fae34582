#include "cli/descriptor_limit.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <string>

#include "client/runtime/error.hpp"

namespace nbdring {

std::size_t descriptors_for(std::size_t clients) {
  constexpr std::size_t of_the_process = 64;
  constexpr std::size_t of_each_client = 12;
  return of_the_process + clients * of_each_client;
}

void need_descriptors(std::size_t count, Log& log) {
  rlimit limit{};
  ENSURE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_cur >= count) return;
  limit.rlim_cur = std::min<rlim_t>(count, limit.rlim_max);
  ENSURE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_cur >= count) return;
  log.warning("too few descriptors for so many clients; raise the limit (ulimit -Hn, LimitNOFILE=)",
              {{"allowed", std::to_string(limit.rlim_cur)}, {"needed", std::to_string(count)}});
}

}  // namespace nbdring
