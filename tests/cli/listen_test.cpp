#include "cli/listen.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <fstream>

#include "client/runtime/error.hpp"
#include "tests/cli/temporary_folder.hpp"

namespace nbdring {
namespace {

class UnixListenerTest : public ::testing::Test {
 protected:
  FailureKind kind_of_failure(const std::string& path) {
    try {
      const UnixListener listener(path);
    } catch (const Failure& failure) {
      return failure.kind();
    }
    ADD_FAILURE() << "listens on " << path;
    return FailureKind::failed;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "s.sock";
};

TEST_F(UnixListenerTest, ItsFileIsForItsOwnerAloneAndGoesWithIt) {
  {
    const UnixListener listener(path_);
    struct stat file {};
    ASSERT_EQ(::lstat(path_.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0600U);
    EXPECT_TRUE(connect_unix(path_).is_open());
    EXPECT_TRUE(is_listening(listener.fd()));
    EXPECT_TRUE(is_local(listener.fd()));
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, ReplacesASocketThatNobodyListensOn) {
  const FileDescriptor dead(::socket(AF_UNIX, SOCK_STREAM, 0));
  {
    const UnixListener listener(path_);
    std::filesystem::create_hard_link(path_, folder_ / "kept");
  }
  std::filesystem::rename(folder_ / "kept", path_);
  ASSERT_TRUE(std::filesystem::exists(path_));
  const UnixListener listener(path_);
  EXPECT_TRUE(connect_unix(path_).is_open());
}

TEST_F(UnixListenerTest, LeavesASocketAloneThatSomebodyListensOn) {
  const UnixListener first(path_);
  EXPECT_EQ(kind_of_failure(path_), FailureKind::busy);
  EXPECT_TRUE(connect_unix(path_).is_open());
}

TEST_F(UnixListenerTest, LeavesAnotherFileAlone) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(kind_of_failure(path_), FailureKind::failed);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
}

TEST_F(UnixListenerTest, APathThatIsTooLongIsWrongUsage) {
  EXPECT_EQ(kind_of_failure(folder_ / std::string(120, 'x')), FailureKind::usage);
}

TEST_F(UnixListenerTest, DoesNotRemoveAFileThatTookItsPlace) {
  {
    const UnixListener listener(path_);
    std::filesystem::remove(path_);
    std::ofstream(path_) << "another";
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST(TcpListener, TakesAFreePortAndTellsWhich) {
  const auto sockets = listen_tcp({"127.0.0.1", 0});
  ASSERT_EQ(sockets.size(), 1U);
  const std::string address = address_of(sockets[0].get());
  EXPECT_TRUE(address.starts_with("127.0.0.1:")) << address;
  EXPECT_NE(address, "127.0.0.1:0");
  EXPECT_TRUE(is_local(sockets[0].get()));
}

TEST(TcpListener, EveryAddressIsMoreThanThisMachine) {
  const auto sockets = listen_tcp({"0.0.0.0", 0});
  ASSERT_EQ(sockets.size(), 1U);
  EXPECT_FALSE(is_local(sockets[0].get()));
}

TEST(TcpListener, AnAddressThatIsNotHereIsAFailure) {
  EXPECT_THROW(listen_tcp({"192.0.2.1", 0}), Failure);
  EXPECT_THROW(listen_tcp({"not a host", 0}), Failure);
}

TEST(Sockets, AreToldFromOtherDescriptors) {
  const TemporaryFolder folder;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const FileDescriptor one(ends[0]);
  const FileDescriptor other(ends[1]);
  EXPECT_TRUE(is_stream_socket(one.get()));
  EXPECT_FALSE(is_listening(one.get()));
  EXPECT_FALSE(is_stream_socket(-1));
  const FileDescriptor file(::open(folder.path().c_str(), O_RDONLY));
  EXPECT_FALSE(is_stream_socket(file.get()));
}

}  // namespace
}  // namespace nbdring
