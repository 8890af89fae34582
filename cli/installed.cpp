#include "cli/installed.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

namespace nbdring {
namespace {

// Where systemd and udev look for what the system, a package or the administrator brings.
constexpr std::array<std::string_view, 5> places{"/etc", "/run", "/usr/local/lib", "/usr/lib",
                                                 "/lib"};

bool has_file(const std::string& folder, std::string_view part) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().filename().string().find(part) != std::string::npos) return true;
  }
  return false;
}

bool is_anywhere(const std::string& root, const std::string& folder, std::string_view part) {
  return std::any_of(places.begin(), places.end(), [&](std::string_view place) {
    return has_file(root + std::string(place) + folder, part);
  });
}

Finding finding(bool is_there, const std::string& what, const std::string& without) {
  if (is_there) return {Severity::ok, what + " is installed", ""};
  return {Severity::note, what + " is not installed",
          without + "; install the package, which `cpack` makes, or `cmake --install`"};
}

}  // namespace

std::vector<Finding> installed_findings(const std::string& root) {
  return {
      finding(is_anywhere(root, "/udev/rules.d", "nbdring"), "nbdring's udev rule",
              "there are no links in /dev/disk/by-nbd"),
      finding(is_anywhere(root, "/systemd/system-generators", "nbdring"),
              "nbdring's systemd generator", "nothing in /etc/nbdring/tab is attached at boot")};
}

}  // namespace nbdring
