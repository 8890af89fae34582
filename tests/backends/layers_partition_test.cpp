#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backends/layers/partition_table.hpp"
#include "tests/backends/layers_stack.hpp"

namespace nbdring {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t size = 4 * 1024 * 1024;

/// A disk to write a table on.
class Disk {
 public:
  explicit Disk(std::uint64_t sector_bytes = 512)
      : memory_(std::make_unique<MemoryBackend>(size)), sector_(sector_bytes) {
    bytes_ = memory_->bytes();
  }

  void put(std::uint64_t at, std::uint64_t number, std::size_t length) {
    for (std::size_t i = 0; i < length; ++i) {
      bytes_[at + i] = static_cast<std::byte>(number >> (8 * i));
    }
  }
  /// place: 0 to 3.
  void put_mbr(std::uint64_t sector, unsigned place, std::uint8_t type, std::uint64_t first,
               std::uint64_t sectors) {
    const std::uint64_t at = sector * 512 + 446 + 16 * place;
    put(at + 4, type, 1);
    put(at + 8, first, 4);
    put(at + 12, sectors, 4);
    put(sector * 512 + 510, 0xaa55, 2);
  }
  /// number: 1 and so on.
  void put_gpt_entry(unsigned number, std::uint64_t first, std::uint64_t last) {
    const std::uint64_t at = 2 * sector_ + (number - 1) * 128;
    put(at, 0x1234, 8);
    put(at + 32, first, 8);
    put(at + 40, last, 8);
  }
  /// Own: the sector that the header is in.
  void put_gpt_header(std::uint64_t own) {
    put_mbr(0, 0, 0xee, 1, 1);
    const std::uint64_t at = own * sector_;
    std::memcpy(bytes_.data() + at, "EFI PART", 8);
    put(at + 12, 92, 4);
    put(at + 24, own, 8);
    put(at + 72, 2, 8);
    put(at + 80, 16, 4);
    put(at + 84, 128, 4);
    put(at + 88, crc32(bytes_.subspan(2 * sector_, 16 * 128)), 4);
    put(at + 16, 0, 4);
    put(at + 16, crc32(bytes_.subspan(at, 92)), 4);
  }
  std::span<std::byte> bytes() { return bytes_; }
  std::uint64_t last_sector() const { return size / sector_ - 1; }

  /// Offset of the partition, or what the user is told.
  std::string where(unsigned number) {
    CapturedLog log;
    fill_pattern(bytes_.subspan(1024 * 1024), 1, 0);
    try {
      auto copy = std::make_unique<MemoryBackend>(size);
      std::copy(bytes_.begin(), bytes_.end(), copy->bytes().begin());
      const auto layer = over(std::move(copy), {"partition=" + std::to_string(number)}, log.log());
      return std::to_string(layer->about().size) + log.text();
    } catch (const Failure& failure) {
      return failure.what();
    }
  }

 private:
  std::unique_ptr<MemoryBackend> memory_;
  const std::uint64_t sector_;
  std::span<std::byte> bytes_;
};

TEST(PartitionLayer, ShowsThePartitionAndNothingElse) {
  LayerStack plain(size, {});
  auto memory = std::make_unique<MemoryBackend>(size);
  const auto bytes = memory->bytes();
  Disk disk;
  disk.put_mbr(0, 1, 0x83, 2048, 10);
  std::copy(disk.bytes().begin(), disk.bytes().end(), bytes.begin());
  fill_pattern(bytes.subspan(2048 * 512, 5120), 3, 0);
  CapturedLog log;
  const auto backend = over(std::move(memory), {"partition=2"}, log.log());
  BackendUser user(*backend);
  std::vector<std::byte> buffer(5120);
  ASSERT_EQ(backend->about().size, 5120U);
  ASSERT_EQ(user.read(0, buffer), 0);
  EXPECT_TRUE(matches_pattern(buffer, 3, 0));
  ASSERT_EQ(user.write(4608, std::span(buffer).first(512)), 0);
  EXPECT_TRUE(matches_pattern(bytes.subspan(2048 * 512 + 4608, 512), 3, 0));
}

TEST(PartitionLayer, FindsThoseOfAnMbr) {
  Disk disk;
  disk.put_mbr(0, 0, 0x83, 2048, 1);
  disk.put_mbr(0, 3, 0x0c, 4096, 4096);
  EXPECT_EQ(disk.where(1), "512");
  EXPECT_EQ(disk.where(4), "2097152");
  EXPECT_THAT(disk.where(2),
              HasSubstr("--layer partition=2: there is no partition 2: the MBR has 1 (512 bytes at "
                        "1048576), 4 (2097152 bytes at 2097152)"));
}

TEST(PartitionLayer, FindsLogicalOnes) {
  Disk disk;
  disk.put_mbr(0, 0, 0x83, 1, 2);
  disk.put_mbr(0, 1, 0x0f, 100, 1000);
  disk.put_mbr(100, 0, 0x83, 1, 3);
  disk.put_mbr(100, 1, 0x05, 200, 100);  // relative to the first: at 300
  disk.put_mbr(300, 0, 0x83, 1, 4);
  EXPECT_EQ(disk.where(5), "1536");
  EXPECT_EQ(disk.where(6), "2048");
  EXPECT_THAT(disk.where(2), HasSubstr("there is no partition 2: the MBR has 1 "));
}

TEST(PartitionLayer, ACircleOfLogicalOnesEnds) {
  Disk disk;
  disk.put_mbr(0, 1, 0x05, 100, 1000);
  disk.put_mbr(100, 0, 0x83, 1, 3);
  disk.put_mbr(100, 1, 0x05, 200, 100);
  disk.put_mbr(300, 1, 0x05, 200, 100);
  EXPECT_THAT(disk.where(5), HasSubstr("circle"));
}

TEST(PartitionLayer, WhatIsNotOnTheDiskIsNotThere) {
  Disk disk;
  disk.put_mbr(0, 0, 0x83, size / 512, 1);
  disk.put_mbr(0, 1, 0x83, size / 512 - 1, 2);
  disk.put_mbr(0, 2, 0x83, size / 512 - 1, 1);
  EXPECT_THAT(disk.where(1), HasSubstr("the MBR has 3 (512 bytes"));
  EXPECT_THAT(disk.where(2), HasSubstr("the MBR has 3 (512 bytes"));
  EXPECT_EQ(disk.where(3), "512");
}

TEST(PartitionLayer, ADiskWithoutATable) {
  Disk disk;
  EXPECT_THAT(disk.where(1), HasSubstr("no partition table"));
  disk.put_mbr(0, 0, 0x83, 1, 1);
  disk.put(446, 0x12, 1);  // as in a boot sector of FAT
  EXPECT_THAT(disk.where(1), HasSubstr("no partition table"));
  LayerStack tiny(100, {});
  EXPECT_THROW(LayerStack(100, {"partition=1"}), Failure);
}

class GptTest : public testing::TestWithParam<std::uint64_t> {};

TEST_P(GptTest, FindsPartitionsByTheirPlace) {
  Disk disk(GetParam());
  disk.put_gpt_entry(1, 40, 49);
  disk.put_gpt_entry(7, 60, 60);
  disk.put_gpt_header(1);
  EXPECT_EQ(disk.where(1), std::to_string(10 * GetParam()));
  EXPECT_EQ(disk.where(7), std::to_string(GetParam()));
  EXPECT_THAT(disk.where(2), HasSubstr("the GPT has 1 ("));
}

TEST_P(GptTest, ADamagedOneIsReplacedByItsCopyOrRefused) {
  for (const unsigned damaged : {0U, 16U, 24U, 40U, 72U, 80U, 88U}) {
    Disk disk(GetParam());
    disk.put_gpt_entry(1, 40, 49);
    disk.put_gpt_header(1);
    disk.bytes()[GetParam() + damaged] ^= std::byte{1};
    EXPECT_THAT(disk.where(1), HasSubstr("damaged or missing")) << damaged;
  }
  Disk disk(GetParam());
  disk.put_gpt_entry(1, 40, 49);
  disk.put_gpt_header(1);
  disk.bytes()[2 * GetParam()] ^= std::byte{1};  // the array
  EXPECT_THAT(disk.where(1), HasSubstr("damaged or missing"));
}

INSTANTIATE_TEST_SUITE_P(Sectors, GptTest, testing::Values(512, 4096));

TEST(Gpt, TheCopyIsUsedWithAWarning) {
  Disk disk;
  disk.put_gpt_entry(1, 40, 49);
  disk.put_gpt_header(1);
  disk.put_gpt_header(disk.last_sector());
  disk.bytes()[512] = std::byte{0};
  std::vector<std::byte> copy(disk.bytes().begin(), disk.bytes().end());
  CapturedLog log;
  auto memory = std::make_unique<MemoryBackend>(size);
  std::copy(copy.begin(), copy.end(), memory->bytes().begin());
  EXPECT_EQ(over(std::move(memory), {"partition=1"}, log.log())->about().size, 5120U);
  EXPECT_THAT(log.text(), HasSubstr("copy at the end"));
}

TEST(Gpt, ChecksumIsTheUsualOne) {
  const char text[] = "123456789";
  EXPECT_EQ(crc32(std::as_bytes(std::span(text, 9))), 0xcbf43926U);
}

}  // namespace
}  // namespace nbdring
