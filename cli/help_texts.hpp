#pragma once
// The texts of help.cpp that stand in files of their own.

#include <string_view>

namespace nbdring {

extern const std::string_view gateway_help;
extern const std::string_view resize_help;
extern const std::string_view upgrade_help;
extern const std::string_view proxy_help;
extern const std::string_view token_help;
extern const std::string_view bench_help;
extern const std::string_view nbd_client_help;

}  // namespace nbdring
