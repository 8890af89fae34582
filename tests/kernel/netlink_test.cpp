#include "kernel/netlink.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstring>
#include <map>

namespace nbdring {
namespace {

using Bytes = std::vector<std::byte>;

template <class Number>
Number number_at(const Bytes& bytes, std::size_t at) {
  Number number{};
  EXPECT_LE(at + sizeof number, bytes.size());
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

// An attribute: u16 length with header, u16 type (the highest bit marks a nest), value, padding to
// four bytes.
std::vector<std::pair<int, Bytes>> attributes_in(const Bytes& bytes) {
  std::vector<std::pair<int, Bytes>> attributes;
  std::size_t at = 0;
  while (at + 4 <= bytes.size()) {
    const auto length = number_at<std::uint16_t>(bytes, at);
    const int type = number_at<std::uint16_t>(bytes, at + 2) & 0x3fff;
    if (length < 4 || at + length > bytes.size()) {
      ADD_FAILURE() << "attribute of length " << length << " at " << at;
      break;
    }
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    attributes.emplace_back(type, Bytes(begin + 4, begin + length));
    at += (length + 3U) & ~3U;
  }
  return attributes;
}

ConnectRequest request_with(std::size_t sockets) {
  ConnectRequest request;
  request.index = 5;
  request.size = 1ULL << 40;
  request.block_size = 4096;
  request.timeout_seconds = 30;
  request.dead_connection_seconds = 60;
  request.server_flags = 0x105;
  auto ends = std::make_shared<std::vector<FileDescriptor>>();
  for (std::size_t i = 0; i < sockets; ++i) ends->emplace_back(::dup(2));
  request.sockets = ends;
  return request;
}

std::map<int, Bytes> by_type(const ConnectRequest& request) {
  std::map<int, Bytes> all;
  for (auto& [type, value] : attributes_in(connect_attributes(request))) {
    EXPECT_TRUE(all.emplace(type, value).second) << type << " comes twice";
  }
  return all;
}

TEST(ConnectMessage, CarriesEveryNumberInItsWidth) {
  const auto all = by_type(request_with(2));
  EXPECT_EQ(all.at(1).size(), 4U);
  EXPECT_EQ(number_at<std::uint32_t>(all.at(1), 0), 5U);
  EXPECT_EQ(number_at<std::uint64_t>(all.at(2), 0), 1ULL << 40);
  EXPECT_EQ(number_at<std::uint64_t>(all.at(3), 0), 4096U);
  EXPECT_EQ(number_at<std::uint64_t>(all.at(4), 0), 30U);
  EXPECT_EQ(number_at<std::uint64_t>(all.at(5), 0), 0x105U);
  EXPECT_EQ(number_at<std::uint64_t>(all.at(8), 0), 60U);
}

TEST(ConnectMessage, ListsTheSocketsInOrder) {
  const ConnectRequest request = request_with(3);
  const auto items = attributes_in(by_type(request).at(7));
  ASSERT_EQ(items.size(), 3U);
  for (std::size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i].first, 1);
    const auto descriptors = attributes_in(items[i].second);
    ASSERT_EQ(descriptors.size(), 1U);
    EXPECT_EQ(descriptors[0].first, 1);
    EXPECT_EQ(number_at<std::uint32_t>(descriptors[0].second, 0),
              static_cast<std::uint32_t>((*request.sockets)[i].get()));
  }
}

TEST(ConnectMessage, LeavesOutWhatWasNotAskedFor) {
  const auto all = by_type(request_with(1));
  EXPECT_EQ(all.count(6), 0U);
  EXPECT_EQ(all.count(10), 0U);
}

TEST(ConnectMessage, CarriesClientFlagsAndIdentifier) {
  ConnectRequest request = request_with(1);
  request.client_flags = nbd_netlink::destroy_on_disconnect;
  request.identifier = "file:/a b";
  const auto all = by_type(request);
  EXPECT_EQ(number_at<std::uint64_t>(all.at(6), 0), 1U);
  EXPECT_STREQ(reinterpret_cast<const char*>(all.at(10).data()), "file:/a b");
  EXPECT_EQ(all.at(10).back(), std::byte{0});
}

TEST(ConnectMessage, HasRoomForSixteenSocketsAndALongIdentifier) {
  ConnectRequest request = request_with(16);
  request.identifier = std::string(1024, 'x');
  EXPECT_EQ(attributes_in(by_type(request).at(7)).size(), 16U);
}

TEST(NetlinkSocket, IsBoundAndNotInherited) {
  const FileDescriptor socket = open_netlink_socket();
  sockaddr_nl address{};
  socklen_t length = sizeof address;
  ASSERT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  EXPECT_EQ(address.nl_family, AF_NETLINK);
  EXPECT_NE(address.nl_pid, 0U);
  EXPECT_NE(::fcntl(socket.get(), F_GETFD) & FD_CLOEXEC, 0);
}

}  // namespace
}  // namespace nbdring
